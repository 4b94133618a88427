import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { isValid } from '../../lib/api-key.ts';
import { authorize } from '../../lib/authorizer.ts';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import { type Event, type EventType, eventSchemaOf } from '../../lib/event.schema.ts';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import { createKeyReader } from '../../lib/key-reader.ts';
import { getKey, rotateKey, tell } from '../../lib/key-table.ts';
import { misuseData } from '../../lib/misuse.ts';
import { REUSE_DETECTED, revokeReused } from '../../lib/revoke-reused.ts';
import { authorizerEvent } from '../lib/authorizer-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { awsEnvironment } from './environment.ts';
import { by, DAY, everything, HOUR, instant, NOW, RETENTION_DAYS, rotating, storeKey } from './keys.ts';

let engine: Engine;
let call: ReturnType<typeof createDynamoDbCall>;
beforeAll(async () => {
  engine = await startEngine();
  call = createDynamoDbCall(awsEnvironment(engine.endpoint));
});
afterAll(() => engine?.close());

const SETTINGS = { late_use_minutes: 60 };

const stored = (facts: Partial<ApiKeyRecord> = {}) => storeKey(engine.table, facts);
/** One that was rotated, and whose grace ended so long ago. */
const superseded = (ms: number, now: number, facts: Partial<ApiKeyRecord> = {}) =>
  stored({
    ...{ rotated_at: instant(now - 9 * DAY), successor_key_id: newKeyId(NOW), expires_at: instant(now - ms) },
    ...facts,
  });
const use = async (text: string, now: number) => {
  const answer = authorize(authorizerEvent({ headers: { 'x-api-key': [text] } }), {
    reader: createKeyReader({
      table: engine.table.tableName,
      call,
      eventRetentionDays: 400,
      retentionDays: 90,
    }),
    readRoutes: async () => ({ 'GET /orders': ['orders:read'] }),
    now: () => now,
    prefix: 'rk',
    service: 'Rekey',
    log: () => undefined,
    sampled: () => false,
    misuseSettings: SETTINGS,
  });
  await expect(answer).rejects.toThrow(/^Unauthorized$/);
};
const trailOf = async (id: string): Promise<Event[]> =>
  (await everything(engine.table))
    .filter(({ pk }) => pk === `events_${id}`)
    .map(({ event }) => JSON.parse(String(event)) as Event);
const toldOf = async (id: string) =>
  (await trailOf(id)).filter(({ type }) => type !== 'api_key.created').map(({ type }) => type);

describe('the authorizer', () => {
  const now = NOW + 40 * DAY;

  it('tells once of many uses at the same time, and again after an hour', async () => {
    const { text, record } = await superseded(3 * HOUR, now);
    await Promise.all(Array.from({ length: 20 }, () => use(text, now)));
    expect(await toldOf(record.id)).toEqual(['api_key.reuse_detected']);
    await use(text, now + HOUR - 1);
    expect(await toldOf(record.id)).toHaveLength(1);
    await use(text, now + HOUR);
    expect(await toldOf(record.id)).toHaveLength(2);

    const [first] = (await trailOf(record.id)).filter(({ type }) => type === 'api_key.reuse_detected');
    expect(() => eventSchemaOf('api_key.reuse_detected').parse(first)).not.toThrow();
    expect(first).toMatchObject({
      actor: record.id,
      changes: [],
      data: { route: 'GET /orders', grace_ended_at: record.expires_at, api_key: { on_reuse: 'tell' } },
    });
    // Nothing else of the key has moved.
    expect(await getKey(record.id, engine.table)).toEqual({ ...record, told_at: instant(now + HOUR) });
  });

  it('tells of a late client as late', async () => {
    const { text, record } = await superseded(10 * 60_000, now);
    await use(text, now);
    await use(text, now + 60_000);
    expect(await toldOf(record.id)).toEqual(['api_key.used_late']);
    await use(text, now + HOUR);
    expect(await toldOf(record.id)).toEqual(['api_key.used_late', 'api_key.reuse_detected']);
  });

  it('tells of a trap six times a minute, and never lets it in', async () => {
    const { text, record } = await stored({ honey: true, scopes: ['*:*'], expires_at: instant(now + DAY) });
    for (let second = 0; second < 60; second++) await use(text, now + second * 1_000);
    const told = await trailOf(record.id);
    expect(told.filter(({ type }) => type === 'api_key.honey_used')).toHaveLength(6);
    for (const event of told) {
      expect(() => eventSchemaOf(event.type as EventType).parse(event)).not.toThrow();
      expect(event.data['api_key']).not.toHaveProperty('honey');
    }
    expect((await getKey(record.id, engine.table))?.first_used_at).toBeNull();
  });

  it('writes nothing for a guess: the right id with another secret', async () => {
    const { record } = await superseded(3 * HOUR, now);
    const guess = mintKey({ prefix: 'rk', environment: 'live', id: record.id }).key.reveal();
    await use(guess, now);
    expect(await toldOf(record.id)).toEqual([]);
    expect(await getKey(record.id, engine.table)).toEqual(record);
  });

  it('reads a key of an earlier version, which knows nothing of all this', async () => {
    const { text, record } = await superseded(3 * HOUR, now);
    const { UpdateCommand } = await import('@aws-sdk/lib-dynamodb');
    await engine.table.client.send(
      new UpdateCommand({
        TableName: engine.table.tableName,
        Key: { pk: record.id, sk: 'api_key' },
        UpdateExpression: 'REMOVE honey, on_reuse, replaces_key_id',
      }),
    );
    await use(text, now);
    const [told] = (await trailOf(record.id)).filter(({ type }) => type === 'api_key.reuse_detected');
    expect(() => eventSchemaOf('api_key.reuse_detected').parse(told)).not.toThrow();
  });
});

