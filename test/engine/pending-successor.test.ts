import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { isValid, statusOf } from '../../lib/api-key.ts';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import type { Event } from '../../lib/event.schema.ts';
import { createKeyReader } from '../../lib/key-reader.ts';
import {
  cancelRotation,
  createKey,
  getKey,
  markFirstUse,
  type Rotated,
  revokeKey,
  rotateKey,
} from '../../lib/key-table.ts';
import { decideCancellation, ROTATION_CANCELLED, type RotationRequest } from '../../lib/rotation.ts';
import { sweepKeys } from '../../lib/sweep.ts';
import { type Engine, startEngine } from './engine.ts';
import { awsEnvironment } from './environment.ts';
import { aKey, by, DAY, everything, HOUR, instant, NOW, outcomes, rotating, SETTINGS } from './keys.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.close());

const PENDING: RotationRequest = { grace_starts: 'first_use' };

const stored = async (facts: Partial<ApiKeyRecord> = {}) => {
  const key = aKey({ first_used_at: instant(NOW), ...facts });
  await createKey(key, by(NOW), undefined, engine.table);
  return key;
};
const rotate = async (key: ApiKeyRecord, request = PENDING, now = NOW + HOUR): Promise<Rotated> => {
  const rotated = await rotateKey(key, rotating(request, now), by(now), undefined, engine.table);
  if (rotated === 'taken') throw new Error('taken');
  return rotated;
};
const fresh = async ({ id }: { id: string }): Promise<ApiKeyRecord> => {
  const key = await getKey(id, engine.table);
  if (!key) throw new Error(`${id} is gone`);
  return key;
};
const sweep = (now: number) => sweepKeys({ hasTime: () => true, now: () => now }, SETTINGS, engine.table);
const trail = async ({ id }: { id: string }) =>
  (await everything(engine.table))
    .filter(({ pk }) => pk === `events_${id}`)
    .map(({ event }) => JSON.parse(String(event)) as Event)
    .map(({ type, reason }) => (reason === null ? type : `${type} ${reason}`));

/** The two that write a first use: the management API's, and the authorizer's. */
const writers = {
  'verify-key': (key: ApiKeyRecord, now: number) =>
    markFirstUse(key, key.digest, by(now), SETTINGS, engine.table).then((mark) => mark === 'marked'),
  'the authorizer': (key: ApiKeyRecord, now: number) =>
    createKeyReader({
      table: engine.table.tableName,
      call: createDynamoDbCall(awsEnvironment(engine.endpoint)),
      eventRetentionDays: 400,
      retentionDays: SETTINGS.retention_days,
    }).markFirstUse(key.id, key.digest, by(now)),
};

describe('a rotation whose grace starts with the first use', () => {
  it('leaves the old key as it was, and its successor pending for a week', async () => {
    const key = await stored();
    const { previous, successor } = await rotate(key);
    expect(previous).toEqual({ ...key, successor_key_id: successor.id, version: NOW + HOUR });
    expect(statusOf(previous, NOW + HOUR)).toBe('active');
    expect(statusOf(successor, NOW + HOUR)).toBe('pending');
    expect(successor.pending_until).toBe(instant(NOW + HOUR + 7 * DAY));
    expect(isValid(successor, NOW + HOUR + 7 * DAY - 1)).toBe(true);
    expect(isValid(successor, NOW + HOUR + 7 * DAY)).toBe(false);
    expect(await fresh(key)).toEqual(previous);
    expect(await fresh(successor)).toEqual(successor);
  });

  it.each(Object.entries(writers))(
    'gives the old key its grace with the first use that %s records, once',
    async (_, use) => {
      const key = await stored();
      const { successor } = await rotate(key, { ...PENDING, grace_period_hours: 48 });
      const used = NOW + 3 * DAY;
      expect(await use(successor, used)).toBe(true);
      const [old, now] = [await fresh(key), await fresh(successor)];
      expect(old).toMatchObject({
        rotated_at: instant(used),
        expires_at: instant(used + 48 * HOUR),
        next_action_at: instant(used + 48 * HOUR),
        version: used,
      });
      expect(now).toMatchObject({ first_used_at: instant(used), pending_until: null });
      expect(now).not.toHaveProperty('pending_grace_hours');
      expect(await use(now, used + DAY)).toBe(false);
      expect(await fresh(key)).toEqual(old);
      expect(await trail(key)).toEqual([
        'api_key.created',
        'api_key.rotated',
        'api_key.updated grace_started',
      ]);
    },
  );

  it.each(Object.entries(writers))(
    'has one beginning of the grace when fifty requests of %s are the first at once',
    async (_, use) => {
      const key = await stored();
      const { successor } = await rotate(key);
      const marks = await Promise.allSettled(
        Array.from({ length: 50 }, (_, i) => use(successor, NOW + 2 * HOUR + i)),
      );
      expect(marks.filter((mark) => mark.status === 'fulfilled' && mark.value)).toHaveLength(1);
      const [old, now] = [await fresh(key), await fresh(successor)];
      expect(old.rotated_at).toBe(now.first_used_at);
      expect(old.version).toBe(Date.parse(old.rotated_at!));
      expect((await trail(key)).filter((told) => told.includes('grace_started'))).toHaveLength(1);
    },
  );

  it.each(Object.entries(writers))(
    'lets the successor in by %s when the old key is revoked',
    async (_, use) => {
      const key = await stored();
      const { successor, previous } = await rotate(key);
      const revoked = await revokeKey(
        previous,
        { reason: null, retention_days: 90 },
        by(NOW + 2 * HOUR),
        engine.table,
      );
      expect(await use(successor, NOW + 3 * HOUR)).toBe(true);
      expect(await fresh(key)).toEqual(revoked);
    },
  );

  it.each(Object.entries(writers))('is over for %s after a week', async (_, use) => {
    const { successor } = await rotate(await stored());
    expect(await use(successor, NOW + HOUR + 7 * DAY)).toBe(false);
    expect((await fresh(successor)).first_used_at).toBeNull();
  });
});

