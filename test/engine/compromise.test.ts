import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { isValid } from '../../lib/api-key.ts';
import { type CompromiseScope, lineOf } from '../../lib/compromise.ts';
import { beginCompromise } from '../../lib/compromise-table.ts';
import type { Event } from '../../lib/event.schema.ts';
import { finishCompromises } from '../../lib/finish-compromises.ts';
import { cancelRotation, createKey, getKey, revokeKey, rotateKey } from '../../lib/key-table.ts';
import { eachOfLine, revokeLine } from '../../lib/line.ts';
import { Problem } from '../../lib/problem.ts';
import { decideCancellation } from '../../lib/rotation.ts';
import { type Engine, startEngine } from './engine.ts';
import { aKey, by, DAY, everything, HOUR, instant, NOW, RETENTION_DAYS, rotating, SETTINGS } from './keys.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.close());

const now = NOW + HOUR;
const revocation = { reason: 'found in a log', retention_days: RETENTION_DAYS };
const always = () => true;

const fresh = (facts: Partial<ApiKeyRecord> = {}) =>
  createKey(aKey(facts), by(), undefined, engine.table) as Promise<ApiKeyRecord>;
const read = async (id: string): Promise<ApiKeyRecord> => (await getKey(id, engine.table))!;
const rotate = async (id: string): Promise<ApiKeyRecord> => {
  const decide = rotating({}, now, { ...SETTINGS, most_valid_keys: 10 });
  const rotated = await rotateKey(await read(id), decide, by(now), undefined, engine.table);
  if (rotated === 'taken') throw new Error('nothing was claimed');
  return rotated.successor;
};
/** A key and its successors, all of them valid: the grace of each lasts. */
const aLine = async (length: number): Promise<ApiKeyRecord[]> => {
  const line = [await fresh()];
  while (line.length < length) line.push(await rotate(line.at(-1)!.id));
  return line;
};
const lineFrom = async (id: string, scope: CompromiseScope) => {
  const record = await read(id);
  const parent = record.parent_key_id === null ? undefined : await getKey(record.parent_key_id, engine.table);
  return lineOf(record, parent, scope);
};
const end = async (id: string, scope: CompromiseScope, hasTime = always) =>
  revokeLine(await lineFrom(id, scope), revocation, by(now), hasTime, engine.table);
const validOf = async (ids: string[]): Promise<number[]> =>
  (await Promise.all(ids.map(read))).flatMap((record, at) => (isValid(record, now) ? [at] : []));
const keysOf = async (root: string): Promise<ApiKeyRecord[]> =>
  (await everything(engine.table)).filter(
    ({ sk, root_key_id }) => sk === 'api_key' && root_key_id === root,
  ) as unknown as ApiKeyRecord[];
const trailOf = async (id: string): Promise<Event[]> =>
  (await everything(engine.table))
    .filter(({ pk }) => pk === `events_${id}`)
    .map(({ event }) => JSON.parse(String(event)) as Event);

describe('a compromise', () => {
  it.each([
    ['key', [0, 1, 3, 4]],
    ['subtree', [0, 1]],
    ['family', []],
  ] as const)('of the scope %s leaves these of five valid: %j', async (scope, left) => {
    const ids = (await aLine(5)).map(({ id }) => id);
    const { stopped, finished } = await end(ids[2]!, scope);
    expect(finished).toBe(true);
    expect(await validOf(ids)).toEqual(left);
    expect(stopped.map(({ id }) => id).sort()).toEqual(
      ids.filter((_, at) => !(left as readonly number[]).includes(at)).sort(),
    );
    for (const { revoked_reason } of stopped) expect(revoked_reason).toBe('found in a log');
  });

  it('goes through keys that are revoked already, and leaves their time and reason', async () => {
    const ids = (await aLine(3)).map(({ id }) => id);
    await revokeKey(await read(ids[1]!), { ...revocation, reason: 'before' }, by(now - 5), engine.table);
    await end(ids[0]!, 'subtree');
    expect(await validOf(ids)).toEqual([]);
    expect((await read(ids[1]!)).revoked_reason).toBe('before');
    expect((await trailOf(ids[1]!)).filter(({ type }) => type === 'api_key.revoked')).toHaveLength(1);
  });

  it('bridges records that are gone', async () => {
    const line = await aLine(5);
    for (const at of [0, 2, 3])
      await engine.table.client.send(
        new (await import('@aws-sdk/lib-dynamodb')).DeleteCommand({
          TableName: engine.table.tableName,
          Key: { pk: line[at]!.id, sk: 'api_key' },
        }),
      );
    await end(line[1]!.id, 'family');
    expect(isValid(await read(line[4]!.id), now)).toBe(false);
  });

  it('of a key that a cancelled rotation dropped does not touch the line that went on', async () => {
    const [root, dropped] = (await aLine(2)) as [ApiKeyRecord, ApiKeyRecord];
    await cancelRotation(
      await read(root.id),
      (record, successor) => decideCancellation(record, successor, now, SETTINGS),
      'cancelled',
      by(now),
      engine.table,
    );
    const next = await rotate(root.id);
    await end(dropped.id, 'subtree');
    expect(await validOf([root.id, next.id])).toEqual([0, 1]);
    await end(dropped.id, 'family');
    expect(await validOf([root.id, next.id])).toEqual([]);
  });

  it('leaves alone what ended long ago', async () => {
    const root = await fresh({ expires_at: instant(NOW - 2 * DAY), created_at: instant(NOW - 9 * DAY) });
    const { stopped, finished } = await end(root.id, 'family');
    expect({ stopped, finished }).toEqual({ stopped: [], finished: true });
    expect((await read(root.id)).revoked_at).toBeNull();
  });

  it('tells first what would stop, and changes nothing', async () => {
    const ids = (await aLine(4)).map(({ id }) => id);
    const { stopped } = await eachOfLine(
      await lineFrom(ids[1]!, 'subtree'),
      (record) => Promise.resolve(record),
      { now, hasTime: always },
      engine.table,
    );
    expect(stopped.map(({ id }) => id).sort()).toEqual(ids.slice(1).sort());
    expect(await validOf(ids)).toEqual([0, 1, 2, 3]);
  });
});

