import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { ttlOf } from '../../lib/api-key.ts';
import {
  createKey,
  getKey,
  markFirstUse,
  replaceSecret,
  revokeKey,
  rotateKey,
  updateKey,
} from '../../lib/key-table.ts';
import { KeyRevoked } from '../../lib/problem.ts';
import { type Engine, startEngine } from './engine.ts';
import {
  aKey,
  by,
  DAY,
  everything,
  HOUR,
  instant,
  NOW,
  newDigest,
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

const stored = async (facts: Partial<ApiKeyRecord> = {}) => {
  const key = aKey(facts);
  await createKey(key, by(), undefined, engine.table);
  return key;
};
const now = NOW + HOUR;
const revocation = { reason: 'leaked', retention_days: RETENTION_DAYS };

/** As the update operation decides: a revoked key does not change. */
const renaming = (name: string) => (record: ApiKeyRecord) => {
  if (record.revoked_at !== null) throw new KeyRevoked();
  return { name };
};

describe('creating', () => {
  it('stores each field under its own name, scopes as one text, and what is not there yet as NULL', async () => {
    const key = await stored();
    expect(await getKey(key.id, engine.table)).toEqual(key);
    const item = (await everything(engine.table)).find(({ pk }) => pk === key.id);
    expect(item).toEqual({ pk: key.id, sk: 'api_key', ...key, scopes: 'orders:read orders:write' });
    expect(item).toHaveProperty('revoked_at', null);
  });

  it('never overwrites a key', async () => {
    const key = await stored();
    await expect(createKey(aKey({ id: key.id }), by(), undefined, engine.table)).rejects.toThrow('is in use');
    expect(await getKey(key.id, engine.table)).toEqual(key);
  });

  it('finds nothing under an id that was never made', async () => {
    expect(await getKey('key_zzzzzzzzzzzzzzzzzzzzzz', engine.table)).toBeUndefined();
  });
});

describe('updating', () => {
  it('sets what was decided and leaves the rest', async () => {
    const key = await stored();
    const updated = await updateKey(key, () => ({ name: 'Renamed', metadata: {} }), by(), engine.table);
    expect(updated).toEqual({ ...key, name: 'Renamed', metadata: {}, version: now });
    expect(await getKey(key.id, engine.table)).toEqual(updated);
  });

  it('removes the ttl of a key that no longer ends, and sets it again', async () => {
    const key = await stored();
    const forever = await updateKey(key, () => ({ expires_at: null, ttl: undefined }), by(), engine.table);
    expect(forever.expires_at).toBeNull();
    expect((await everything(engine.table)).find(({ pk }) => pk === key.id)).not.toHaveProperty('ttl');
    const expires_at = instant(NOW + DAY);
    const ttl = ttlOf({ expires_at, revoked_at: null }, RETENTION_DAYS);
    expect(await updateKey(forever, () => ({ expires_at, ttl }), by(), engine.table)).toMatchObject({ ttl });
  });

  it('leaves alone what was decided as undefined, and writes nothing for no change', async () => {
    const key = await stored();
    const same = await updateKey(key, () => ({ name: undefined, metadata: undefined }), by(), engine.table);
    expect(same).toEqual(key);
    expect(await getKey(key.id, engine.table)).toEqual(key);
  });

  it('keeps every one of many simultaneous changes, each decided from the one before', async () => {
    const key = await stored({ metadata: {} });
    const adding = (note: string) => (record: ApiKeyRecord) => ({
      metadata: { ...record.metadata, [note]: 'x' },
    });
    const notes = ['a', 'b', 'c', 'd'];
    await Promise.all(notes.map((note) => updateKey(key, adding(note), by(), engine.table)));
    const after = await getKey(key.id, engine.table);
    expect(Object.keys(after!.metadata).sort()).toEqual(notes);
  });

  it('never brings back a key that is revoked at the same time', async () => {
    for (let round = 0; round < 25; round++) {
      const key = await stored();
      const revoke = () => revokeKey(key, revocation, by(), engine.table);
      const update = () => updateKey(key, renaming('Renamed'), by(), engine.table);
      const { problems } = await outcomes(round % 2 ? [update(), revoke(), update()] : [revoke(), update()]);
      expect(await getKey(key.id, engine.table)).toMatchObject({
        revoked_at: instant(now),
        revoked_reason: 'leaked',
      });
      expect(problems.filter((problem) => problem !== 'key_revoked')).toEqual([]);
    }
  });

  it('is not_found when the key was tidied away meanwhile, and does not bring it back', async () => {
    const key = aKey();
    await expect(updateKey(key, renaming('Ghost'), by(), engine.table)).rejects.toMatchObject({
      code: 'not_found',
    });
    expect(await getKey(key.id, engine.table)).toBeUndefined();
  });
});

describe('revoking', () => {
  it('sets the time, the reason, the ttl and the version', async () => {
    const key = await stored();
    const revoked = await revokeKey(key, revocation, by(), engine.table);
    const { due_shard: _shard, next_action_at: _at, ...unscheduled } = key;
    expect(revoked).toEqual({
      ...unscheduled,
      revoked_at: instant(now),
      revoked_reason: 'leaked',
      ttl: (now + RETENTION_DAYS * DAY) / 1000,
      version: now,
    });
    expect(await getKey(key.id, engine.table)).toEqual(revoked);
  });

  it('again changes nothing: the first time and reason stay', async () => {
    const key = await stored();
    const first = await revokeKey(key, revocation, by(), engine.table);
    const again = { reason: 'again', retention_days: 1 };
    expect(await revokeKey(key, again, by(), engine.table)).toEqual(first);
    expect(await revokeKey(first, again, by(), engine.table)).toEqual(first);
    expect(await getKey(key.id, engine.table)).toEqual(first);
  });

  it('of many at the same time one is the first, and all answer with it', async () => {
    const key = await stored();
    const all = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        revokeKey(key, { reason: `reason ${index}`, retention_days: 90 }, by(now + index), engine.table),
      ),
    );
    const winner = await getKey(key.id, engine.table);
    for (const answer of all) expect(answer).toEqual(winner);
    expect(winner?.version).toBe(Date.parse(winner?.revoked_at ?? ''));
  });

  it('keeps the ttl of a key that had ended before', async () => {
    const key = await stored({ expires_at: instant(NOW + 1) });
    const revoked = await revokeKey(key, revocation, by(), engine.table);
    expect(revoked.ttl).toBe(key.ttl);
  });

  it('is not held up by a stream of other writes', async () => {
    const key = await stored();
    let busy = true;
    let writes = 0;
    const writers = Array.from({ length: 4 }, async (_, index) => {
      while (busy) {
        const seen = await getKey(key.id, engine.table);
        await updateKey(seen!, renaming(`Busy ${index}`), by(), engine.table).then(
          () => (writes += 1),
          () => {},
        );
      }
    });
    const deadline = Date.now() + 20_000;
    while (writes < 20 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
    // From what was read long ago, and in one try.
    const revoked = await revokeKey(key, revocation, by(), engine.table).finally(() => {
      busy = false;
    });
    await Promise.all(writers);
    expect(writes).toBeGreaterThanOrEqual(20);
    expect(revoked.revoked_at).toBe(instant(now));
    expect((await getKey(key.id, engine.table))?.version).toBe(revoked.version);
  });

  it('is not_found for a key that is gone, and makes no item', async () => {
    const key = aKey();
    await expect(revokeKey(key, revocation, by(), engine.table)).rejects.toMatchObject({ code: 'not_found' });
    expect(await getKey(key.id, engine.table)).toBeUndefined();
  });
});

