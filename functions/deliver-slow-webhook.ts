import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { deliverWebhooks } from '../lib/deliver-webhook.ts';
import { countAttempts } from '../lib/delivery-metrics.ts';

/** The slow lane of webhooks: 15 s for an attempt, on processes of its own. */
export const handler = async (event: SQSEvent): Promise<SQSBatchResponse> => {
  const { batchItemFailures, counts } = await deliverWebhooks(event, 'slow');
  countAttempts(counts);
  return { batchItemFailures };
};
