import { Webhook } from 'standardwebhooks';
import { type DeliveryTools, deliverWebhooks } from '../../lib/deliver-webhook.ts';
import type { Dispatch, SendDeliveries } from '../../lib/delivery-queue.ts';
import type { Event } from '../../lib/event.schema.ts';
import { keyEvent, newEventId, systemOrigin } from '../../lib/event.ts';
import { putEvent } from '../../lib/event-table.ts';
import { fanOut } from '../../lib/fan-out-event.ts';
import { requeueDeliveries } from '../../lib/requeue-deliveries.ts';
import { type KeyTable, transact } from '../../lib/table-client.ts';
import type { WebhookEndpointRecord } from '../../lib/webhook-endpoint.schema.ts';
import type { Lane } from '../../lib/webhook-endpoint.ts';
import { createEndpoint } from '../../lib/webhook-endpoint-table.ts';
import { endpointSecret } from '../../lib/webhook-secret.ts';
import type { Received } from '../lib/webhook-receiver.ts';
import { anEndpoint } from '../lib/webhook-records.ts';
import { aKey } from './keys.ts';

export const ROOT = 'the root secret of a stack that only tests know';
const BATCH = 10;

/** Everything of webhooks but the bus and the queues: those are lists here, and the clock can be moved. */
export class WebhookWorld {
  readonly table: KeyTable;
  readonly log: Record<string, unknown>[] = [];
  ahead = 0;
  messages: { lane: Lane; body: string; at: number }[] = [];
  readonly now = (): number => Date.now() + this.ahead;

  constructor(table: KeyTable) {
    this.table = table;
  }

  readonly send: SendDeliveries = async (dispatches: readonly Dispatch[]) => {
    for (const { lane, webhook_endpoint_id, id, delay = 0 } of dispatches)
      this.messages.push({
        lane,
        body: JSON.stringify({ webhook_endpoint_id, event_id: id }),
        at: this.now() + delay * 1_000,
      });
  };

  async endpoint(facts: Partial<WebhookEndpointRecord>): Promise<WebhookEndpointRecord> {
    const endpoint = anEndpoint(facts);
    await createEndpoint(endpoint, systemOrigin('test', this.now()), this.table);
    return endpoint;
  }

  /** Records an event of a key, as an operation would. */
  async record(owner_id: string): Promise<Event> {
    const now = this.now();
    const origin = { ...systemOrigin('test', now), request_id: `request-${now}` };
    const event = keyEvent('api_key.created', aKey({ owner_id }), origin, { id: newEventId(now) });
    await transact(this.table, [putEvent(event, this.table)]);
    return event;
  }

  /** What the bus does with a recorded event. */
  async publish(...events: Event[]) {
    const Records = events.map((event) => ({
      messageId: event.id,
      body: JSON.stringify({ source: 'rekey', 'detail-type': event.type, detail: event }),
    }));
    const { table, send } = this;
    const log = (line: Record<string, unknown>) => void this.log.push(line);
    return fanOut({ Records } as never, this.now, { table, send, log });
  }

  /** Hands one batch of what is there to a lane. */
  async deliver(lane: Lane, tools: DeliveryTools = {}) {
    const ready = this.messages.filter((one) => one.lane === lane && one.at <= this.now()).slice(0, BATCH);
    this.messages = this.messages.filter((one) => !ready.includes(one));
    const Records = ready.map(({ body }, i) => ({ messageId: String(i), body }));
    const outcome = await deliverWebhooks({ Records } as never, lane, {
      table: this.table,
      send: this.send,
      rootSecret: async () => ROOT,
      now: this.now,
      random: () => 0,
      allowLoopbackHttp: true,
      log: (line) => void this.log.push(line),
      ...tools,
    });
    // As SQS would: what failed is there again.
    for (const { itemIdentifier } of outcome.batchItemFailures)
      this.messages.push(ready[Number(itemIdentifier)]!);
    return { ...outcome, batch: ready.length };
  }

  requeue() {
    return requeueDeliveries(this.now, Number.POSITIVE_INFINITY, { table: this.table, send: this.send });
  }
}

/** Verifies with the published library, at the time that the headers say. */
export function verified(endpoint: Pick<WebhookEndpointRecord, 'id'>, one: Received, version = 1): unknown {
  const real = Date.now;
  Date.now = () => Number(one.headers['webhook-timestamp']) * 1_000;
  try {
    return new Webhook(endpointSecret(ROOT, endpoint.id, version).reveal()).verify(one.body, one.headers);
  } finally {
    Date.now = real;
  }
}
