import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import type { DeliveryRecord } from './delivery.schema.ts';
import {
  claim,
  decideAfterAttempt,
  giveUp,
  hold,
  isDue,
  LIMITS,
  messageDelay,
  newsOf,
  SLOW,
} from './delivery.ts';
import { DeliveryMessage, type SendDeliveries, sendDeliveries } from './delivery-queue.ts';
import { changeDelivery, getDelivery } from './delivery-table.ts';
import { allowLoopbackHttpWebhooks } from './environment.ts';
import { logFailure } from './error-log.ts';
import { systemOrigin } from './event.ts';
import { NotFound } from './problem.ts';
import { environmentTable, type KeyTable, readItem } from './table-client.ts';
import type { WebhookEndpointRecord } from './webhook-endpoint.schema.ts';
import {
  type AttemptNews,
  decideAfterAttempt as decideEndpoint,
  isEnabled,
  type Lane,
  laneOf,
} from './webhook-endpoint.ts';
import { getEndpoint, noteEndpoint, updateEndpoint } from './webhook-endpoint-table.ts';
import { type PostResult, postWebhook, resolveName } from './webhook-request.ts';
import { webhookRootSecret } from './webhook-root-secret.ts';
import { signingSecrets } from './webhook-secret.ts';
import { signedHeaders } from './webhook-signature.ts';
import type { Resolve } from './webhook-url.ts';

/** Attempts at the same time to one endpoint, in one invocation: its other messages wait for one to end. */
const MOST_AT_ONCE = 5;

export interface DeliveryTools {
  table?: KeyTable;
  send?: SendDeliveries;
  rootSecret?: () => Promise<string>;
  resolve?: Resolve;
  now?: () => number;
  random?: () => number;
  allowLoopbackHttp?: boolean;
  /** One line for each attempt. */
  log?: (line: Record<string, unknown>) => void;
}

/** How many attempts ended how, for the metrics. */
export type DeliveryCounts = Record<AttemptNews['outcome'], number>;

/**
 * Makes the attempts that a batch of messages asks for. In the fast lane an endpoint has 3 s; what takes longer goes
 * to the slow lane, with all other messages of that endpoint, so that it holds up nobody.
 *
 * @returns the messages to be received again, and how the attempts ended
 */
export async function deliverWebhooks(
  { Records }: Pick<SQSEvent, 'Records'>,
  lane: Lane,
  tools: DeliveryTools = {},
): Promise<SQSBatchResponse & { counts: DeliveryCounts }> {
  const batch = new Batch(lane, tools);
  const settled = await Promise.allSettled(Records.map(({ body }) => batch.deliver(body)));
  return {
    counts: batch.counts,
    batchItemFailures: settled.flatMap((outcome, i) => {
      if (outcome.status === 'fulfilled') return [];
      logFailure('delivery_failed', outcome.reason, { message_id: Records[i]!.messageId });
      return [{ itemIdentifier: Records[i]!.messageId }];
    }),
  };
}

/** What the messages of one invocation share: each endpoint read once, and a bound on its attempts. */
class Batch {
  readonly counts: DeliveryCounts = { succeeded: 0, failed: 0, gone: 0, moved: 0 };
  readonly #lane: Lane;
  readonly #tools: Required<DeliveryTools>;
  readonly #endpoints = new Map<string, Promise<WebhookEndpointRecord | undefined>>();
  readonly #turns = new Map<string, Turns>();

