import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import type { Event } from '../../lib/event.schema.ts';
import {
  cancelRotation,
  createKey,
  getKey,
  lineage,
  markFirstUse,
  revokeKey,
  rotateKey,
} from '../../lib/key-table.ts';
import { decideCancellation, ROTATION_CANCELLED } from '../../lib/rotation.ts';
import type { KeyTable } from '../../lib/table-client.ts';
import { type Engine, startEngine } from './engine.ts';
import { aKey, by, everything, HOUR, NOW, outcomes, RETENTION_DAYS, rotating, SETTINGS } from './keys.ts';
import { type Network, unreliableNetwork } from './unreliable-network.ts';

let engine: Engine;
let network: Network | undefined;
beforeAll(async () => {
  engine = await startEngine();
});
afterEach(() => network?.close());
afterAll(() => engine?.close());

const LATER = NOW + 2 * HOUR;
const rotated = async (key: ApiKeyRecord, now = NOW + HOUR) => {
  const both = await rotateKey(key, rotating({}, now), by(now), undefined, engine.table);
  if (both === 'taken') throw new Error('taken');
  return both;
};
const storedPair = async () => {
  const key = aKey();
  await createKey(key, by(NOW), undefined, engine.table);
  return { key, ...(await rotated(key)) };
};
const cancel = (seen: ApiKeyRecord, table: KeyTable = engine.table) =>
  cancelRotation(
    seen,
    (record, successor) => decideCancellation(record, successor, LATER, SETTINGS),
    ROTATION_CANCELLED,
    by(LATER),
    table,
  );
const told = async (id: string) =>
  (await everything(engine.table))
    .filter(({ pk }) => pk === `events_${id}`)
    .map(({ event }) => JSON.parse(String(event)) as Event)
    .filter(({ reason }) => reason === ROTATION_CANCELLED)
    .map(({ type, changes }) => `${type}: ${changes.map(({ field }) => field).join(' ')}`);

describe('cancelling a rotation', () => {
  it('leaves the key as it was before but for its version, its successor revoked, and both told', async () => {
    const { key, successor, previous } = await storedPair();
    const done = await cancel(previous);
    expect(await getKey(key.id, engine.table)).toEqual({ ...key, version: LATER, next_generation: 2 });
    expect(await getKey(key.id, engine.table)).toEqual(done.record);
    expect(await getKey(successor.id, engine.table)).toEqual(done.successor);
    expect(done.successor).toMatchObject({ revoked_reason: ROTATION_CANCELLED, version: LATER });
    expect(await told(key.id)).toEqual(['api_key.updated: expires_at rotated_at successor_key_id']);
    expect(await told(successor.id)).toEqual(['api_key.revoked: revoked_at revoked_reason']);
  });

  it('frees the line: the next successor has a generation of its own, and the lineage has all of them', async () => {
    const { key, successor, previous } = await storedPair();
    const { record } = await cancel(previous);
    const again = await rotated(record, LATER + HOUR);
    expect(again.successor).toMatchObject({ generation: 2, parent_key_id: key.id });
    const { keys } = await lineage({ root_key_id: key.id, limit: 10 }, engine.table);
    expect(keys.map(({ id }) => id)).toEqual([key.id, successor.id, again.successor.id]);
  });

  it('and the first use of the successor never both succeed', async () => {
    for (let i = 0; i < 20; i++) {
      const { key, successor, previous } = await storedPair();
      const [cancelled, used] = await Promise.all([
        outcomes([cancel(previous)]),
        markFirstUse(successor, successor.digest, by(LATER), SETTINGS, engine.table),
      ]);
      const [old, next] = [await getKey(key.id, engine.table), await getKey(successor.id, engine.table)];
      if (used === 'marked') {
        expect(cancelled.problems).toEqual(['successor_used']);
        expect([old?.successor_key_id, next?.revoked_at]).toEqual([successor.id, null]);
      } else {
        expect(used).toBe('refused');
        expect(cancelled.done).toHaveLength(1);
        expect([old?.successor_key_id, next?.first_used_at]).toEqual([null, null]);
      }
    }
  });

  it('ten times at once is done once', async () => {
    const { key, successor, previous } = await storedPair();
    const { done, problems } = await outcomes(Array.from({ length: 10 }, () => cancel(previous)));
    // Those that lost to a twin answer with what it did; those that came later find nothing to cancel.
    expect(problems.filter((code) => code !== 'not_rotated')).toEqual([]);
    const kept = {
      record: await getKey(key.id, engine.table),
      successor: await getKey(successor.id, engine.table),
    };
    for (const answer of done) expect(answer).toEqual(kept);
    expect(done.length).toBeGreaterThan(0);
    expect(await told(key.id)).toHaveLength(1);
    expect(await told(successor.id)).toHaveLength(1);
  });

  it('whose answer is lost is done once, and answered', async () => {
    const { key, previous } = await storedPair();
    network = await unreliableNetwork(engine.endpoint, (operation, count) =>
      operation === 'TransactWriteItems' && count === 1 ? 'lose answer' : 'pass',
    );
    const { record } = await cancel(previous, engine.open({ endpoint: network.endpoint }));
    expect(record.rotated_at).toBeNull();
    expect(await told(key.id)).toHaveLength(1);
  });

  it('leaves the time and the reason of a successor that was revoked before', async () => {
    const { successor, previous } = await storedPair();
    const revocation = { reason: 'leaked', retention_days: RETENTION_DAYS };
    const revoked = await revokeKey(successor, revocation, by(NOW + HOUR), engine.table);
    const done = await cancel(previous);
    expect(done.successor).toEqual(revoked);
    expect(await getKey(successor.id, engine.table)).toEqual(revoked);
  });
});
