export { type Engine, startEngine } from './engine.ts';
export { createTables, supported, sweepTtl } from './tables.ts';
