import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import { z } from 'zod';
import type { DeliveryKey } from './delivery-table.ts';
import { deliveryQueueUrls } from './environment.ts';
import { EventId } from './event.schema.ts';
import { Unavailable } from './problem.ts';
import { WebhookEndpointId } from './webhook-endpoint.schema.ts';
import type { Lane } from './webhook-endpoint.ts';

/** SendMessageBatch takes no more. */
const MOST_IN_BATCH = 10;
const LONGEST_CALL = 6_000;
const TRIES = 3;

/** What a message says: which delivery is to be attempted. Everything else is read when it is. */
export const DeliveryMessage = z.object({ webhook_endpoint_id: WebhookEndpointId, event_id: EventId });

export interface Dispatch extends DeliveryKey {
  lane: Lane;
  /** Whole seconds, 900 at most. */
  delay?: number;
}

/** Sends one message for each delivery to the queue of its lane. @throws Unavailable when one was not taken */
export type SendDeliveries = (dispatches: readonly Dispatch[]) => Promise<void>;

let opened: SQSClient | undefined;

/** As the environment has them: the queues of the stack. */
export const sendDeliveries: SendDeliveries = async (dispatches) => {
  opened ??= new SQSClient({
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 3_000, throwOnRequestTimeout: true },
  });
  const client = opened;
  const urls = deliveryQueueUrls();
  const byLane = Object.entries(Object.groupBy(dispatches, ({ lane }) => lane)) as [Lane, Dispatch[]][];
  const batches = byLane.flatMap(([lane, ofLane]) =>
    Array.from({ length: Math.ceil(ofLane.length / MOST_IN_BATCH) }, (_, i) => ({
      url: urls[lane],
      batch: ofLane.slice(i * MOST_IN_BATCH, (i + 1) * MOST_IN_BATCH),
    })),
  );
  await Promise.all(batches.map(({ url, batch }) => sendBatch(client, url, batch)));
};

/** A batch can be taken in part: only what was not is sent again. */
async function sendBatch(client: SQSClient, url: string, batch: Dispatch[]): Promise<void> {
  let left = batch;
  for (let tries = 1; left.length > 0; tries++) {
    const command = new SendMessageBatchCommand({
      QueueUrl: url,
      Entries: left.map(({ webhook_endpoint_id, id, delay = 0 }, i) => ({
        Id: String(i),
        MessageBody: JSON.stringify({ webhook_endpoint_id, event_id: id }),
        DelaySeconds: delay,
        // A fair queue: who has few messages under way is not held up by who has many.
        MessageGroupId: webhook_endpoint_id,
      })),
    });
    const { Failed = [] } = await client
      .send(command, { abortSignal: AbortSignal.timeout(LONGEST_CALL) })
      .catch((error: unknown) => {
        throw new Unavailable(1, error);
      });
    if (Failed.length > 0 && tries === TRIES)
      throw new Unavailable(1, new Error(`SQS did not take a message: ${Failed[0]?.Code}`));
    const failed = new Set(Failed.map(({ Id }) => Number(Id)));
    left = left.filter((_, i) => failed.has(i));
  }
}
