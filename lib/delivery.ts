import { crc32 } from 'node:zlib';
import type { Attempt, Delivery, DeliveryRecord } from './delivery.schema.ts';
import { instant } from './instant.ts';
import { withoutKeys } from './secret-text.ts';
import type { AttemptNews, Lane } from './webhook-endpoint.ts';
import type { PostResult } from './webhook-request.ts';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;

/** How long before each attempt: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. */
const WAITS = [0, 5 * SECOND, HOUR / 12, HOUR / 2, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY];
/** A wait gets longer by this part at most, so that what failed together does not come back together. */
const JITTER = 0.2;
/** However long an endpoint asks to be left alone. */
const LONGEST_RETRY_AFTER = DAY;
/** The longest delay of a message (SQS). Later attempts are found by the due index. */
const LONGEST_MESSAGE_DELAY = 900 * SECOND;
/** A message that has not done its work by then is taken for lost, and sent again. */
const LOST_AFTER = 300 * SECOND;
/** Beyond the limit of an attempt: to write down how it ended. */
const CLAIM_MARGIN = 15 * SECOND;
/** SQS delays whole seconds, and clocks differ. */
const TOLERANCE = SECOND;
const KEPT_MS = 30 * DAY;
const KEPT_ATTEMPTS = 10;

/** Milliseconds that an attempt may take, in all. */
export const LIMITS: Record<Lane, number> = { fast: 3 * SECOND, slow: 15 * SECOND };

/** The error of an attempt that the fast lane gave up. */
export const SLOW = 'slow';

/** Partitions of the due index that deliveries are spread over. */
export const DELIVERY_SHARDS = ['delivery_0', 'delivery_1', 'delivery_2', 'delivery_3'];

const shardOf = (id: string): string => DELIVERY_SHARDS[crc32(id) % DELIVERY_SHARDS.length]!;

/** The delivery as callers see it. */
export function publicDelivery(record: DeliveryRecord): Delivery {
  const {
    id,
    webhook_endpoint_id,
    event_type,
    status,
    created_at,
    attempts,
    attempt_count,
    next_attempt_at,
  } = record;
  return {
    id,
    webhook_endpoint_id,
    event_type,
    status,
    created_at,
    attempts,
    attempt_count,
    next_attempt_at,
  };
}

/** Where the event lies that is delivered: in the trail, or, for a test, here. */
export type EventSource = { event_pk: string } | { event: string };

/** A delivery that begins now, or is held because its endpoint is disabled. */
export function newDelivery(
  about: { id: string; webhook_endpoint_id: string; event_type: string; held: boolean },
  source: EventSource,
  now: number,
): DeliveryRecord {
  const { held, ...named } = about;
  return {
    ...named,
    event_pk: 'event_pk' in source ? source.event_pk : null,
    event: 'event' in source ? source.event : null,
    status: held ? 'held' : 'pending',
    created_at: instant(now),
    attempts: [],
    attempt_count: 0,
    step: 0,
    claimed_until: null,
    version: 1,
    ttl: Math.ceil((now + KEPT_MS) / SECOND),
    ...(held ? { next_attempt_at: null } : ahead(about.id, now, 0)),
  };
}

/** What a delivery says of an attempt that is ahead. While a message is under way, the due index waits for it. */
function ahead(id: string, now: number, wait: number) {
  const byMessage = wait <= LONGEST_MESSAGE_DELAY;
  return {
    next_attempt_at: instant(now + wait),
    due_shard: shardOf(id),
    next_action_at: instant(now + wait + (byMessage ? LOST_AFTER : 0)),
  };
}

/** Nothing is ahead. */
const NO_MORE = { next_attempt_at: null, due_shard: undefined, next_action_at: undefined };

/** When the due index asks again after a delivery for which a message was sent now. */
export const putOff = (now: number): string => instant(now + LOST_AFTER);

/** Whole seconds that the message of the next attempt waits; undefined: the due index finds it. */
export function messageDelay({ next_attempt_at }: DeliveryRecord, now: number): number | undefined {
  if (next_attempt_at === null) return undefined;
  const wait = Math.max(0, Date.parse(next_attempt_at) - now);
  return wait <= LONGEST_MESSAGE_DELAY ? Math.ceil(wait / SECOND) : undefined;
}

