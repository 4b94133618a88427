export { type EventBridge, startEventBridge } from './service.ts';
export { supported } from './supported.ts';