describe('a successor that nobody used in time', () => {
  it('is dropped by the sweep: the old key keeps its own end, and the line is free', async () => {
    const key = await stored({ expires_at: instant(NOW + 60 * DAY) });
    const { successor, previous } = await rotate(key);
    await sweep(NOW + HOUR + 7 * DAY - 1);
    expect(await fresh(successor)).toEqual(successor);
    const late = NOW + 8 * DAY;
    await sweep(late);
    await sweep(late + 1);
    expect(await fresh(successor)).toMatchObject({
      revoked_at: instant(late),
      revoked_reason: 'never_used',
      pending_until: null,
    });
    expect(await fresh(key)).toEqual({
      ...previous,
      successor_key_id: null,
      next_generation: 2,
      version: late,
    });
    expect(await trail(successor)).toEqual(['api_key.created', 'api_key.revoked never_used']);
    expect(await trail(key)).toEqual(['api_key.created', 'api_key.rotated', 'api_key.updated never_used']);
    expect((await rotate(await fresh(key), PENDING, late + 2)).successor.generation).toBe(2);
  });

  it('is either dropped or used, when both happen at once', async () => {
    const late = NOW + 8 * DAY;
    for (let round = 0; round < 10; round++) {
      const key = await stored({ expires_at: instant(NOW + 60 * DAY) });
      const { successor } = await rotate(key);
      // A clock that lags by a second thinks that there is still time.
      const [marked] = await Promise.all([
        writers['the authorizer'](successor, NOW + HOUR + 7 * DAY - 1),
        sweep(late),
      ]);
      const [old, now] = [await fresh(key), await fresh(successor)];
      expect(now.first_used_at === null).toBe(!marked);
      expect(now.revoked_at === null).toBe(marked);
      expect(old.successor_key_id).toBe(marked ? successor.id : null);
      expect(old.rotated_at === null).toBe(!marked);
    }
  });
});