describe('a compromise that broke off', () => {
  it('goes on to the end, in the name of who began it, and leaves nothing to do', async () => {
    const ids = (await aLine(60)).map(({ id }) => id);
    const line = await lineFrom(ids[0]!, 'family');
    await beginCompromise(line, revocation.reason, by(now), engine.table);
    let steps = 0;
    // As if the process had been killed: the time is over in the middle.
    const broken = await revokeLine(line, revocation, by(now), () => ++steps < 3, engine.table);
    expect(broken.finished).toBe(false);
    const left = (await validOf(ids)).length;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(60);

    const run = { hasTime: always, retention_days: RETENTION_DAYS };
    expect(await finishCompromises({ ...run, now: () => now + 1_000 }, engine.table)).toMatchObject({
      finished: 0,
    });
    const later = () => now + 60_000;
    expect(await finishCompromises({ ...run, now: later }, engine.table)).toEqual({
      finished: 1,
      unfinished: 0,
      oldest_seconds: 0,
    });
    expect(await validOf(ids)).toEqual([]);
    expect((await trailOf(ids[59]!)).at(-1)).toMatchObject({
      type: 'api_key.revoked',
      actor: by().actor,
      source_ip: by().source_ip,
      reason: revocation.reason,
    });
    expect((await everything(engine.table)).filter(({ sk }) => sk === 'compromise')).toEqual([]);
  });

  it('stays, and says for how long, while a key cannot be read', async () => {
    jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const [root, next] = (await aLine(2)) as [ApiKeyRecord, ApiKeyRecord];
    await engine.table.client.send(
      new (await import('@aws-sdk/lib-dynamodb')).UpdateCommand({
        TableName: engine.table.tableName,
        Key: { pk: root.id, sk: 'api_key' },
        UpdateExpression: 'SET version = :no',
        ExpressionAttributeValues: { ':no': 'no number' },
      }),
    );
    await beginCompromise(await lineOf(next, undefined, 'family'), 'x', by(now), engine.table);
    const run = { hasTime: always, retention_days: RETENTION_DAYS, now: () => now + 120_000 };
    expect(await finishCompromises(run, engine.table)).toMatchObject({ unfinished: 1, oldest_seconds: 120 });
    expect(isValid(await read(next.id), now)).toBe(false);
    jest.restoreAllMocks();
  });
});

describe('a compromise and rotations at the same time', () => {
  it('never leave a valid key, of 50 at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 3 }),
        fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 50, maxLength: 50 }),
        async (length, from, delays) => {
          const line = await aLine(length);
          const root = line[0]!;
          const rotating = delays.map(async (delay) => {
            await new Promise((next) => setTimeout(next, delay));
            // Whoever holds the end of the line rotates it, again and again until it is refused.
            let id = line.at(-1)!.id;
            for (let tries = 0; tries < 4; tries++) {
              try {
                id = (await rotate(id)).id;
              } catch (error) {
                if (!(error instanceof Problem)) throw error;
                id = (await read(id)).successor_key_id ?? id;
              }
            }
          });
          const compromising = (async () => {
            await new Promise((next) => setTimeout(next, 5));
            return end(line[Math.min(from, length - 1)]!.id, 'family');
          })();
          const [result] = await Promise.all([compromising, ...rotating]);
          expect(result.finished).toBe(true);
          const keys = await keysOf(root.root_key_id);
          expect(keys.filter((key) => isValid(key, now))).toEqual([]);
        },
      ),
      { numRuns: 12 },
    );
  }, 240_000);
});
