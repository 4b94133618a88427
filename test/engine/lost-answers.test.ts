import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Claim } from '../../lib/idempotency.ts';
import { requestHash } from '../../lib/idempotency.ts';
import {
  createKey,
  getKey,
  markFirstUse,
  replaceSecret,
  revokeKey,
  rotateKey,
  updateKey,
} from '../../lib/key-table.ts';
import { type KeyTable, openTable } from '../../lib/table-client.ts';
import { CREDENTIALS, type Engine, startEngine } from './engine.ts';
import {
  aKey,
  by,
  everything,
  HOUR,
  instant,
  NOW,
  newDigest,
  RETENTION_DAYS,
  rotating,
  SETTINGS,
} from './keys.ts';
import { type Fate, type Network, unreliableNetwork } from './unreliable-network.ts';

let engine: Engine;
let network: Network | undefined;
beforeAll(async () => {
  engine = await startEngine();
});
afterEach(() => network?.close());
afterAll(() => engine?.close());

const stored = async () => {
  const key = aKey();
  await createKey(key, by(), undefined, engine.table);
  return key;
};

/** The table over a network on which the first such requests have this fate, and all others pass. */
async function overNetwork(fate: Fate, operation: string, times = 1): Promise<KeyTable> {
  network = await unreliableNetwork(engine.endpoint, (name, count) =>
    name === operation && count <= times ? fate : 'pass',
  );
  return engine.open({
    endpoint: network.endpoint,
    requestHandler: { requestTimeout: 400, connectionTimeout: 1_000, throwOnRequestTimeout: true },
  });
}

const lineageItems = async (root: string) =>
  (await everything(engine.table)).filter((item) => item['root_key_id'] === root);
const now = NOW + HOUR;
const revocation = { reason: 'leaked', retention_days: RETENTION_DAYS };
const aClaim = (idempotency_key: string): Claim => ({
  caller_key_id: 'key_0000000000000000000001',
  operation: 'create-key',
  idempotency_key,
  request_hash: requestHash({}),
  now: NOW,
});

describe('when the answer to a write is lost and the SDK sends it again', () => {
  it('a created key is created, once', async () => {
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    const key = aKey();
    expect(await createKey(key, by(), undefined, table)).toEqual(key);
    expect(network?.seen.filter((name) => name === 'TransactWriteItems')).toHaveLength(2);
    expect(await lineageItems(key.id)).toHaveLength(1);
  });

  it('a key created with an Idempotency-Key has not lost to itself', async () => {
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    const key = aKey();
    expect(await createKey(key, by(), aClaim('lost'), table)).toEqual(key);
    expect(network?.seen.filter((name) => name === 'TransactWriteItems')).toHaveLength(2);
  });

  it('a rotated key has one successor: the one that is answered', async () => {
    const key = await stored();
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    const rotated = await rotateKey(key, rotating(), by(), undefined, table);
    if (rotated === 'taken') throw new Error('taken');
    expect(network?.seen.filter((name) => name === 'TransactWriteItems')).toHaveLength(2);
    expect(await getKey(rotated.successor.id, engine.table)).toEqual(rotated.successor);
    expect(await lineageItems(key.id)).toHaveLength(2);
  });

  it('a rotation with an Idempotency-Key is not taken for another request', async () => {
    const key = await stored();
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    const rotated = await rotateKey(key, rotating(), by(), aClaim('lost rotation'), table);
    expect(rotated).toHaveProperty('successor.root_key_id', key.id);
    expect(await lineageItems(key.id)).toHaveLength(2);
  });

  it('a revoked key is revoked with its reason, without a conflict', async () => {
    const key = await stored();
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    const revoked = await revokeKey(key, revocation, by(), table);
    expect(revoked).toMatchObject({ revoked_at: instant(now), revoked_reason: 'leaked', version: now });
    expect(await getKey(key.id, engine.table)).toEqual(revoked);
  });

  it('an updated key is updated, without a conflict', async () => {
    const key = await stored();
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    const updated = await updateKey(key, () => ({ name: 'Renamed' }), by(), table);
    expect(updated).toMatchObject({ name: 'Renamed' });
    expect(await getKey(key.id, engine.table)).toEqual(updated);
  });

  it('a replaced secret is the one that is answered', async () => {
    const key = await stored();
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    const digest = newDigest();
    const replaced = await replaceSecret(key, { digest, hint: 'wxyz' }, by(), table);
    expect(replaced).toMatchObject({ digest, version: now });
    expect(await getKey(key.id, engine.table)).toEqual(replaced);
  });

  it('a first use is let in', async () => {
    const key = await stored();
    const table = await overNetwork('lose answer', 'TransactWriteItems');
    expect(await markFirstUse(key, key.digest, by(), SETTINGS, table)).toBe('marked');
    expect((await getKey(key.id, engine.table))?.first_used_at).toBe(instant(now));
  });
});

describe('when DynamoDB is hard to reach', () => {
  it.each(['lose request', 'never answer', 'busy'] as const)('a rotation survives one %s', async (fate) => {
    const key = await stored();
    const table = await overNetwork(fate, 'TransactWriteItems');
    expect(await rotateKey(key, rotating(), by(), undefined, table)).toHaveProperty('successor');
    expect(await lineageItems(key.id)).toHaveLength(2);
  });

  it.each(['lose request', 'never answer', 'busy'] as const)(
    'a rotation is unavailable with a retry-after after nothing but %s, and nothing is half done',
    async (fate) => {
      const key = await stored();
      const table = await overNetwork(fate, 'TransactWriteItems', 1_000);
      await expect(rotateKey(key, rotating(), by(), undefined, table)).rejects.toMatchObject({
        code: 'unavailable',
        status: 503,
        headers: { 'retry-after': '1' },
      });
      expect(await lineageItems(key.id)).toHaveLength(1);
      expect(await getKey(key.id, engine.table)).toEqual(key);
    },
  );

  it('a rotation whose every answer is lost is wholly done, and its Idempotency-Key finds it', async () => {
    const key = await stored();
    const table = await overNetwork('lose answer', 'TransactWriteItems', 1_000);
    await expect(rotateKey(key, rotating(), by(), aClaim('all lost'), table)).rejects.toMatchObject({
      code: 'unavailable',
    });
    const old = await getKey(key.id, engine.table);
    expect(await getKey(old!.successor_key_id!, engine.table)).toMatchObject({ parent_key_id: key.id });
    expect(
      (await everything(engine.table)).filter((item) => item['previous_key_id'] === key.id),
    ).toHaveLength(1);
    expect(await lineageItems(key.id)).toHaveLength(2);
  });

  it('a revoke survives two lost requests', async () => {
    const key = await stored();
    const table = await overNetwork('lose request', 'TransactWriteItems', 2);
    expect(await revokeKey(key, revocation, by(), table)).toMatchObject({ revoked_at: instant(now) });
  });

  it('a read that is never answered is tried again, and ends within the time limit as unavailable', async () => {
    const key = await stored();
    network = await unreliableNetwork(engine.endpoint, () => 'never answer');
    // As the functions open it, with no other time limits.
    const table = openTable(engine.table.tableName, { ...CREDENTIALS, endpoint: network.endpoint });
    const from = Date.now();
    await expect(getKey(key.id, table)).rejects.toMatchObject({ code: 'unavailable' });
    table.client.destroy();
    expect(Date.now() - from).toBeLessThan(9_000);
    expect(network.seen.length).toBeGreaterThanOrEqual(2);
  });
});
