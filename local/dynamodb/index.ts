export { type Engine, startEngine } from './engine.ts';
export { openStreams, type Streams } from './streams.ts';
export { createTables, supported, sweepTtl } from './tables.ts';