  constructor(lane: Lane, tools: DeliveryTools) {
    this.#lane = lane;
    this.#tools = {
      table: tools.table ?? environmentTable(),
      send: sendDeliveries,
      rootSecret: webhookRootSecret,
      resolve: resolveName,
      now: Date.now,
      random: Math.random,
      allowLoopbackHttp: tools.allowLoopbackHttp ?? allowLoopbackHttpWebhooks(),
      log: (line) => console.info(JSON.stringify(line)),
      ...tools,
    };
  }

  async deliver(body: string): Promise<void> {
    const { webhook_endpoint_id, event_id: id } = DeliveryMessage.parse(JSON.parse(body));
    await this.#turnsOf(webhook_endpoint_id).take(() => this.#attempt({ webhook_endpoint_id, id }));
  }

  async #attempt(key: { webhook_endpoint_id: string; id: string }): Promise<void> {
    const { table, now, send } = this.#tools;
    const [record, endpoint] = await Promise.all([
      getDelivery(key, table),
      this.#endpoint(key.webhook_endpoint_id),
    ]);
    if (!record || !isDue(record, now())) return;
    if (!endpoint) return void (await changeDelivery(record, giveUp(), table));
    // A test is how somebody finds out whether a disabled endpoint is mended.
    if (!isEnabled(endpoint) && record.event_pk !== null)
      return void (await changeDelivery(record, hold(), table));
    const lane = laneOf(endpoint, now());
    // What the fast lane gave up is for the slow one, whatever the endpoint did since.
    if (lane !== this.#lane && !(this.#lane === 'slow' && wasMoved(record))) return send([{ ...key, lane }]);

    const claimed = await changeDelivery(record, claim(this.#lane, now()), table);
    if (!claimed) return;
    const started = now();
    const body = await this.#body(claimed);
    const result = await this.#post(claimed, endpoint, body, started);
    const news = newsOf(result, now() - started, this.#lane);
    this.counts[news.outcome] += 1;
    const disabled = await this.#tellEndpoint(endpoint, news);
    const ended = { started, now: now(), random: this.#tools.random() };
    const decided = decideAfterAttempt(claimed, result, news, ended);
    const changes = disabled && decided.next_attempt_at ? { ...decided, ...hold() } : decided;
    const written = await changeDelivery(claimed, changes, table);
    this.#log(claimed, body, result, news, ended.now - started);
    const delay = written && messageDelay(written, ended.now);
    if (delay !== undefined)
      await send([{ ...key, lane: news.outcome === 'moved' ? 'slow' : this.#lane, delay }]);
  }

  async #post(
    { id }: DeliveryRecord,
    endpoint: WebhookEndpointRecord,
    body: string,
    started: number,
  ): Promise<PostResult> {
    const { rootSecret, allowLoopbackHttp, resolve } = this.#tools;
    const secrets = signingSecrets(await rootSecret(), endpoint, started);
    return postWebhook(endpoint.url, {
      headers: signedHeaders(id, started, body, secrets),
      body,
      limit: LIMITS[this.#lane],
      allowLoopbackHttp,
      resolve,
    });
  }

  /** The event as it was recorded, to the byte. */
  async #body({ id, event, event_pk }: DeliveryRecord): Promise<string> {
    if (event_pk === null) return event ?? '';
    const item = await readItem(this.#tools.table, { pk: event_pk, sk: id });
    if (typeof item?.['event'] !== 'string') throw new Error(`the event ${id} is not in the trail`);
    return item['event'];
  }

  /** @returns whether the endpoint is disabled by now */
  async #tellEndpoint(endpoint: WebhookEndpointRecord, news: AttemptNews): Promise<boolean> {
    const { table, now } = this.#tools;
    const at = now();
    const { noted, disable } = decideEndpoint(endpoint, news, at);
    if (Object.keys(noted).length > 0) {
      await noteEndpoint(endpoint.id, noted, table);
      this.#endpoints.set(endpoint.id, Promise.resolve({ ...endpoint, ...noted }));
    }
    if (!disable) return false;
    const after = await updateEndpoint(
      endpoint,
      // Somebody changed it meanwhile, or another attempt got through: what was decided is about what was.
      (record) =>
        record.version === endpoint.version && isEnabled(record)
          ? {
              changes: { disabled_at: new Date(at).toISOString(), disabled_reason: disable },
              type: 'webhook_endpoint.disabled',
              reason: disable,
            }
          : undefined,
      systemOrigin('deliver-webhook', at),
      table,
    ).catch((error: unknown) => {
      if (error instanceof NotFound) return undefined;
      throw error;
    });
    if (after) this.#endpoints.set(endpoint.id, Promise.resolve(after));
    return after !== undefined && !isEnabled(after);
  }

  #endpoint(id: string): Promise<WebhookEndpointRecord | undefined> {
    const asked = this.#endpoints.get(id) ?? getEndpoint(id, this.#tools.table);
    this.#endpoints.set(id, asked);
    return asked;
  }

  #turnsOf(id: string): Turns {
    const turns = this.#turns.get(id) ?? new Turns(MOST_AT_ONCE);
    this.#turns.set(id, turns);
    return turns;
  }

  /** With the id of the request that the event came of, to follow it from the API's front to here. */
  #log(
    { id, webhook_endpoint_id, event_type }: DeliveryRecord,
    body: string,
    result: PostResult,
    { outcome }: AttemptNews,
    latency_ms: number,
  ): void {
    const { request_id } = JSON.parse(body) as { request_id?: unknown };
    this.#tools.log({
      level: 'info',
      event: 'webhook_attempt',
      outcome,
      webhook_endpoint_id,
      event_id: id,
      event_type,
      request_id,
      latency_ms,
      ...('error' in result ? { error: result.error } : { response_code: result.status }),
    });
  }
}

const wasMoved = ({ attempts }: DeliveryRecord): boolean => attempts.at(-1)?.error === SLOW;

/** Lets so many through at a time. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async take<T>(deed: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((go) => this.#waiting.push(go));
    try {
      return await deed();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
