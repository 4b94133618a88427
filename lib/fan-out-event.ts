import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { z } from 'zod';
import { newDelivery } from './delivery.ts';
import { type Dispatch, type SendDeliveries, sendDeliveries } from './delivery-queue.ts';
import { putDelivery } from './delivery-table.ts';
import { logFailure } from './error-log.ts';
import { Event } from './event.schema.ts';
import { subjectOf, trailOf } from './event-item.ts';
import { environmentTable, type KeyTable } from './table-client.ts';
import type { WebhookEndpointRecord } from './webhook-endpoint.schema.ts';
import { isEnabled, laneOf, listensTo } from './webhook-endpoint.ts';
import { listenersOf } from './webhook-endpoint-table.ts';

/** What is read of an event. One that is too large for the bus comes without its `data`; the trail has it whole. */
const Told = Event.pick({
  id: true,
  type: true,
  owner_id: true,
  api_key_id: true,
  webhook_endpoint_id: true,
  api_id: true,
  request_id: true,
});
type Told = z.infer<typeof Told>;

/** What the rule puts on the queue: the bus's envelope, with our event in it. */
const BusEvent = z.object({ detail: Told });

interface FanOutTools {
  table?: KeyTable;
  send?: SendDeliveries;
  log?: (line: Record<string, unknown>) => void;
}

const logLine = (line: Record<string, unknown>): void => console.info(JSON.stringify(line));

/**
 * Gives each endpoint that listens to an event a delivery of it. Doing an event twice changes nothing: a delivery that
 * is there stays as it is, and a message too many finds it done or taken.
 *
 * @returns the messages to be received again
 */
export async function fanOut(
  { Records }: Pick<SQSEvent, 'Records'>,
  now: () => number,
  { table = environmentTable(), send = sendDeliveries, log = logLine }: FanOutTools = {},
): Promise<SQSBatchResponse> {
  const listeners = new Map<string, Promise<WebhookEndpointRecord[]>>();
  const listenersOnce = (owner_id: string) => {
    const asked = listeners.get(owner_id) ?? listenersOf(owner_id, table);
    listeners.set(owner_id, asked);
    return asked;
  };
  const settled = await Promise.allSettled(
    Records.map(async ({ body }) => {
      const event = BusEvent.parse(JSON.parse(body)).detail;
      const endpoints = await listenersOnce(event.owner_id);
      const subscribed = endpoints.filter(({ events }) => listensTo(events, event.type));
      const dispatches = await Promise.all(
        subscribed.map((endpoint) => deliver(event, endpoint, now(), table)),
      );
      await send(dispatches.flat());
      const { id: event_id, type: event_type, request_id } = event;
      log({
        level: 'info',
        event: 'fanned_out',
        event_id,
        event_type,
        request_id,
        endpoints: subscribed.length,
      });
    }),
  );
  return {
    batchItemFailures: settled.flatMap((outcome, i) => {
      if (outcome.status === 'fulfilled') return [];
      logFailure('fan_out_failed', outcome.reason, { message_id: Records[i]!.messageId });
      return [{ itemIdentifier: Records[i]!.messageId }];
    }),
  };
}

async function deliver(
  event: Told,
  endpoint: WebhookEndpointRecord,
  now: number,
  table: KeyTable,
): Promise<Dispatch[]> {
  const key = { webhook_endpoint_id: endpoint.id, id: event.id };
  const held = !isEnabled(endpoint);
  const about = { ...key, event_type: event.type, held };
  await putDelivery(newDelivery(about, { event_pk: trailOf(subjectOf(event)) }, now), table);
  // Also for one that was there: whoever put it may have ended before its message was sent.
  return held ? [] : [{ ...key, lane: laneOf(endpoint, now) }];
}
