import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Claim } from '../../lib/idempotency.ts';
import { findIdempotency, requestHash } from '../../lib/idempotency.ts';
import { createKey, getKey, markFirstUse, revokeKey, rotateKey, updateKey } from '../../lib/key-table.ts';
import { type Engine, startEngine } from './engine.ts';
import {
  aKey,
  by,
  DAY,
  everything,
  HOUR,
  instant,
  NOW,
  outcomes,
  RETENTION_DAYS,
  rotating,
  SETTINGS,
} from './keys.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.close());

const stored = async (facts: Parameters<typeof aKey>[0] = {}) => {
  const key = aKey(facts);
  await createKey(key, by(), undefined, engine.table);
  return key;
};

const lineageItems = async (root: string) =>
  (await everything(engine.table)).filter((item) => item['root_key_id'] === root);

describe('rotating', () => {
  it('ends the old key after its grace and stores its successor, as it answers', async () => {
    const key = await stored();
    const rotated = await rotateKey(key, rotating({ grace_period_hours: 24 }), by(), undefined, engine.table);
    if (rotated === 'taken') throw new Error('taken');

    const { previous, successor } = rotated;
    expect(previous).toMatchObject({
      id: key.id,
      rotated_at: instant(NOW + HOUR),
      expires_at: instant(NOW + 25 * HOUR),
      ttl: (NOW + 25 * HOUR + RETENTION_DAYS * DAY) / 1000,
      successor_key_id: successor.id,
      digest: key.digest,
      version: NOW + HOUR,
    });
    expect(successor).toMatchObject({
      parent_key_id: key.id,
      root_key_id: key.id,
      generation: 1,
      scopes: key.scopes,
      expires_at: instant(NOW + HOUR + 30 * DAY),
      version: NOW + HOUR,
    });
    expect(await getKey(key.id, engine.table)).toEqual(previous);
    expect(await getKey(successor.id, engine.table)).toEqual(successor);
  });

  it('leaves one successor and no orphan of two hundred simultaneous rotations', async () => {
    const key = await stored();
    const { done, problems } = await outcomes(
      Array.from({ length: 200 }, () => rotateKey(key, rotating(), by(), undefined, engine.table)),
    );
    expect(done).toHaveLength(1);
    expect(problems).toEqual(Array(199).fill('pending_successor'));

    const items = await lineageItems(key.id);
    expect(items).toHaveLength(2);
    const old = await getKey(key.id, engine.table);
    expect(items.map((item) => item['id']).sort()).toEqual([key.id, old?.successor_key_id].sort());
  });

  it('leaves a chain without a fork when every winner is rotated on', async () => {
    const key = await stored();
    let current = key;
    for (let round = 0; round < 5; round++) {
      const seen = current;
      const { done } = await outcomes(
        Array.from({ length: 10 }, () =>
          rotateKey(seen, rotating({}, NOW + (round + 1) * HOUR), by(), undefined, engine.table),
        ),
      );
      expect(done).toHaveLength(1);
      if (done[0] === 'taken' || !done[0]) throw new Error('not rotated');
      current = done[0].successor;
    }
    const items = await lineageItems(key.id);
    expect(items.map((item) => item['generation']).sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('never revives a key that is revoked at the same time: revoked wins, whoever is first', async () => {
    for (let round = 0; round < 25; round++) {
      const key = await stored();
      const rotate = () => rotateKey(key, rotating(), by(), undefined, engine.table);
      const revoke = () =>
        revokeKey(key, { reason: 'leaked', retention_days: RETENTION_DAYS }, by(NOW + HOUR), engine.table);
      const race = round % 2 ? [rotate(), revoke(), rotate()] : [revoke(), rotate(), rotate()];
      const { problems } = await outcomes<unknown>(race);

      const old = await getKey(key.id, engine.table);
      expect(old).toMatchObject({ revoked_at: instant(NOW + HOUR), revoked_reason: 'leaked' });
      // Either a rotation came first, and then its successor is a key of its own; or none did, and there is none.
      const items = await lineageItems(key.id);
      expect(items).toHaveLength(old?.successor_key_id ? 2 : 1);
      expect(problems).toHaveLength(old?.successor_key_id ? 1 : 2);
      for (const problem of problems) expect(['key_revoked', 'pending_successor']).toContain(problem);
    }
  });

  it('is refused when the key was revoked after it was read', async () => {
    const key = await stored();
    await revokeKey(key, { reason: null, retention_days: RETENTION_DAYS }, by(NOW), engine.table);
    await expect(rotateKey(key, rotating(), by(), undefined, engine.table)).rejects.toMatchObject({
      code: 'key_revoked',
    });
    expect(await lineageItems(key.id)).toHaveLength(1);
  });

  it('is decided from what a PATCH wrote in between, not from what was read', async () => {
    const key = await stored();
    await updateKey(key, () => ({ scopes: ['orders:read'], name: 'Reader' }), by(), engine.table);
    const rotated = await rotateKey(key, rotating(), by(), undefined, engine.table);
    expect(rotated).toMatchObject({
      successor: { scopes: ['orders:read'], name: 'Reader' },
      previous: { scopes: ['orders:read'], name: 'Reader', version: NOW + HOUR + 1 },
    });
  });

  it('does not undo the first use that is marked at the same time', async () => {
    for (let round = 0; round < 10; round++) {
      const key = await stored();
      const [mark] = await Promise.all([
        markFirstUse(key, key.digest, by(NOW + HOUR), SETTINGS, engine.table),
        rotateKey(key, rotating(), by(), undefined, engine.table),
      ]);
      expect(mark).toBe('marked');
      // Whichever of the two came second is a millisecond later.
      expect([instant(NOW + HOUR), instant(NOW + HOUR + 1)]).toContain(
        (await getKey(key.id, engine.table))?.first_used_at,
      );
    }
  });

  it('writes nothing of a rotation whose Idempotency-Key is held by another request', async () => {
    const claim: Claim = {
      caller_key_id: 'key_0000000000000000000001',
      operation: 'rotate-key',
      idempotency_key: 'held',
      request_hash: requestHash({}),
      now: NOW,
    };
    const [first, second] = [await stored(), await stored()];
    expect(await rotateKey(first, rotating(), by(), claim, engine.table)).not.toBe('taken');
    expect(await rotateKey(second, rotating(), by(), claim, engine.table)).toBe('taken');
    expect(await getKey(second.id, engine.table)).toEqual(second);
    expect(await lineageItems(second.id)).toHaveLength(1);
    expect(await findIdempotency(claim, engine.table)).toMatchObject({ previous_key_id: first.id });
  });

  it('drops the ttl of a successor that never ends', async () => {
    const key = await stored({ expires_at: null });
    expect(key.ttl).toBeUndefined();
    const rotated = await rotateKey(key, rotating(), by(), undefined, engine.table);
    if (rotated === 'taken') throw new Error('taken');
    const items = await lineageItems(key.id);
    expect(items.find((item) => item['id'] === rotated.successor.id)).not.toHaveProperty('ttl');
    expect(items.find((item) => item['id'] === key.id)).toHaveProperty('ttl', rotated.previous.ttl);
  });
});
