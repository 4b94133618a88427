import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { fanOut } from '../lib/fan-out-event.ts';

/** Gives each webhook endpoint that listens to an event of the bus its delivery. */
export const handler = (event: SQSEvent): Promise<SQSBatchResponse> => fanOut(event, Date.now);