describe('verify-key', () => {
  it('tells in the same way, once of many', async () => {
    const now = NOW + 40 * DAY;
    const { record } = await superseded(3 * HOUR, now);
    const told = {
      type: 'api_key.reuse_detected' as const,
      noted: 'told_at' as const,
      data: misuseData('api_key.reuse_detected', record, { route: 'POST /api-keys/verify', api_id: null }),
    };
    await Promise.all(Array.from({ length: 9 }, () => tell(record, told, by(now), engine.table)));
    expect(await toldOf(record.id)).toEqual(['api_key.reuse_detected']);
    expect(await getKey(record.id, engine.table)).toEqual({ ...record, told_at: instant(now) });
  });
});

describe('a reuse that the bus tells', () => {
  const run = { now: NOW + 2 * HOUR, hasTime: () => true, retention_days: RETENTION_DAYS };
  const detail = { request_id: 'r-1', source_ip: '198.51.100.7', user_agent: 'thief' };
  const line = async (facts: Partial<ApiKeyRecord>) => {
    const { record } = await stored(facts);
    const rotated = await rotateKey(record, rotating(), by(), undefined, engine.table);
    if (rotated === 'taken') throw new Error('nothing was claimed');
    return [record.id, rotated.successor.id] as const;
  };
  const validOf = async (ids: readonly string[]) =>
    (await Promise.all(ids.map((id) => getKey(id, engine.table)))).map((key) => isValid(key!, run.now));

  it('ends the line of a key that is to do so, and says from where', async () => {
    const ids = await line({ on_reuse: 'revoke_family' });
    await revokeReused({ api_key_id: ids[0], ...detail }, run, engine.table);
    await revokeReused({ api_key_id: ids[0], ...detail }, run, engine.table);
    expect(await validOf(ids)).toEqual([false, false]);
    const revoked = (await trailOf(ids[1])).filter(({ type }) => type === 'api_key.revoked');
    expect(revoked).toHaveLength(1);
    expect(revoked[0]).toMatchObject({
      actor: 'system:finish-compromises',
      reason: REUSE_DETECTED,
      source_ip: detail.source_ip,
    });
    expect((await everything(engine.table)).filter(({ sk }) => sk === 'compromise')).toEqual([]);
  });

  it('leaves every other line alone, so nobody takes a team down by an old key', async () => {
    const ids = await line({});
    await revokeReused({ api_key_id: ids[0], ...detail }, run, engine.table);
    expect(await validOf(ids)).toEqual([true, true]);
  });
});