/** Whether somebody who has a message for this delivery should make an attempt. */
export function isDue({ status, next_attempt_at, claimed_until }: DeliveryRecord, now: number): boolean {
  return (
    status === 'pending' &&
    next_attempt_at !== null &&
    Date.parse(next_attempt_at) <= now + TOLERANCE &&
    (claimed_until === null || Date.parse(claimed_until) <= now)
  );
}

export type DeliveryChanges = Partial<DeliveryRecord>;

/** Takes an attempt, for as long as it may last. A message that comes twice then finds it taken. */
export function claim(lane: Lane, now: number): DeliveryChanges {
  return { claimed_until: instant(now + LIMITS[lane] + CLAIM_MARGIN) };
}

/** Lays a delivery aside, since its endpoint is disabled. */
export const hold = (): DeliveryChanges => ({ status: 'held', claimed_until: null, ...NO_MORE });

/** Ends a delivery whose endpoint is gone. */
export const giveUp = (): DeliveryChanges => ({ status: 'failed', claimed_until: null, ...NO_MORE });

/** Begins a delivery again, whatever became of it. What was tried stays to be seen. */
export function begin({ id }: DeliveryRecord, now: number): DeliveryChanges {
  return {
    status: 'pending',
    step: 0,
    claimed_until: null,
    ttl: Math.ceil((now + KEPT_MS) / SECOND),
    ...ahead(id, now, 0),
  };
}

const isTest = ({ event_pk }: DeliveryRecord): boolean => event_pk === null;

/** How an attempt went. */
export function newsOf(result: PostResult, latency_ms: number, lane: Lane): AttemptNews {
  const slow = latency_ms >= LIMITS.fast;
  if ('error' in result)
    return { outcome: lane === 'fast' && result.error === 'timeout' ? 'moved' : 'failed', slow };
  if (result.status === 410) return { outcome: 'gone', slow };
  return { outcome: result.status >= 200 && result.status < 300 ? 'succeeded' : 'failed', slow };
}

/**
 * What an attempt makes of its delivery.
 *
 * @param now epoch milliseconds, when the attempt ended
 * @param random from 0 up to 1
 */
export function decideAfterAttempt(
  record: DeliveryRecord,
  result: PostResult,
  { outcome }: AttemptNews,
  { started, now, random }: { started: number; now: number; random: number },
): DeliveryChanges {
  const attempt = attemptOf(result, outcome, started, now);
  const tried = {
    attempts: [...record.attempts, attempt].slice(-KEPT_ATTEMPTS),
    attempt_count: record.attempt_count + 1,
    claimed_until: null,
  };
  // The slow lane makes the attempt that the schedule counts.
  if (outcome === 'moved') return { ...tried, ...ahead(record.id, now, 0) };
  const step = record.step + 1;
  if (outcome === 'succeeded') return { ...tried, step, status: 'succeeded', ...NO_MORE };
  if (outcome === 'gone') return { ...tried, step, status: 'held', ...NO_MORE };
  const planned = isTest(record) ? undefined : WAITS[step];
  if (planned === undefined) return { ...tried, step, status: 'failed', ...NO_MORE };
  const wait = Math.max(
    planned * (1 + JITTER * random),
    retryAfterOf('error' in result ? undefined : result.retryAfter, now),
  );
  return { ...tried, step, ...ahead(record.id, now, Math.round(wait)) };
}

function attemptOf(
  result: PostResult,
  outcome: AttemptNews['outcome'],
  started: number,
  now: number,
): Attempt {
  const timing = { at: instant(started), latency_ms: Math.max(0, now - started) };
  if ('error' in result) {
    const error = outcome === 'moved' ? SLOW : result.error;
    return { ...timing, response_code: null, response_excerpt: null, error };
  }
  const { status, excerpt } = result;
  return { ...timing, response_code: status, response_excerpt: withoutKeys(excerpt), error: null };
}

/** Milliseconds that the endpoint asks for (RFC 9110, section 10.2.3), a day at most; 0 for what is neither form. */
function retryAfterOf(text: string | undefined, now: number): number {
  if (text === undefined) return 0;
  const wait = /^\d{1,10}$/.test(text) ? Number(text) * SECOND : Date.parse(text) - now;
  return Number.isNaN(wait) ? 0 : Math.min(Math.max(0, wait), LONGEST_RETRY_AFTER);
}
