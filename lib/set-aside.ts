import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { SetAside } from './publish.ts';

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html */
const MOST_MESSAGES = 10;

/**
 * Puts events that can't be published into the queue that an alarm watches.
 *
 * @throws Error when one of them is not there: then the batch is tried again
 */
export function setAsideIn(queueUrl: string, client: SQSClient): (events: SetAside[]) => Promise<void> {
  return async (events) => {
    for (let start = 0; start < events.length; start += MOST_MESSAGES) {
      const { Failed = [] } = await client.send(
        new SendMessageBatchCommand({
          QueueUrl: queueUrl,
          Entries: events
            .slice(start, start + MOST_MESSAGES)
            .map((event, index) => ({ Id: String(index), MessageBody: JSON.stringify(event) })),
        }),
      );
      if (Failed.length > 0)
        throw new Error(`${Failed.length} events could not be set aside: ${Failed[0]?.Code}`);
    }
  };
}