describe('another rotation while nobody has used the successor', () => {
  it.each([PENDING, {}])('is refused, naming it (%j)', async (request) => {
    const key = await stored();
    const { successor, previous } = await rotate(key, request);
    await expect(rotate(previous, {}, NOW + 2 * HOUR)).rejects.toMatchObject({
      code: 'pending_successor',
      extensions: { successor_key_id: successor.id },
    });
    await writers['the authorizer'](successor, NOW + 3 * HOUR);
    await expect(rotate(await fresh(key), {}, NOW + 4 * HOUR)).rejects.toMatchObject({
      code: 'already_rotated',
    });
  });

  it.each([PENDING, {}])('replaces it on purpose, and the old key’s end stays (%j)', async (request) => {
    const key = await stored();
    const first = await rotate(key, request);
    const second = await rotate(first.previous, { ...request, replace_pending: true }, NOW + 2 * HOUR);
    expect(second.ended).toEqual([await fresh(first.successor)]);
    expect(second.ended[0]).toMatchObject({ revoked_reason: 'superseded', pending_until: null });
    expect(second.previous).toMatchObject({
      successor_key_id: second.successor.id,
      rotated_at: first.previous.rotated_at,
      expires_at: first.previous.expires_at,
    });
    expect(second.successor.generation).toBe(2);
    const cancelled = await cancelRotation(
      second.previous,
      (record, successor) => decideCancellation(record, successor, NOW + 3 * HOUR, SETTINGS),
      ROTATION_CANCELLED,
      by(NOW + 3 * HOUR),
      engine.table,
    );
    expect(cancelled.record).toMatchObject({ expires_at: key.expires_at, rotated_at: null });
    expect(statusOf(cancelled.record, NOW + 3 * HOUR)).toBe('active');
  });

  it('does not begin a grace again that has begun', async () => {
    const key = await stored();
    const first = await rotate(key, { grace_period_hours: 10 });
    const second = await rotate(
      first.previous,
      { ...PENDING, replace_pending: true, grace_period_hours: 720 },
      NOW + 2 * HOUR,
    );
    expect(second.previous.expires_at).toBe(first.previous.expires_at);
    expect(second.successor.pending_until).toBeNull();
  });

  it('needs no word for it when the successor was revoked unused', async () => {
    const key = await stored();
    const first = await rotate(key);
    await revokeKey(first.successor, { reason: null, retention_days: 90 }, by(NOW + 2 * HOUR), engine.table);
    const second = await rotate(first.previous, PENDING, NOW + 3 * HOUR);
    expect(second.ended).toEqual([]);
    expect((await fresh(first.successor)).revoked_reason).toBeNull();
  });

  it.each([
    ['the first rotation', undefined, {}],
    ['the first rotation', undefined, { ...PENDING, replace_pending: true }],
    ['a replacement', PENDING, { ...PENDING, replace_pending: true }],
  ])('is won by one of fifty at once: %s', async (_, before, request) => {
    const key = await stored();
    const seen = before ? (await rotate(key, before)).previous : key;
    const now = NOW + 2 * HOUR;
    const { done, problems } = await outcomes(Array.from({ length: 50 }, () => rotate(seen, request, now)));
    expect(done).toHaveLength(1);
    expect(problems).toEqual(Array(49).fill('pending_successor'));
    const line = (await everything(engine.table)).filter((item) => item['root_key_id'] === key.id);
    const valid = line.filter((item) => isValid(item as unknown as ApiKeyRecord, now));
    expect(valid.map((item) => item['id']).sort()).toEqual([key.id, done[0]?.successor.id].sort());
  });
});

describe('a chain', () => {
  it('has two valid keys at most: the oldest ends when the youngest is made, and the answer says so', async () => {
    const first = await stored();
    const second = await rotate(first, { grace_period_hours: 720 });
    await writers['the authorizer'](second.successor, NOW + 2 * HOUR);
    const now = NOW + 3 * HOUR;
    const third = await rotate(await fresh(second.successor), {}, now);
    expect(third.ended).toEqual([await fresh(first)]);
    expect(third.ended[0]).toMatchObject({ expires_at: instant(now), next_action_at: instant(now) });
    expect(isValid(third.previous, now)).toBe(true);
    await sweep(now + 1);
    expect(await trail(first)).toEqual([
      'api_key.created',
      'api_key.rotated',
      'api_key.updated line_limit',
      'api_key.expired rotated',
    ]);
  });

  it('keeps the oldest when the key that is rotated ends at once', async () => {
    const first = await stored();
    const second = await rotate(first, { grace_period_hours: 720 });
    const third = await rotate(second.successor, { grace_period_hours: 0 }, NOW + 2 * HOUR);
    expect(third.ended).toEqual([]);
  });

  it('does not go on from a pending key while the key before it works', async () => {
    const first = await stored();
    const { successor, previous } = await rotate(first);
    await expect(rotate(successor, {}, NOW + 2 * HOUR)).rejects.toMatchObject({
      code: 'pending_successor',
      extensions: { successor_key_id: successor.id },
    });
    await revokeKey(previous, { reason: null, retention_days: 90 }, by(NOW + 2 * HOUR), engine.table);
    const third = await rotate(successor, {}, NOW + 3 * HOUR);
    expect(third.previous).toMatchObject({ pending_until: null, successor_key_id: third.successor.id });
  });
});
