import { describe, expect, it } from '@jest/globals';
import { StageDeclaration, type StageRecord } from '../../lib/stage.schema.ts';
import { decideStage, isCached, stagesOf } from '../../lib/stage.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const DAY = 24 * 60 * 60 * 1000;
const declared = (change: Partial<StageDeclaration> = {}): StageDeclaration => ({
  api_id: 'abc123',
  stage: 'v1',
  kind: 'rest',
  account: '111111111111',
  region: 'eu-central-1',
  cache_ttl_seconds: 300,
  role_arn: null,
  ...change,
});
const stored = (change: Partial<StageRecord> = {}): StageRecord => ({
  ...declared(),
  cached_until: null,
  ...change,
});

describe('a stage', () => {
  it('counts as cached for a day after its cache was turned off', () => {
    const off = decideStage(stored(), declared({ cache_ttl_seconds: 0 }), NOW);
    expect(isCached(off, NOW + DAY - 1)).toBe(true);
    expect(isCached(off, NOW + DAY)).toBe(false);
  });

  it('keeps that day when the same is registered again', () => {
    const off = decideStage(stored(), declared({ cache_ttl_seconds: 0 }), NOW);
    const again = decideStage(off, declared({ cache_ttl_seconds: 0 }), NOW + DAY / 2);
    expect(again).toEqual(off);
  });

  it('that never kept anything is not cached', () => {
    const never = decideStage(undefined, declared({ cache_ttl_seconds: 0 }), NOW);
    expect(isCached(never, NOW)).toBe(false);
  });

  it('that keeps answers again forgets that it was turned off', () => {
    const off = decideStage(stored(), declared({ cache_ttl_seconds: 0 }), NOW);
    expect(decideStage(off, declared(), NOW).cached_until).toBeNull();
  });

  it('is cached when one of its registrations says so, in whatever order', () => {
    const records = [stored({ cache_ttl_seconds: 0 }), stored(), stored({ cache_ttl_seconds: 0 })];
    for (const some of [records, records.slice(1), records.slice(0, 2)])
      expect(stagesOf(some, NOW).map(({ is_cached }) => is_cached)).toEqual([true]);
    expect(
      stagesOf([stored({ stage: 'v2', cache_ttl_seconds: 0 }), ...records], NOW).map(
        ({ stage, is_cached }) => `${stage} ${is_cached}`,
      ),
    ).toEqual(['v2 false', 'v1 true']);
  });
});

describe('what is registered of a stage', () => {
  it.each([
    ['a WebSocket API with a cache', { kind: 'websocket' as const }, 'cache_ttl_seconds'],
    ['a time that API Gateway does not take', { cache_ttl_seconds: 3601 }, 'cache_ttl_seconds'],
    ['a role of another account', { role_arn: 'arn:aws:iam::222222222222:role/rekey-flush-x' }, 'role_arn'],
    ['a role of another name', { role_arn: 'arn:aws:iam::111111111111:role/admin' }, 'role_arn'],
    ['a stage with a slash', { stage: 'v1/x' }, 'stage'],
    ['an API with a slash', { api_id: 'a/b' }, 'api_id'],
  ])('is refused with %s', (_, change, field) => {
    const { error } = StageDeclaration.safeParse(declared(change));
    expect(error?.issues.map(({ path }) => path[0])).toEqual([field]);
  });

  it('is taken with a role of its account', () => {
    const role_arn = 'arn:aws:iam::111111111111:role/rekey-flush-Orders-Api';
    expect(StageDeclaration.parse(declared({ role_arn })).role_arn).toBe(role_arn);
  });
});
