export { type Sqs, startSqs, systemAttributes } from './service.ts';
export { supported } from './supported.ts';
