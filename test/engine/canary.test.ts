import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CANARY_OWNER, runCanary } from '../../lib/canary.ts';
import { systemOrigin } from '../../lib/event.ts';
import { parseKey } from '../../lib/key-format.ts';
import { getKey } from '../../lib/key-table.ts';
import { getHeartbeat, putHeartbeat, putSample, readSamples } from '../../lib/status-table.ts';
import { type Engine, startEngine } from './engine.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine.close());

const urls = { cached: 'https://cached/canary', uncached: 'https://uncached/canary' };
const NOW = Date.parse('2026-11-24T12:00:00.000Z');

/** API Gateway, as the canary sees it: a stage refuses a revoked key so many milliseconds after its revocation. */
let delays: Record<string, number>;
let time: number;
let revokedAt: number | undefined;
const keys = new Set<string>();
let hiccup: ((url: string) => number | undefined) | undefined;

const send = async (url: string, key: string): Promise<number> => {
  keys.add(key);
  time += 10;
  const odd = hiccup?.(url);
  if (odd !== undefined) return odd;
  const id = parseKey(key, 'rk')!.id;
  const record = await getKey(id, engine.table);
  if (!record) return 401;
  if (record.revoked_at === null) return 204;
  revokedAt ??= time;
  return time - revokedAt >= (delays[url] ?? 0) ? 401 : 204;
};
const run = () =>
  runCanary(urls, 'rk', systemOrigin('run-canary', NOW), {
    send,
    sleep: async (ms) => {
      time += ms;
    },
    clock: () => time,
    flush: async () => undefined,
    table: engine.table,
  });
const onlyKey = () => {
  expect(keys.size).toBe(1);
  return [...keys][0]!;
};

beforeEach(() => {
  delays = {};
  time = 0;
  revokedAt = undefined;
  hiccup = undefined;
  keys.clear();
});

describe('the canary', () => {
  it('measures how long its key is let in after it was revoked', async () => {
    delays = { [urls.cached]: 3_000 };
    const samples = await run();
    expect(samples.map(({ canary_stage, gave_up }) => [canary_stage, gave_up])).toEqual([
      ['cached', false],
      ['uncached', false],
    ]);
    const [cached, uncached] = samples.map(({ refused_after_ms }) => refused_after_ms);
    expect(cached).toBeGreaterThanOrEqual(3_000);
    expect(cached).toBeLessThan(3_500);
    expect(uncached).toBeLessThan(200);
  });

  it('leaves a revoked key of its own owner, which is gone a day later', async () => {
    await run();
    const record = (await getKey(parseKey(onlyKey(), 'rk')!.id, engine.table))!;
    expect(record).toMatchObject({ owner_id: CANARY_OWNER, revoked_reason: 'canary' });
    expect(record.revoked_at).not.toBeNull();
    expect(record.next_action_at).toBeUndefined();
    expect(record.ttl! * 1000 - NOW).toBeLessThanOrEqual(2 * 24 * 3_600_000);
  });

  it('writes the key’s text nowhere', async () => {
    const samples = await run();
    const { Items = [] } = await engine.table.client.send(
      new ScanCommand({ TableName: engine.table.tableName }),
    );
    const all = JSON.stringify([Items, samples]);
    expect(all).toContain(CANARY_OWNER);
    expect(all).not.toContain(onlyKey());
    expect(all).not.toContain(onlyKey().slice(-43));
  });

  it('takes an answer that is no refusal for none, and begins to count again after one that lets in', async () => {
    let asked = 0;
    hiccup = (url) => {
      if (url !== urls.uncached || revokedAt === undefined) return undefined;
      asked += 1;
      return [undefined, 500, undefined, 204, 0][asked - 1];
    };
    const [, uncached] = await run();
    expect(asked).toBeGreaterThanOrEqual(8);
    expect(uncached!.refused_after_ms).toBeGreaterThanOrEqual(250);
  });

  it('gives up after a minute and says so', async () => {
    delays = { [urls.cached]: Number.POSITIVE_INFINITY };
    const [cached] = await run();
    expect(cached).toMatchObject({ gave_up: true });
    expect(cached!.refused_after_ms).toBeGreaterThan(60_000);
  });

  it('that can’t use its key measures nothing, and revokes it', async () => {
    hiccup = () => 500;
    await expect(run()).rejects.toThrow('is not let in: https://cached/canary answers 500');
    const record = await getKey(parseKey(onlyKey(), 'rk')!.id, engine.table);
    expect(record?.revoked_at).not.toBeNull();
  });
});

describe('samples and heartbeats', () => {
  it('are found by stage, since a time', async () => {
    const at = (minute: number) => `2026-11-24T12:${String(minute).padStart(2, '0')}:00.000Z`;
    for (const minute of [1, 2, 3]) {
      for (const canary_stage of ['cached', 'uncached'] as const)
        await putSample(
          { canary_stage, measured_at: at(minute), refused_after_ms: minute, gave_up: false },
          engine.table,
        );
    }
    const { cached, uncached } = await readSamples(Date.parse(at(2)), engine.table);
    expect(cached.map(({ refused_after_ms }) => refused_after_ms)).toEqual([3, 2]);
    expect(uncached.map(({ canary_stage }) => canary_stage)).toEqual(['uncached', 'uncached']);
  });

  it('are the last ones', async () => {
    expect(await getHeartbeat('sweep', engine.table)).toBeUndefined();
    await putHeartbeat('sweep', 3, NOW, engine.table);
    await putHeartbeat('sweep', 4, NOW + 1, engine.table);
    expect(await getHeartbeat('sweep', engine.table)).toEqual({
      beat_at: new Date(NOW + 1).toISOString(),
      late_seconds: 4,
    });
  });
});
