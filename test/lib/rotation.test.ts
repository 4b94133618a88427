import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { isValid, statusOf } from '../../lib/api-key.ts';
import { successorRecord } from '../../lib/new-key.ts';
import {
  AlreadyRotated,
  InvalidRequest,
  KeyExpired,
  KeyRevoked,
  NotRotated,
  Problem,
  SuccessorUsed,
} from '../../lib/problem.ts';
import {
  decideCancellation,
  decideRotation,
  type RotationRequest,
  type RotationSettings,
} from '../../lib/rotation.ts';
import { missingScopes } from '../../lib/scope.ts';

const NOW = Date.parse('2027-01-01T00:00:00.000Z');
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (ms: number) => new Date(NOW + ms).toISOString();

const ID = 'key_035OVLf5NbCkftOoCXHY41';
const ROOT = 'key_0000000000000000000000';
const NEXT = 'key_7n42DGM5Tflk9n8mt7Fhc7';

const settings: RotationSettings = {
  default_lifetime_days: 90,
  max_lifetime_days: 365,
  allow_never_expiring: false,
  retention_days: 90,
  notify_days_before: [14],
  grace_starts: 'now',
  pending_days: 7,
  most_valid_keys: 2,
};

const record: ApiKeyRecord = {
  id: ID,
  owner_id: 'team-a',
  owner_access: 'own',
  name: 'Billing worker',
  environment: 'test',
  scopes: ['orders:*', 'users:read'],
  hint: 'IDlf',
  created_at: at(-20 * DAY),
  created_by: ROOT,
  expires_at: at(10 * DAY),
  rotated_at: null,
  revoked_at: null,
  revoked_reason: null,
  first_used_at: at(-DAY),
  last_used_at: null,
  last_used_ip: null,
  last_used_route: null,
  parent_key_id: ROOT,
  successor_key_id: null,
  root_key_id: ROOT,
  generation: 1,
  metadata: { team: 'a' },
  notify_days_before: null,
  grace_starts: null,
  pending_until: null,
  rotation: null,
  rotation_due_at: null,
  swept_until: null,
  on_reuse: 'tell',
  replaces_key_id: null,
  honey: false,
  digest: 'a'.repeat(64),
  version: 3,
  ttl: 1,
};

const rotate = (request: RotationRequest = {}, facts: Partial<ApiKeyRecord> = {}, more = settings) =>
  decideRotation({ ...record, ...facts }, request, NOW, more);

