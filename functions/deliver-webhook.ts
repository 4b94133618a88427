import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { deliverWebhooks } from '../lib/deliver-webhook.ts';
import { countAttempts } from '../lib/delivery-metrics.ts';

/** The fast lane of webhooks. What takes longer than 3 s goes to deliver-slow-webhook. */
export const handler = async (event: SQSEvent): Promise<SQSBatchResponse> => {
  const { batchItemFailures, counts } = await deliverWebhooks(event, 'fast');
  countAttempts(counts);
  return { batchItemFailures };
};
