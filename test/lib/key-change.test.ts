import { describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import type { Caller } from '../../lib/caller.ts';
import { type ChangeRequest, decideChange } from '../../lib/key-change.ts';

const DAY = 86_400_000;
const NOW = Date.parse('2026-11-24T10:00:00.000Z');
const at = (days: number) => new Date(NOW + days * DAY).toISOString();
const settings = {
  default_lifetime_days: 90,
  max_lifetime_days: 365,
  allow_never_expiring: false,
  retention_days: 90,
  notify_days_before: [14],
};
const record: ApiKeyRecord = {
  id: 'key_0000000000000000000009',
  owner_id: 'mine',
  owner_access: 'own',
  name: 'n',
  environment: 'live',
  scopes: ['orders:read', 'orders:write'],
  hint: 'abcd',
  created_at: at(-10),
  created_by: 'key_0000000000000000000001',
  expires_at: at(20),
  rotated_at: null,
  revoked_at: null,
  revoked_reason: null,
  first_used_at: at(-9),
  last_used_at: null,
  last_used_ip: null,
  last_used_route: null,
  parent_key_id: null,
  successor_key_id: null,
  root_key_id: 'key_0000000000000000000009',
  generation: 0,
  metadata: {},
  notify_days_before: null,
  grace_starts: null,
  pending_until: null,
  rotation: null,
  rotation_due_at: null,
  swept_until: null,
  on_reuse: 'tell',
  replaces_key_id: null,
  honey: false,
  digest: '0'.repeat(64),
  version: 3,
};
const caller: Caller = {
  key_id: 'key_0000000000000000000001',
  owner_id: 'mine',
  owner_access: 'own',
  environment: 'live',
  scopes: ['api-keys:update', 'orders:read'],
};
const change = (request: ChangeRequest, facts: Partial<ApiKeyRecord> = {}, by: Partial<Caller> = {}) =>
  decideChange({ ...record, ...facts }, request, { ...caller, ...by }, NOW, settings);
const codeOf = (deed: () => unknown): unknown => {
  try {
    return deed();
  } catch (error) {
    return (error as { code?: string }).code;
  }
};

describe('a change of a key', () => {
  it('is of the fields that were sent, and of nothing else', () => {
    expect(change({ name: 'new' })).toEqual({ name: 'new' });
    expect(change({ metadata: { a: 'b' } })).toEqual({ metadata: { a: 'b' } });
    expect(change({ scopes: ['orders:read', 'orders:read'] })).toEqual({ scopes: ['orders:read'] });
  });

  it('moves the record’s own end along with the key’s', () => {
    expect(change({ expires_at: at(1) })).toMatchObject({ expires_at: at(1), ttl: (NOW + 91 * DAY) / 1000 });
  });

  it.each([
    ['key_revoked', { revoked_at: at(-1) }],
    ['key_revoked', { revoked_at: at(-1), rotated_at: at(-2), expires_at: at(-1) }],
    ['key_expired', { expires_at: at(0) }],
    // The end is recorded, and this clock lags.
    ['key_expired', { swept_until: at(20) }],
    ['key_expired', { expires_at: at(-1), rotated_at: at(-2), successor_key_id: record.id }],
    ['key_rotated', { rotated_at: at(-1), successor_key_id: record.id }],
  ])('is refused as %s, so that nothing brings the key back', (code, facts) => {
    for (const request of [{ name: 'new' }, { expires_at: at(5) }, { scopes: ['orders:read'] }])
      expect(codeOf(() => change(request, facts))).toBe(code);
  });

  it('gives no scope that the caller lacks', () => {
    expect(codeOf(() => change({ scopes: ['orders:write'] }))).toBe('scope_escalation');
    expect(codeOf(() => change({ scopes: ['orders:*'] }))).toBe('scope_escalation');
  });

  it('prolongs only a key whose scopes the caller could give', () => {
    expect(codeOf(() => change({ expires_at: at(21) }))).toBe('scope_escalation');
    expect(codeOf(() => change({ expires_at: at(21) }, {}, { scopes: ['orders:*'] }))).toMatchObject({
      expires_at: at(21),
    });
    expect(change({ expires_at: at(19) })).toMatchObject({ expires_at: at(19) });
    expect(change({ expires_at: at(20) })).toMatchObject({ expires_at: at(20) });
    expect(change({ expires_at: at(21), scopes: ['orders:read'] })).toMatchObject({ expires_at: at(21) });
  });

  it('to a life without end is prolonging, too', () => {
    const never = { ...settings, allow_never_expiring: true };
    expect(codeOf(() => decideChange(record, { expires_at: null }, caller, NOW, never))).toBe(
      'scope_escalation',
    );
    const strong = { ...caller, scopes: ['*:*'] };
    expect(decideChange(record, { expires_at: null }, strong, NOW, never)).toEqual({
      expires_at: null,
      ttl: undefined,
      swept_until: null,
      due_shard: undefined,
      next_action_at: undefined,
    });
  });

  it('of the end begins the notices anew', () => {
    const told = { swept_until: at(6) };
    expect(change({ expires_at: at(18) }, told)).toMatchObject({ swept_until: null, next_action_at: at(4) });
  });

  it('to the end it has anyway changes no notice that was sent', () => {
    const told = { swept_until: at(6) };
    expect(change({ expires_at: at(20) }, told)).toMatchObject({
      swept_until: at(6),
      next_action_at: at(20),
    });
  });

  it('of the end makes a notice whose day has passed due at once', () => {
    expect(change({ expires_at: at(1) })).toMatchObject({ swept_until: null, next_action_at: at(0) });
  });

  it('of the days of notice moves what is ahead, and repeats nothing', () => {
    expect(change({ notify_days_before: [3] })).toEqual({
      notify_days_before: [3],
      swept_until: null,
      due_shard: expect.stringMatching(/^key_\d$/),
      next_action_at: at(17),
    });
    const told = { swept_until: at(6), notify_days_before: [14] };
    expect(change({ notify_days_before: [15] }, told)).toMatchObject({ next_action_at: at(20) });
    expect(change({ notify_days_before: null }, { notify_days_before: [3] })).toMatchObject({
      notify_days_before: null,
      next_action_at: at(6),
    });
  });

  it('goes no further than the longest life from the creation', () => {
    expect(codeOf(() => change({ expires_at: at(356) }, {}, { scopes: ['*:*'] }))).toBe('invalid_request');
    expect(codeOf(() => change({ expires_at: at(-1) }))).toBe('invalid_request');
  });

  it('of a key that acts for all owners takes a caller that does', () => {
    expect(codeOf(() => change({ name: 'new' }, { owner_access: 'any' }))).toBe('owner_forbidden');
    expect(change({ name: 'new' }, { owner_access: 'any' }, { owner_access: 'any' })).toEqual({
      name: 'new',
    });
  });

  it('of a live key is nothing for a test key', () => {
    expect(codeOf(() => change({ name: 'new' }, {}, { environment: 'test' }))).toBe('environment_forbidden');
  });
});
