export { startEventSources } from './mappings.ts';
export { supported } from './supported.ts';
