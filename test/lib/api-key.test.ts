import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ApiKey, type ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { endOf, isValid, publicKey, statusOf, ttlOf } from '../../lib/api-key.ts';

const NOW = Date.parse('2027-01-01T00:00:00.000Z');
const at = (ms: number) => new Date(NOW + ms).toISOString();

const record: ApiKeyRecord = {
  id: 'key_035OVLf5NbCkftOoCXHY41',
  owner_id: 'team-a',
  owner_access: 'own',
  name: 'Billing worker',
  environment: 'live',
  scopes: ['orders:read'],
  hint: 'IDlf',
  created_at: at(-1000),
  created_by: 'key_0000000000000000000000',
  expires_at: at(1000),
  rotated_at: null,
  revoked_at: null,
  revoked_reason: null,
  first_used_at: null,
  last_used_at: null,
  last_used_ip: null,
  last_used_route: null,
  parent_key_id: null,
  successor_key_id: null,
  root_key_id: 'key_035OVLf5NbCkftOoCXHY41',
  generation: 0,
  metadata: { team: 'a' },
  notify_days_before: [30, 3],
  grace_starts: null,
  pending_until: null,
  rotation: null,
  rotation_due_at: null,
  swept_until: null,
  on_reuse: 'tell',
  replaces_key_id: null,
  honey: false,
  due_shard: 'key_3',
  next_action_at: at(500),
  digest: 'a'.repeat(64),
  version: 3,
  ttl: 1,
};

describe('the status of a key', () => {
  it.each([
    ['active', {}],
    ['active', { expires_at: null }],
    ['active', { expires_at: at(1) }],
    ['expired', { expires_at: at(0) }],
    ['expired', { expires_at: at(-1) }],
    ['pending', { pending_until: at(1) }],
    ['expired', { pending_until: at(0) }],
    ['rotated', { pending_until: at(1), rotated_at: at(-1) }],
    ['rotated', { rotated_at: at(-1) }],
    ['expired', { rotated_at: at(-2), expires_at: at(-1) }],
    ['revoked', { revoked_at: at(-1) }],
    ['revoked', { revoked_at: at(-1), rotated_at: at(-2), expires_at: at(-1) }],
  ] as const)('is %s for %j', (status, facts) => {
    expect(statusOf({ ...record, ...facts }, NOW)).toBe(status);
    expect(isValid({ ...record, ...facts }, NOW)).toBe(['active', 'pending', 'rotated'].includes(status));
  });

  it('is revoked from the moment of the revocation, even when another clock is behind', () => {
    expect(statusOf({ ...record, revoked_at: at(60_000) }, NOW)).toBe('revoked');
  });

  it.each([
    { expires_at: 'never' },
    { expires_at: undefined },
    { revoked_at: undefined },
    { expires_at: '' },
  ])('counts an unreadable fact against the key: %j', (facts) => {
    expect(isValid({ ...record, ...facts } as ApiKeyRecord, NOW)).toBe(false);
  });

  it('once ended never becomes valid again as time passes', () => {
    const instant = fc.option(fc.integer({ min: -5, max: 5 }).map(at), { nil: null });
    fc.assert(
      fc.property(
        instant,
        instant,
        instant,
        instant,
        fc.nat({ max: 10 }),
        (expires_at, rotated_at, revoked_at, pending_until, later) => {
          const facts = { expires_at, rotated_at, revoked_at, pending_until };
          if (!isValid(facts, NOW)) expect(isValid(facts, NOW + later)).toBe(false);
        },
      ),
    );
  });
});

describe('the end of a key', () => {
  it.each([
    [null, null, null],
    [at(5), null, at(5)],
    [null, at(3), at(3)],
    [at(5), at(3), at(3)],
    [at(3), at(5), at(3)],
  ])('that expires at %s and was revoked at %s is %s', (expires_at, revoked_at, end) => {
    expect(endOf({ expires_at, revoked_at })).toBe(end);
  });

  it('and the retention give the time to live in epoch seconds', () => {
    expect(ttlOf({ expires_at: at(0), revoked_at: null }, 90)).toBe(NOW / 1000 + 90 * 86_400);
    expect(ttlOf({ expires_at: at(1), revoked_at: null }, 1)).toBe(NOW / 1000 + 1 + 86_400);
  });

  it('leaves a key that never ends without a time to live', () => {
    expect(ttlOf({ expires_at: null, revoked_at: null }, 90)).toBeUndefined();
  });
});

describe('what callers see of a key', () => {
  it('is what the schema of the API says, and nothing of the digest, the version or the table', () => {
    const stored = { ...record, pk: record.id, sk: 'api_key', later_added_secret: 'x' } as ApiKeyRecord;
    const seen = publicKey(stored, NOW);
    expect(ApiKey.strict().parse(seen)).toEqual(seen);
    // That a key is honey is told by `shownTo` only.
    const { honey: _honey, ...shape } = ApiKey.shape;
    expect(Object.keys(seen).sort()).toEqual(Object.keys(shape).sort());
    expect(JSON.stringify(seen)).not.toContain(record.digest);
  });

  it('has the status of the moment', () => {
    expect([0, 1000].map((ms) => publicKey(record, NOW + ms).status)).toEqual(['active', 'expired']);
  });
});
