import { PutCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import type { Event } from '../../lib/event.schema.ts';
import { decideChange } from '../../lib/key-change.ts';
import { attributesOfKey } from '../../lib/key-item.ts';
import { createKey, getKey, revokeKey, rotateKey, updateKey } from '../../lib/key-table.ts';
import { keyShards } from '../../lib/schedule.ts';
import { sweepKeys } from '../../lib/sweep.ts';
import type { KeyTable } from '../../lib/table-client.ts';
import { BY_DUE } from '../../lib/table-layout.ts';
import { countConsumed } from './consumed.ts';
import { type Engine, startEngine } from './engine.ts';
import { aKey, by, DAY, everything, HOUR, instant, NOW, RETENTION_DAYS, rotating, SETTINGS } from './keys.ts';
import { type Network, unreliableNetwork } from './unreliable-network.ts';

let engine: Engine | undefined;
let table: KeyTable;
let network: Network | undefined;
beforeEach(async () => {
  await close();
  engine = await startEngine();
  table = engine.table;
});
afterAll(close);
async function close() {
  jest.restoreAllMocks();
  await network?.close();
  network = undefined;
  await engine?.close();
}

const stored = async (facts: Partial<ApiKeyRecord> = {}): Promise<ApiKeyRecord> => {
  const key = aKey(facts);
  await createKey(key, by(NOW), undefined, table);
  return key;
};
/** A few at a time: each call has its time limit, also on a busy machine. */
const many = async (count: number, facts: (i: number) => Partial<ApiKeyRecord> = () => ({})) => {
  const keys: ApiKeyRecord[] = [];
  while (keys.length < count) {
    const some = Array.from({ length: Math.min(20, count - keys.length) }, (_, i) => facts(keys.length + i));
    keys.push(...(await Promise.all(some.map(stored))));
  }
  return keys;
};

const sweep = (day: number, { over = table, hasTime = (): boolean => true, settings = SETTINGS } = {}) =>
  sweepKeys({ hasTime, now: () => NOW + day * DAY }, settings, over);

/** The trail of the sweep: `14: 13 left` is a notice, `rotated` and `expired` are ends; by key, oldest first. */
async function told(): Promise<Record<string, string[]>> {
  const events = (await everything(table))
    .filter((item) => String(item['pk']).startsWith('events_'))
    .map((item) => JSON.parse(String(item['event'])) as Event)
    .filter(({ actor }) => actor === 'system:sweep-keys')
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const byKey: Record<string, string[]> = {};
  for (const { type, api_key_id, reason, data } of events) {
    const words =
      type === 'api_key.expiring'
        ? `${data['notify_days_before']}: ${data['days_left']} left`
        : (reason ?? type.replace('api_key.', ''));
    byKey[api_key_id!] = [...(byKey[api_key_id!] ?? []), words];
  }
  return byKey;
}
const allTold = (keys: ApiKeyRecord[], words: string[]) =>
  Object.fromEntries(keys.map(({ id }) => [id, words]));
const inIndex = async () => (await everything(table, BY_DUE)).length;

describe('the sweep', () => {
  it('does nothing before anything is due', async () => {
    await many(3);
    expect(await sweep(15.9)).toEqual({
      keys: 0,
      events: 0,
      overdue: 0,
      failed: 0,
      oldest_due_age_seconds: 0,
      finished: true,
    });
    expect(await told()).toEqual({});
  });

  it('sends each notice once and records the end once, sweep after sweep', async () => {
    const key = await stored({ notify_days_before: [14, 3] });
    for (let day = 0; day <= 40; day += 0.5) await sweep(day);
    expect(await told()).toEqual({ [key.id]: ['14: 14 left', '3: 3 left', 'expired'] });
    expect(await getKey(key.id, table)).toMatchObject({ swept_until: key.expires_at });
  });

  it('writes the key and its event together: who, when, what, and no changed fields', async () => {
    const key = await stored();
    await sweep(16.5);
    const [event] = (await everything(table))
      .filter((item) => item['pk'] === `events_${key.id}` && item['event_type'] === 'api_key.expiring')
      .map((item) => JSON.parse(String(item['event'])));
    const { hint: _hint, ...shown } = { ...key };
    expect(event).toMatchObject({
      occurred_at: instant(NOW + 16.5 * DAY),
      owner_id: key.owner_id,
      actor: 'system:sweep-keys',
      reason: null,
      changes: [],
      data: { days_left: 13, notify_days_before: 14, api_key: { id: shown.id, status: 'active' } },
    });
    expect(JSON.stringify(event)).not.toContain(key.digest);
    for (const inside of ['swept_until', 'due_shard', 'next_action_at', 'hint'])
      expect(event.data.api_key).not.toHaveProperty(inside);
  });

  it('gives a key that lives shorter than the notice its notice at half of its life', async () => {
    const key = await stored({ expires_at: instant(NOW + 2 * DAY) });
    await sweep(0.9);
    expect(await told()).toEqual({});
    await sweep(1);
    expect(await told()).toEqual({ [key.id]: ['14: 1 left'] });
  });

  it('tells the truth about the days that are left when it is late, and says how late it is', async () => {
    const key = await stored();
    const result = await sweep(20.5);
    expect(await told()).toEqual({ [key.id]: ['14: 9 left'] });
    expect(result).toMatchObject({ keys: 1, events: 1, oldest_due_age_seconds: (4.5 * DAY) / 1000 });
  });

  it('after a jump of 90 days sends every notice and one end for each key', async () => {
    const keys = await many(30, () => ({ notify_days_before: [20, 14, 3] }));
    expect(await sweep(90)).toMatchObject({ keys: 30, events: 120, failed: 0, finished: true });
    expect(await told()).toEqual(allTold(keys, ['20: 0 left', '14: 0 left', '3: 0 left', 'expired']));
    expect(await inIndex()).toBe(0);
  });

  it('twenty at once do each thing once', async () => {
    const keys = await many(40, () => ({ notify_days_before: [14, 3] }));
    const results = await Promise.all(Array.from({ length: 20 }, () => sweep(90)));
    expect(await inIndex()).toBe(0);
    for (const words of Object.values(await told()))
      expect(words.sort()).toEqual(['14: 0 left', '3: 0 left', 'expired']);
    expect(Object.keys(await told())).toHaveLength(keys.length);
    expect(results.reduce((sum, { events }) => sum + events, 0)).toBe(120);
  });

  it('stops when its time is over, says so, and the next one goes on where it was', async () => {
    const keys = await many(60);
    let left = 25;
    const first = await sweep(90, { hasTime: () => left-- > 0 });
    expect(first).toMatchObject({ keys: 25, events: 50, finished: false });
    expect(await sweep(90.1)).toMatchObject({ keys: 35, events: 70, finished: true });
    expect(await told()).toEqual(allTold(keys, ['14: 0 left', 'expired']));
  });

  it('killed in the middle has lost nothing and doubles nothing', async () => {
    const keys = await many(50);
    // From some moment on nothing arrives any more, and answers to what has arrived are lost.
    network = await unreliableNetwork(engine!.endpoint, (operation, count) =>
      operation !== 'TransactWriteItems' || count <= 30
        ? 'pass'
        : count <= 40
          ? 'lose answer'
          : 'lose request',
    );
    const over = engine!.open({
      endpoint: network.endpoint,
      maxAttempts: 1,
      requestHandler: { requestTimeout: 2_000, throwOnRequestTimeout: true },
    });
    const errors = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const broken = await sweep(90, { over });
    expect(broken.failed).toBeGreaterThan(0);
    expect(errors).toHaveBeenCalled();
    const halfway = Object.values(await told()).flat().length;
    expect(halfway).toBeGreaterThanOrEqual(40);
    expect(halfway).toBeLessThan(100);
    expect(await sweep(90.1)).toMatchObject({ failed: 0, finished: true });
    expect(await told()).toEqual(allTold(keys, ['14: 0 left', 'expired']));
  });

  it('crashes between the notice and the end, and the end is recorded by the next', async () => {
    const key = await stored();
    network = await unreliableNetwork(engine!.endpoint, (operation, count) =>
      operation === 'TransactWriteItems' && count > 1 ? 'lose request' : 'pass',
    );
    jest.spyOn(console, 'error').mockImplementation(() => undefined);
    await sweep(90, { over: engine!.open({ endpoint: network.endpoint, maxAttempts: 1 }) });
    expect(await told()).toEqual({ [key.id]: ['14: 0 left'] });
    await sweep(90.1);
    expect(await told()).toEqual({ [key.id]: ['14: 0 left', 'expired'] });
  });

  it('a shard that cannot be asked holds up no other, and is left to the next sweep', async () => {
    const keys = await many(40);
    network = await unreliableNetwork(engine!.endpoint, (operation, count) =>
      operation === 'Query' && count === 2 ? 'lose request' : 'pass',
    );
    const errors = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const over = engine!.open({ endpoint: network.endpoint, maxAttempts: 1 });
    const first = await sweep(90, { over });
    expect(first).toMatchObject({ failed: 1, finished: false });
    expect(first.events).toBeGreaterThan(0);
    expect(JSON.parse(String(errors.mock.calls[0]?.[0]))).toMatchObject({
      event: 'sweep_shard_failed',
      shard: expect.stringMatching(/^key_\d$/),
    });
    expect(await sweep(90.1)).toMatchObject({ failed: 0, finished: true });
    expect(await told()).toEqual(allTold(keys, ['14: 0 left', 'expired']));
  });

  it('a lost answer of an action is no second event', async () => {
    const key = await stored();
    network = await unreliableNetwork(engine!.endpoint, (operation, count) =>
      operation === 'TransactWriteItems' && count === 1 ? 'lose answer' : 'pass',
    );
    await sweep(16, { over: engine!.open({ endpoint: network.endpoint }) });
    expect(await told()).toEqual({ [key.id]: ['14: 14 left'] });
  });

  it('a record that cannot be read holds up no other, is counted, and is named in the log without its contents', async () => {
    const keys = await many(5);
    const { metadata: _, ...broken } = aKey({ id: 'key_0000000000000000000042', name: 'a broken one' });
    await table.client.send(
      new PutCommand({
        TableName: table.tableName,
        Item: { pk: broken.id, sk: 'api_key', ...attributesOfKey(broken) },
      }),
    );
    const errors = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const result = await sweep(40);
    expect(result).toMatchObject({ keys: 6, events: 10, failed: 1, finished: true });
    expect(await told()).toEqual(allTold(keys, ['14: 0 left', 'expired']));
    expect(errors).toHaveBeenCalledTimes(1);
    const line = String(errors.mock.calls[0]?.[0]);
    expect(JSON.parse(line)).toMatchObject({ event: 'sweep_key_failed', api_key_id: broken.id });
    expect(line).not.toContain(broken.digest);
  });

  it('a record that cannot be read does not say how late the sweep is', async () => {
    const { metadata: _, ...broken } = aKey();
    await table.client.send(
      new PutCommand({
        TableName: table.tableName,
        Item: { pk: broken.id, sk: 'api_key', ...attributesOfKey(broken) },
      }),
    );
    jest.spyOn(console, 'error').mockImplementation(() => undefined);
    expect(await sweep(40)).toMatchObject({ failed: 1, oldest_due_age_seconds: 0 });
  });

  it('reads what is due and nothing else, however many keys there are', async () => {
    const costOf = async (): Promise<number> => {
      await many(10);
      const over = engine!.open();
      const consumed = countConsumed(over);
      expect(await sweep(16, { over })).toMatchObject({ keys: 10, events: 10 });
      const { Query = 0, GetItem = 0, ...writes } = consumed();
      expect(Object.keys(writes)).toEqual(['TransactWriteItems']);
      return Query + GetItem;
    };
    const alone = await costOf();
    await many(500, () => ({ expires_at: instant(NOW + 300 * DAY) }));
    const among = await costOf();
    expect(among).toBe(alone);
    expect(alone).toBeLessThanOrEqual(keyShards.length + 10);
  });

  it('puts a key right whose stack has fewer days of notice now, and does not find it again', async () => {
    const key = await stored();
    const settings = { ...SETTINGS, notify_days_before: [3] };
    expect(await sweep(16, { settings })).toMatchObject({ keys: 1, events: 0 });
    expect(await getKey(key.id, table)).toMatchObject({ next_action_at: instant(NOW + 27 * DAY) });
    expect(await sweep(17, { settings })).toMatchObject({ keys: 0 });
    await sweep(27, { settings });
    expect(await told()).toEqual({ [key.id]: ['3: 3 left'] });
  });
});

describe('a key that changes', () => {
  const change = (key: ApiKeyRecord, request: Parameters<typeof decideChange>[1], day: number) => {
    const caller = {
      key_id: 'key_0000000000000000000001',
      owner_id: key.owner_id,
      owner_access: 'any' as const,
      environment: 'live' as const,
      scopes: ['*:*'],
    };
    const now = NOW + day * DAY;
    return updateKey(key, (seen) => decideChange(seen, request, caller, now, SETTINGS), by(now), table);
  };

  it('and is prolonged gets the notices of its new end, also after those of the old one', async () => {
    const key = await stored();
    await sweep(16);
    await change(key, { expires_at: instant(NOW + 60 * DAY) }, 17);
    await sweep(45);
    expect(await told()).toEqual({ [key.id]: ['14: 14 left'] });
    await sweep(46);
    await sweep(60);
    expect(await told()).toEqual({ [key.id]: ['14: 14 left', '14: 14 left', 'expired'] });
  });

  it('and is to end sooner than its notice is told of at once, and is not late', async () => {
    const key = await stored({ expires_at: instant(NOW + 90 * DAY) });
    await change(key, { expires_at: instant(NOW + 53 * DAY) }, 50);
    expect(await sweep(50)).toMatchObject({ events: 1, oldest_due_age_seconds: 0 });
    expect(await told()).toEqual({ [key.id]: ['14: 3 left'] });
  });

  it('only in its name is told of nothing twice', async () => {
    const key = await stored();
    await sweep(16);
    await change(key, { name: 'another', expires_at: key.expires_at }, 17);
    await sweep(18);
    expect(await told()).toEqual({ [key.id]: ['14: 14 left'] });
  });

  it('and never ends any more leaves the index', async () => {
    const key = await stored();
    await change(key, { expires_at: null }, 1);
    expect(await inIndex()).toBe(0);
    await sweep(400);
    expect(await told()).toEqual({});
  });

  it('by rotation gets no notice, but its end with the grace; its successor has its own', async () => {
    const key = await stored({ notify_days_before: [7] });
    const now = NOW + 10 * DAY;
    const rotated = await rotateKey(
      key,
      rotating({ grace_period_hours: 48 }, now),
      by(now),
      undefined,
      table,
    );
    if (rotated === 'taken') throw new Error('taken');
    await sweep(11.9);
    expect(await told()).toEqual({});
    await sweep(12);
    expect(await told()).toEqual({ [key.id]: ['rotated'] });
    await sweep(33);
    await sweep(40);
    expect(await told()).toEqual({ [key.id]: ['rotated'], [rotated.successor.id]: ['7: 7 left', 'expired'] });
  });

  it('by rotation without a grace ends once, after a notice was sent', async () => {
    const key = await stored();
    await sweep(16);
    const now = NOW + 16 * DAY;
    const rotated = await rotateKey(
      (await getKey(key.id, table))!,
      rotating({ grace_period_hours: 0 }, now),
      by(now),
      undefined,
      table,
    );
    expect(rotated).not.toBe('taken');
    await sweep(16.1);
    await sweep(17);
    expect(await told()).toEqual({ [key.id]: ['14: 14 left', 'rotated'] });
  });

  it('by revocation leaves the index, and nothing more is told', async () => {
    const key = await stored();
    await revokeKey(key, { reason: null, retention_days: RETENTION_DAYS }, by(NOW + HOUR), table);
    expect(await inIndex()).toBe(0);
    await sweep(90);
    expect(await told()).toEqual({});
  });

  it('in the moment of its action is judged as it is then: revoked, prolonged or told, and never two of them wrongly', async () => {
    const keys = await many(30, () => ({ expires_at: instant(NOW + 30 * DAY) }));
    const now = NOW + 16 * DAY;
    const [, ...changes] = await Promise.all([
      Promise.all([sweep(16), sweep(16), sweep(16)]),
      ...keys.slice(0, 10).map((key) => revokeKey(key, { reason: null, retention_days: 90 }, by(now), table)),
      ...keys.slice(10, 20).map((key) => change(key, { expires_at: instant(NOW + 300 * DAY) }, 16)),
      ...keys.slice(20).map((key) => rotateKey(key, rotating({}, now), by(now), undefined, table)),
    ]);
    expect(changes).toHaveLength(30);
    await sweep(16);
    const before = await told();
    for (const { id } of keys) expect(before[id] ?? []).toEqual(before[id] ? ['14: 14 left'] : []);
    await sweep(30);
    const after = await told();
    for (const { id } of keys.slice(0, 10)) expect(after[id]).toEqual(before[id]);
    for (const { id } of keys.slice(10, 20)) expect(after[id]).toEqual(before[id]);
    for (const { id } of keys.slice(20)) expect(after[id]).toEqual([...(before[id] ?? []), 'rotated']);
  });
});
