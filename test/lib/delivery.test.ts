import { describe, expect, it } from '@jest/globals';
import type { DeliveryRecord } from '../../lib/delivery.schema.ts';
import {
  begin,
  claim,
  DELIVERY_SHARDS,
  decideAfterAttempt,
  hold,
  isDue,
  messageDelay,
  newDelivery,
  newsOf,
  publicDelivery,
} from '../../lib/delivery.ts';
import { aDelivery, NOW } from './webhook-records.ts';

const SECOND = 1_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (ms: number) => new Date(ms).toISOString();
const answered = (status: number, more: { excerpt?: string; retryAfter?: string } = {}) => ({
  status,
  excerpt: '',
  retryAfter: undefined,
  ...more,
});

/** The delivery after an attempt that took no time. */
function after(
  record: DeliveryRecord,
  result: Parameters<typeof decideAfterAttempt>[1],
  { now = NOW, random = 0, lane = 'fast' as 'fast' | 'slow' } = {},
): DeliveryRecord {
  const changes = decideAfterAttempt(record, result, newsOf(result, 0, lane), { started: now, now, random });
  return { ...record, ...changes };
}

describe('the attempts', () => {
  it('come at once, after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, and are ten', () => {
    let record = aDelivery();
    expect(record.next_attempt_at).toBe(at(NOW));
    const waits: number[] = [];
    for (let now = NOW; record.next_attempt_at !== null; ) {
      record = after(record, answered(503), { now });
      if (record.next_attempt_at === null) break;
      waits.push((Date.parse(record.next_attempt_at) - now) / SECOND);
      now = Date.parse(record.next_attempt_at);
    }
    expect(waits).toEqual([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    expect(record).toMatchObject({ status: 'failed', attempt_count: 10, step: 10 });
    expect(record.attempts).toHaveLength(10);
    expect(record).toMatchObject({ due_shard: undefined, next_action_at: undefined });
  });

  it('are spread by up to a fifth, never sooner', () => {
    const record = { ...aDelivery(), step: 2 };
    const waitOf = (random: number) =>
      Date.parse(after(record, { error: 'ECONNRESET' }, { random }).next_attempt_at!) - NOW;
    expect([waitOf(0), waitOf(0.5), waitOf(1)]).toEqual([1_800_000, 1_980_000, 2_160_000]);
  });

  it.each([
    ['120', 120 * SECOND],
    ['0', 5 * SECOND],
    ['1', 5 * SECOND],
    ['99999999', DAY],
    [new Date(NOW + HOUR).toUTCString(), HOUR],
    [new Date(NOW - HOUR).toUTCString(), 5 * SECOND],
    ['soon', 5 * SECOND],
    ['-5', 5 * SECOND],
    ['1e9', 5 * SECOND],
  ])('wait for what retry-after says: %s', (retryAfter, wait) => {
    const { next_attempt_at } = after(aDelivery(), answered(503, { retryAfter }));
    expect(Date.parse(next_attempt_at!) - NOW).toBe(wait);
  });

  it.each([200, 201, 204, 299])('end with %i', (status) => {
    expect(after(aDelivery(), answered(status))).toMatchObject({
      status: 'succeeded',
      next_attempt_at: null,
    });
  });

  it.each([100, 301, 302, 307, 400, 401, 404, 429, 500, 503])('go on after %i', (status) => {
    expect(after(aDelivery(), answered(status))).toMatchObject({ status: 'pending', step: 1 });
  });

  it('are over with 410, and what is lost can be had again', () => {
    expect(after(aDelivery(), answered(410))).toMatchObject({ status: 'held', next_attempt_at: null });
  });

  it('that take too long for the fast lane are made again in the slow one, and count there', () => {
    const moved = after(aDelivery(), { error: 'timeout' });
    expect(moved).toMatchObject({ status: 'pending', step: 0, attempt_count: 1, next_attempt_at: at(NOW) });
    expect(moved.attempts[0]).toMatchObject({ error: 'slow', response_code: null });
    const timedOut = after(moved, { error: 'timeout' }, { lane: 'slow' });
    expect(timedOut).toMatchObject({ status: 'pending', step: 1, attempt_count: 2 });
    expect(timedOut.attempts[1]).toMatchObject({ error: 'timeout' });
  });

  it('of a test are one', () => {
    const about = {
      id: 'evt_1',
      webhook_endpoint_id: 'whe_1',
      event_type: 'webhook_endpoint.test',
      held: false,
    };
    const test = newDelivery(about, { event: '{}' }, NOW);
    expect(after(test, answered(503))).toMatchObject({ status: 'failed', next_attempt_at: null });
  });

  it('show the last ten, with what looks like a key masked', () => {
    let record = aDelivery();
    const excerpt = `no rk_live_${'a'.repeat(71)} and whsec_${'b'.repeat(44)}`;
    for (let i = 0; i < 12; i++) record = after({ ...record, step: 0 }, answered(500 + i, { excerpt }));
    expect(record.attempts.map(({ response_code }) => response_code)).toEqual(
      Array.from({ length: 10 }, (_, i) => 502 + i),
    );
    expect(record.attempts[0]!.response_excerpt).toBe('no [secret] and [secret]');
    expect(record.attempt_count).toBe(12);
  });
});

describe('what is due', () => {
  it('is a pending delivery whose time has come and that nobody has taken', () => {
    const record = aDelivery();
    expect(isDue(record, NOW)).toBe(true);
    expect(isDue({ ...record, status: 'succeeded' }, NOW)).toBe(false);
    expect(isDue({ ...record, ...hold() }, NOW)).toBe(false);
    const claimed = { ...record, ...claim('fast', NOW) };
    expect(isDue(claimed, NOW + 5 * SECOND)).toBe(false);
    // Whoever took it never came back.
    expect(isDue(claimed, NOW + 18 * SECOND)).toBe(true);
    const waiting = after(record, answered(503));
    expect(isDue(waiting, NOW + 3 * SECOND)).toBe(false);
    expect(isDue(waiting, NOW + 5 * SECOND)).toBe(true);
  });

  it('is told by a message within 900 s, and by the index after that', () => {
    const soon = after(aDelivery(), answered(503));
    expect(messageDelay(soon, NOW)).toBe(5);
    // In case the message gets lost.
    expect(soon.next_action_at).toBe(at(NOW + 305 * SECOND));
    const late = after({ ...aDelivery(), step: 2 }, answered(503));
    expect(messageDelay(late, NOW)).toBeUndefined();
    expect(late.next_action_at).toBe(late.next_attempt_at);
    expect(DELIVERY_SHARDS).toContain(late.due_shard);
    expect(messageDelay(after(aDelivery(), answered(200)), NOW)).toBeUndefined();
  });
});

describe('a redelivery', () => {
  it('begins again with all attempts, and keeps what was tried', () => {
    const failed = after({ ...aDelivery(), step: 9 }, answered(503));
    expect(failed.status).toBe('failed');
    const again = { ...failed, ...begin(failed, NOW + DAY) };
    expect(again).toMatchObject({
      status: 'pending',
      step: 0,
      attempt_count: 1,
      next_attempt_at: at(NOW + DAY),
    });
    expect(again.attempts).toHaveLength(1);
    expect(isDue(again, NOW + DAY)).toBe(true);
  });
});

describe('a delivery to a disabled endpoint', () => {
  it('is held, with nothing ahead', () => {
    const about = { id: 'evt_1', webhook_endpoint_id: 'whe_1', event_type: 'api_key.created', held: true };
    const held = newDelivery(about, { event_pk: 'events_key_1' }, NOW);
    expect(held).toMatchObject({ status: 'held', next_attempt_at: null });
    expect(held).not.toHaveProperty('due_shard');
  });
});

describe('what is shown of a delivery', () => {
  it('says nothing of how it is kept', () => {
    expect(Object.keys(publicDelivery(aDelivery())).sort()).toEqual([
      'attempt_count',
      'attempts',
      'created_at',
      'event_type',
      'id',
      'next_attempt_at',
      'status',
      'webhook_endpoint_id',
    ]);
  });
});
