import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { actOnLeaks } from '../lib/act-on-leaks.ts';
import { onLeak, retentionDays } from '../lib/environment.ts';

const settings = { on_leak: onLeak(), retention_days: retentionDays() };

/** Does with keys that were reported as leaked what the stack says. */
export const handler = (event: SQSEvent): Promise<SQSBatchResponse> =>
  actOnLeaks(event, { now: Date.now, ...settings });