const thrownBy = (decide: () => unknown): Problem | undefined => {
  try {
    decide();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  return undefined;
};

describe('the rotated key', () => {
  it('keeps working for 24 hours, if nobody says otherwise', () => {
    const { old } = rotate();
    expect(old).toMatchObject({ rotated_at: at(0), expires_at: at(DAY), ttl: (NOW + 91 * DAY) / 1000 });
    expect(isValid({ ...record, ...old }, NOW + DAY - 1)).toBe(true);
    expect(isValid({ ...record, ...old }, NOW + DAY)).toBe(false);
  });

  it.each([0, 1, 100])('keeps working for %d hours if asked', (grace_period_hours) => {
    expect(rotate({ grace_period_hours }).old.expires_at).toBe(at(grace_period_hours * HOUR));
  });

  it('stops at once with a grace of 0', () => {
    expect(isValid({ ...record, ...rotate({ grace_period_hours: 0 }).old }, NOW)).toBe(false);
  });

  it('ends when it would have ended anyway, if that is sooner', () => {
    expect(rotate({ grace_period_hours: 720 }).old.expires_at).toBe(record.expires_at);
    expect(rotate({}, { expires_at: at(1) }).old).toMatchObject({
      expires_at: at(1),
      ttl: NOW / 1000 + 1 + 90 * 86_400,
    });
  });

  it('gets an end if it had none', () => {
    expect(rotate({}, { expires_at: null }).old.expires_at).toBe(at(DAY));
  });

  it.each([-1, 721, 0.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'has no grace of %d hours',
    (grace_period_hours) => {
      const problem = thrownBy(() => rotate({ grace_period_hours }));
      expect(problem).toBeInstanceOf(InvalidRequest);
      expect(problem?.extensions['errors']).toEqual([
        expect.objectContaining({ pointer: '/grace_period_hours' }),
      ]);
    },
  );
});

describe('the successor', () => {
  it('is the next generation of the same key, unused and with a life of its own', () => {
    const { successor } = rotate();
    expect(successor).toEqual({
      owner_id: 'team-a',
      owner_access: 'own',
      name: 'Billing worker',
      environment: 'test',
      scopes: ['orders:*', 'users:read'],
      created_at: at(0),
      expires_at: at(30 * DAY),
      rotated_at: null,
      revoked_at: null,
      revoked_reason: null,
      first_used_at: null,
      parent_key_id: ID,
      successor_key_id: null,
      root_key_id: ROOT,
      generation: 2,
      metadata: { team: 'a' },
      notify_days_before: null,
      grace_starts: null,
      pending_until: null,
      rotation: null,
      rotation_due_at: null,
      on_reuse: 'tell',
      replaces_key_id: null,
      honey: false,
      swept_until: null,
      version: NOW,
      last_used_at: null,
      last_used_ip: null,
      last_used_route: null,
      ttl: (NOW + 120 * DAY) / 1000,
    });
    const minted = { id: NEXT, digest: 'b'.repeat(64), hint: 'abcd', created_by: ID };
    expect(ApiKeyRecord.strict().parse({ ...successor, ...minted })).toBeDefined();
  });

  it('lives 30 days again and again, however late or early it is rotated', () => {
    let key = record;
    let now = NOW;
    for (const day of [1, 29, 0, 15]) {
      now += day * DAY;
      const { successor } = decideRotation(key, {}, now, settings);
      key = { ...record, ...successor };
      expect(key.expires_at).toBe(new Date(now + 30 * DAY).toISOString());
    }
    expect(key.generation).toBe(5);
  });

  it('lives as long as asked, up to the maximum', () => {
    expect(rotate({ expires_in_days: 365 }).successor.expires_at).toBe(at(365 * DAY));
    expect(thrownBy(() => rotate({ expires_in_days: 366 }))).toBeInstanceOf(InvalidRequest);
    expect(thrownBy(() => rotate({ expires_in_days: 0 }))).toBeInstanceOf(InvalidRequest);
  });

  it('never expires only if the old key never did and the stack still allows it', () => {
    const allowing = { ...settings, allow_never_expiring: true };
    expect(rotate({}, { expires_at: null }, allowing).successor).toMatchObject({
      expires_at: null,
      ttl: undefined,
    });
    expect(rotate({}, { expires_at: null }).successor.expires_at).toBe(at(365 * DAY));
    expect(rotate({}, {}, allowing).successor.expires_at).toBe(at(30 * DAY));
  });

  it('gets another name if asked', () => {
    expect(rotate({ name: 'Two' }).successor.name).toBe('Two');
  });

  it('may have fewer scopes, sorted and each once', () => {
    const scopes = ['users:read', 'orders:write', 'orders:read', 'users:read'];
    expect(rotate({ scopes }).successor.scopes).toEqual(['orders:read', 'orders:write', 'users:read']);
  });

  it('cannot have a scope that the old key lacks, and the answer names each', () => {
    const problem = thrownBy(() => rotate({ scopes: ['orders:read', 'users:*', 'users:read', '*:*'] }));
    expect(problem).toBeInstanceOf(InvalidRequest);
    expect(problem?.extensions['errors']).toMatchObject([{ pointer: '/scopes/1' }, { pointer: '/scopes/3' }]);
  });

  it('cannot be left without a scope', () => {
    expect(thrownBy(() => rotate({ scopes: [] }))).toBeInstanceOf(InvalidRequest);
  });
});

describe('a key that is not rotated', () => {
  it('was rotated before: the answer names the successor, also when the grace is over', () => {
    const rotated = { rotated_at: at(-HOUR), successor_key_id: NEXT };
    for (const expires_at of [at(HOUR), at(0), at(-1)]) {
      const problem = thrownBy(() => rotate({}, { ...rotated, expires_at }));
      expect(problem).toBeInstanceOf(AlreadyRotated);
      expect(problem?.extensions).toEqual({ successor_key_id: NEXT });
    }
  });

  it('is revoked', () => {
    expect(thrownBy(() => rotate({}, { revoked_at: at(-1) }))).toBeInstanceOf(KeyRevoked);
    const all = { revoked_at: at(-1), expires_at: at(-1), rotated_at: at(-2), successor_key_id: NEXT };
    expect(thrownBy(() => rotate({}, all))).toBeInstanceOf(KeyRevoked);
  });

  it('has expired, even at this very instant', () => {
    expect(thrownBy(() => rotate({}, { expires_at: at(0) }))).toBeInstanceOf(KeyExpired);
  });

  it('is refused for what it is before the request is looked at', () => {
    expect(thrownBy(() => rotate({ scopes: ['*:*'] }, { revoked_at: at(-1) }))).toBeInstanceOf(KeyRevoked);
  });
});

describe('whatever the key and the request', () => {
  const ms = fc.integer({ min: -800 * DAY, max: 800 * DAY });
  const instant = fc.option(ms.map(at), { nil: null });
  const scope = fc.constantFrom('a:b', 'a:c', 'a:*', '*:b', '*:*', 'd:e');
  const scopes = fc.array(scope, { minLength: 1, maxLength: 4 });
  const facts = fc.record({
    created_at: fc.integer({ min: -800 * DAY, max: 0 }).map(at),
    expires_at: instant,
    rotated_at: fc.option(ms.map(at), { nil: null, freq: 4 }),
    revoked_at: fc.option(ms.map(at), { nil: null, freq: 1 }),
    scopes,
  });
  const request = fc.record(
    {
      grace_period_hours: fc.integer({ min: -5, max: 730 }),
      scopes,
      expires_in_days: fc.integer({ min: -1, max: 370 }),
    },
    { requiredKeys: [] },
  );

  const holds = (check: (before: ApiKeyRecord, decided: ReturnType<typeof rotate>) => void) => {
    let decisions = 0;
    fc.assert(
      fc.property(facts, request, fc.boolean(), (changed, asked, allow_never_expiring) => {
        const before = { ...record, ...changed };
        let decided: ReturnType<typeof rotate>;
        try {
          decided = decideRotation(before, asked, NOW, { ...settings, allow_never_expiring });
        } catch (error) {
          expect(error).toBeInstanceOf(Problem);
          return;
        }
        decisions++;
        check(before, decided);
      }),
      { numRuns: 2000 },
    );
    expect(decisions).toBeGreaterThan(50);
  };

  it('the old key is valid at no moment at which it was not valid before', () => {
    holds((before, { old }) => {
      const end = Date.parse(old.expires_at ?? '');
      if (before.expires_at !== null) expect(end).toBeLessThanOrEqual(Date.parse(before.expires_at));
      expect(end).toBeLessThanOrEqual(NOW + 720 * HOUR);
      for (const moment of [NOW, NOW + HOUR, end - 1, end, end + 1, NOW + 900 * DAY]) {
        if (isValid({ ...before, ...old }, moment)) expect(isValid(before, moment)).toBe(true);
      }
    });
  });

  it('only a valid key has a successor', () => {
    holds((before) => expect(isValid(before, NOW)).toBe(true));
  });

  it('the successor has no scope that the old key did not cover', () => {
    holds((before, { successor }) => {
      expect(missingScopes(before.scopes, successor.scopes)).toEqual([]);
      expect(successor.scopes.length).toBeGreaterThan(0);
    });
  });

  it('the successor lives at most the maximum, and is valid now', () => {
    holds((before, { successor }) => {
      expect(isValid(successor, NOW)).toBe(true);
      if (successor.expires_at === null) expect(before.expires_at).toBeNull();
      else expect(Date.parse(successor.expires_at)).toBeLessThanOrEqual(NOW + 365 * DAY);
    });
  });

  it('owner, environment and reach stay, and the given record is left as it was', () => {
    const untouched = structuredClone(record);
    holds((before, { successor }) => {
      for (const field of ['owner_id', 'owner_access', 'environment', 'root_key_id', 'metadata'] as const) {
        expect(successor[field]).toEqual(before[field]);
      }
    });
    expect(record).toEqual(untouched);
  });
});

describe('what is ahead after a rotation', () => {
  it('is the end of the grace for the old key, however far it had come before', () => {
    for (const swept_until of [null, at(-4 * DAY)]) {
      expect(rotate({}, { swept_until }).old).toMatchObject({
        swept_until: null,
        due_shard: expect.stringMatching(/^key_\d$/),
        next_action_at: at(DAY),
      });
    }
  });

  it('leaves what was done before an own end that stays', () => {
    const { old } = rotate({ grace_period_hours: 720 }, { swept_until: at(-4 * DAY) });
    expect(old).toMatchObject({ swept_until: at(-4 * DAY), next_action_at: record.expires_at });
  });

  it('is all of it for the successor, by the old key’s days of notice', () => {
    const { successor } = rotate({}, { notify_days_before: [7, 2], swept_until: at(-4 * DAY) });
    expect(successor).toMatchObject({ notify_days_before: [7, 2], swept_until: null });
    const minted = { id: NEXT, digest: 'b'.repeat(64), hint: 'abcd', created_by: ROOT };
    expect(successorRecord(successor, minted, settings, NOW)).toMatchObject({
      ...minted,
      due_shard: expect.stringMatching(/^key_\d$/),
      next_action_at: at(23 * DAY),
    });
  });

  it('is refused for a key whose end is recorded, also by a clock that lags', () => {
    expect(thrownBy(() => rotate({}, { swept_until: record.expires_at }))).toBeInstanceOf(KeyExpired);
  });
});

describe('a rotation that is taken back', () => {
  const minted = { id: NEXT, digest: 'b'.repeat(64), hint: 'abcd', created_by: ROOT };
  /** A key rotated at NOW, and its successor. */
  const rotated = (facts: Partial<ApiKeyRecord> = {}) => {
    const { old, successor } = rotate({}, facts);
    return {
      record: { ...record, ...facts, ...old, successor_key_id: NEXT },
      successor: successorRecord(successor, minted, settings, NOW),
    };
  };
  const cancel = (
    facts: Partial<ApiKeyRecord> = {},
    { later = HOUR, old = {}, next = {} }: { later?: number; old?: object; next?: object } = {},
  ) => {
    const pair = rotated(facts);
    return decideCancellation(
      { ...pair.record, ...old },
      { ...pair.successor, ...next },
      NOW + later,
      settings,
    );
  };

  it('gives the key its own end again, and the notices before it', () => {
    const { old } = cancel({ expires_at: at(100 * DAY) });
    expect(old).toMatchObject({
      rotated_at: null,
      successor_key_id: null,
      before_rotation: undefined,
      expires_at: at(100 * DAY),
      ttl: (NOW + 190 * DAY) / 1000,
      swept_until: null,
      next_action_at: at(86 * DAY),
    });
    expect(statusOf({ ...rotated().record, ...old }, NOW + HOUR)).toBe('active');
  });

  it('gives a key that never ends no end', () => {
    const never = { ...settings, allow_never_expiring: true };
    const { old, successor } = decideRotation({ ...record, expires_at: null }, {}, NOW, never);
    const pair = { ...record, ...old, successor_key_id: NEXT };
    const cancelled = decideCancellation(
      pair,
      successorRecord(successor, minted, never, NOW),
      NOW + 1,
      never,
    );
    expect(cancelled.old).toMatchObject({ expires_at: null, ttl: undefined, next_action_at: undefined });
  });

  it('revokes the successor', () => {
    const { successor } = cancel();
    expect(successor).toEqual({
      revoked_at: at(HOUR),
      revoked_reason: 'rotation_cancelled',
      pending_until: null,
      pending_grace_hours: undefined,
      ttl: (NOW + HOUR + 90 * DAY) / 1000,
      due_shard: undefined,
      next_action_at: undefined,
    });
  });

  it('leaves a successor alone that was revoked before', () => {
    expect(cancel({}, { next: { revoked_at: at(1), revoked_reason: 'leaked' } })).not.toHaveProperty(
      'successor',
    );
  });

  it('leaves the generation of the dropped successor to nobody else', () => {
    const { old } = cancel();
    const again = decideRotation({ ...rotated().record, ...old }, {}, NOW + DAY, settings);
    expect(again.successor.generation).toBe(3);
    expect(again.successor.parent_key_id).toBe(ID);
  });

  it.each([
    ['the successor was used', SuccessorUsed, { next: { first_used_at: at(1) } }],
    ['the successor was rotated itself', AlreadyRotated, { next: { successor_key_id: ROOT } }],
    ['the key is revoked', KeyRevoked, { old: { revoked_at: at(1) } }],
    ['the grace is over', KeyExpired, { later: DAY }],
    ['the end of the grace is recorded', KeyExpired, { old: { swept_until: at(DAY) } }],
    ['it was taken back before', NotRotated, { old: { before_rotation: undefined } }],
  ])('is refused when %s', (_, problem, more) => {
    expect(thrownBy(() => cancel({}, more))).toBeInstanceOf(problem);
  });

  it('is refused for a key without a successor', () => {
    expect(thrownBy(() => decideCancellation(record, undefined, NOW, settings))).toBeInstanceOf(NotRotated);
  });
});
