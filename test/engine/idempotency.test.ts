import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { cursorSecret } from '../../lib/cursor-secret.ts';
import { type Claim, findIdempotency, oncePer, requestHash } from '../../lib/idempotency.ts';
import { createKey, getKey, markFirstUse, replaceSecret, rotateKey } from '../../lib/key-table.ts';
import { type Engine, startEngine } from './engine.ts';
import { aKey, by, DAY, everything, NOW, newDigest, outcomes, rotating, SETTINGS } from './keys.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.close());

const CALLER = 'key_0000000000000000000001';
let count = 0;
const aClaim = (facts: Partial<Claim> = {}): Claim => ({
  caller_key_id: CALLER,
  operation: 'create-key',
  idempotency_key: `order-${count++}`,
  request_hash: requestHash({ body: { name: 'x' } }),
  now: NOW,
  ...facts,
});

const keyOf = async (id: string): Promise<ApiKeyRecord> => {
  const key = await getKey(id, engine.table);
  if (!key) throw new Error('gone');
  return key;
};

/** As the create operation does it: a repeat gets the same key with another secret. */
const create = (claim: Claim) =>
  oncePer<ApiKeyRecord>(
    claim,
    {
      first: (own) => createKey(aKey(), by(), own, engine.table),
      again: async ({ api_key_id }) =>
        replaceSecret(
          await keyOf(api_key_id),
          { digest: newDigest(), hint: 'wxyz' },
          by(claim.now),
          engine.table,
        ),
    },
    engine.table,
  );

/** As the rotate operation does it, for a key that was read before. */
const rotate = (claim: Claim, id: string) =>
  oncePer<ApiKeyRecord>(
    claim,
    {
      first: async (own) => {
        const rotated = await rotateKey(await keyOf(id), rotating(), by(), own, engine.table);
        return rotated === 'taken' ? 'taken' : rotated.successor;
      },
      again: async ({ api_key_id }) =>
        replaceSecret(await keyOf(api_key_id), { digest: newDigest(), hint: 'wxyz' }, by(), engine.table),
    },
    engine.table,
  );

const keysMade = async () =>
  (await everything(engine.table)).filter((item) => item['sk'] === 'api_key').length;

describe('an Idempotency-Key', () => {
  it('gives the same key again with another secret, and the first secret is dead', async () => {
    const claim = aClaim();
    const first = await create(claim);
    const again = await create(claim);
    expect(again.id).toBe(first.id);
    expect(again.digest).not.toBe(first.digest);
    expect(await getKey(first.id, engine.table)).toEqual(again);
    expect(await markFirstUse(first, first.digest, by(NOW), SETTINGS, engine.table)).toBe('refused');
  });

  it('makes one key of many simultaneous requests, and the last answer is the one that works', async () => {
    const before = await keysMade();
    const claim = aClaim();
    const { done, problems } = await outcomes(Array.from({ length: 6 }, () => create(claim)));
    expect(problems).toEqual([]);
    expect(new Set(done.map((key) => key.id)).size).toBe(1);
    expect(await keysMade()).toBe(before + 1);
    const { digest } = await keyOf(done[0]!.id);
    expect(done.filter((key) => key.digest === digest)).toHaveLength(1);
  });

  it('rotates once for many simultaneous requests: a twin is answered, not told of a conflict', async () => {
    for (let round = 0; round < 5; round++) {
      const key = aKey();
      await createKey(key, by(), undefined, engine.table);
      const claim = aClaim({ operation: 'rotate-key' });
      const { done, problems } = await outcomes(Array.from({ length: 5 }, () => rotate(claim, key.id)));
      expect(problems).toEqual([]);
      expect(new Set(done.map(({ id }) => id))).toEqual(new Set([(await keyOf(key.id)).successor_key_id]));
    }
  });

  it('does not hide a rotation by somebody else', async () => {
    const key = aKey();
    await createKey(key, by(), undefined, engine.table);
    await rotateKey(key, rotating(), by(), undefined, engine.table);
    const claim = aClaim({ operation: 'rotate-key' });
    await expect(rotate(claim, key.id)).rejects.toMatchObject({ code: 'pending_successor' });
    expect(await findIdempotency(claim, engine.table)).toBeUndefined();
  });

  it('is refused once the key has been used', async () => {
    const claim = aClaim();
    const first = await create(claim);
    await markFirstUse(first, first.digest, by(NOW), SETTINGS, engine.table);
    await expect(create(claim)).rejects.toMatchObject({
      code: 'idempotency_key_used',
      extensions: { api_key_id: first.id },
    });
    expect((await keyOf(first.id)).digest).toBe(first.digest);
  });

  it('is refused with another request', async () => {
    const claim = aClaim();
    const first = await create(claim);
    const other = { ...claim, request_hash: requestHash({ body: { name: 'y' } }) };
    await expect(create(other)).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    expect((await keyOf(first.id)).digest).toBe(first.digest);
  });

  it('belongs to its caller and its operation', async () => {
    const claim = aClaim();
    const first = await create(claim);
    const stranger = await create({ ...claim, caller_key_id: 'key_0000000000000000000002' });
    expect(stranger.id).not.toBe(first.id);
    expect(await findIdempotency({ ...claim, operation: 'rotate-key' }, engine.table)).toBeUndefined();
  });

  it('is free again after 24 hours, even if its record still lies there', async () => {
    const claim = aClaim();
    const first = await create(claim);
    const inTime = { ...claim, now: NOW + DAY - 1 };
    expect((await create(inTime)).id).toBe(first.id);
    const late = { ...claim, now: NOW + DAY };
    const second = await create(late);
    expect(second.id).not.toBe(first.id);
    expect((await create(late)).id).toBe(second.id);
  });

  it('has a record with a ttl in epoch seconds, without the key as the caller sent it', async () => {
    const claim = aClaim({ idempotency_key: 'what-the-caller-sent' });
    const made = await create(claim);
    const items = (await everything(engine.table)).filter((item) => item['api_key_id'] === made.id);
    expect(items).toEqual([
      {
        pk: expect.stringMatching(/^idempotency_[0-9a-f]{64}$/),
        sk: 'idempotency',
        caller_key_id: CALLER,
        operation: 'create-key',
        request_hash: claim.request_hash,
        api_key_id: made.id,
        previous_key_id: null,
        created_at: '2026-11-24T10:00:00.000Z',
        expires_at: '2026-11-25T10:00:00.000Z',
        ttl: (NOW + DAY) / 1000,
      },
    ]);
    expect(JSON.stringify(items)).not.toContain('what-the-caller-sent');
  });
});

describe('the cursor secret', () => {
  it('is made once, whoever asks first, and is the same for every process', async () => {
    const processes = Array.from({ length: 12 }, () => engine.open());
    const secrets = await Promise.all(processes.map((table) => cursorSecret(table)));
    expect(new Set(secrets.map((secret) => Buffer.from(secret).toString('hex'))).size).toBe(1);
    expect(secrets[0]).toHaveLength(32);
    expect((await everything(engine.table)).filter((item) => item['pk'] === 'secret_cursor')).toHaveLength(1);
  });
});