describe('the first use', () => {
  it('is marked once in the life of a key', async () => {
    const key = await stored();
    const marks = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        markFirstUse(key, key.digest, by(now + index), SETTINGS, engine.table),
      ),
    );
    expect(marks.filter((mark) => mark === 'marked')).toHaveLength(1);
    expect(marks.filter((mark) => mark === 'already')).toHaveLength(29);
    const after = await getKey(key.id, engine.table);
    expect(after).toEqual({ ...key, first_used_at: expect.any(String) });
  });

  it('is refused with another secret, for a revoked key and for one that is gone', async () => {
    const key = await stored();
    expect(await markFirstUse(key, newDigest(), by(), SETTINGS, engine.table)).toBe('refused');
    await revokeKey(key, revocation, by(), engine.table);
    expect(await markFirstUse(key, key.digest, by(), SETTINGS, engine.table)).toBe('refused');
    expect((await getKey(key.id, engine.table))?.first_used_at).toBeNull();
    const ghost = aKey();
    expect(await markFirstUse(ghost, ghost.digest, by(), SETTINGS, engine.table)).toBe('refused');
    expect(await getKey(ghost.id, engine.table)).toBeUndefined();
  });
});

describe('replacing the secret', () => {
  it('gives an unused key another secret, and the one before is dead', async () => {
    const key = await stored();
    const digest = newDigest();
    const replaced = await replaceSecret(key, { digest, hint: 'wxyz' }, by(), engine.table);
    expect(replaced).toEqual({ ...key, digest, hint: 'wxyz', version: now });
    expect(await markFirstUse(key, key.digest, by(), SETTINGS, engine.table)).toBe('refused');
    expect(await markFirstUse(replaced, digest, by(), SETTINGS, engine.table)).toBe('marked');
  });

  it('is refused for a used, a revoked and an expired key', async () => {
    const secret = { digest: newDigest(), hint: 'wxyz' };
    const used = await stored();
    await markFirstUse(used, used.digest, by(), SETTINGS, engine.table);
    await expect(replaceSecret(used, secret, by(), engine.table)).rejects.toMatchObject({
      code: 'idempotency_key_used',
    });
    const revoked = await stored();
    await revokeKey(revoked, revocation, by(), engine.table);
    await expect(replaceSecret(revoked, secret, by(), engine.table)).rejects.toMatchObject({
      code: 'key_revoked',
    });
    const expired = await stored({ expires_at: instant(now) });
    await expect(replaceSecret(expired, secret, by(), engine.table)).rejects.toMatchObject({
      code: 'key_expired',
    });
    for (const key of [used, revoked, expired])
      expect((await getKey(key.id, engine.table))?.digest).toBe(key.digest);
  });

  it('against the first use of the old secret exactly one wins', async () => {
    const winners = new Set<string>();
    for (let round = 0; round < 30; round++) {
      const key = await stored();
      const digest = newDigest();
      const mark = () => markFirstUse(key, key.digest, by(), SETTINGS, engine.table);
      const replace = () =>
        replaceSecret(key, { digest, hint: 'wxyz' }, by(), engine.table).then(
          () => 'replaced',
          (problem) => problem.code,
        );
      const [first, second] = await Promise.all(round % 2 ? [mark(), replace()] : [replace(), mark()]);
      const [used, replaced] = round % 2 ? [first, second] : [second, first];
      const after = await getKey(key.id, engine.table);
      if (used === 'marked') {
        expect(replaced).toBe('idempotency_key_used');
        expect(after).toMatchObject({ digest: key.digest, first_used_at: instant(now) });
      } else {
        expect([used, replaced]).toEqual(['refused', 'replaced']);
        expect(after).toMatchObject({ digest, first_used_at: null });
      }
      winners.add(String(used));
    }
    expect([...winners].sort()).toEqual(['marked', 'refused']);
  });

  it('is not given for scopes that the key got after it was read', async () => {
    const key = await stored();
    await updateKey(key, () => ({ scopes: ['*:*'] }), by(), engine.table);
    const replacing = replaceSecret(key, { digest: newDigest(), hint: 'wxyz' }, by(), engine.table);
    await expect(replacing).rejects.toMatchObject({ code: 'unavailable' });
    expect((await getKey(key.id, engine.table))?.digest).toBe(key.digest);
  });

  it('does not prevent a rotation, and a rotation does not bring the old secret back', async () => {
    const key = await stored();
    const digest = newDigest();
    const [, rotated] = await Promise.all([
      replaceSecret(key, { digest, hint: 'wxyz' }, by(), engine.table),
      rotateKey(key, rotating(), by(), undefined, engine.table),
    ]);
    expect(rotated).toHaveProperty('successor');
    expect(await getKey(key.id, engine.table)).toMatchObject({ digest, rotated_at: instant(now) });
  });
});
