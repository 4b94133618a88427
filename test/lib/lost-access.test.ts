import { describe, expect, it } from '@jest/globals';
import { needsFlush, takesAccessAway } from '../../lib/lost-access.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const at = (ms: number) => new Date(ms).toISOString();
const end = '2026-12-01T00:00:00.000Z';

describe('a change', () => {
  it.each([
    ['a scope that is gone', { field: 'scopes', from: ['a:read', 'a:write'], to: ['a:read'] }],
    ['a wildcard that becomes one scope', { field: 'scopes', from: ['a:*'], to: ['a:read'] }],
    ['a scope that becomes another one', { field: 'scopes', from: ['a:read'], to: ['b:read'] }],
    ['an end where there was none', { field: 'expires_at', from: null, to: end }],
    ['a nearer end', { field: 'expires_at', from: '2026-12-01T00:00:00.001Z', to: end }],
    ['a revocation', { field: 'revoked_at', from: null, to: end }],
  ])('takes access away with %s', (_, change) => {
    expect(takesAccessAway([{ field: 'name', from: 'a', to: 'b' }, change])).toBe(true);
  });

  it.each([
    ['more scopes', { field: 'scopes', from: ['a:read'], to: ['a:read', 'a:write'] }],
    ['a wildcard over what was there', { field: 'scopes', from: ['a:read'], to: ['a:*'] }],
    ['a later end', { field: 'expires_at', from: end, to: '2027-01-01T00:00:00.000Z' }],
    ['no end any more', { field: 'expires_at', from: end, to: null }],
    ['another name', { field: 'name', from: 'a', to: 'b' }],
  ])('takes nothing away with %s', (_, change) => {
    expect(takesAccessAway([change])).toBe(false);
  });
});

describe('an event', () => {
  const told = (type: string, changes?: object[], age = 0) =>
    needsFlush({ type, occurred_at: at(NOW - age), changes } as Parameters<typeof needsFlush>[0], NOW);

  it('of a registration needs one when its routes changed, or it is gone', () => {
    const route = { field: 'routes/GET /orders', from: ['a:read'], to: ['a:read', 'b:read'] };
    expect(told('api.updated', [{ field: 'stages', from: [], to: [] }, route])).toBe(true);
    expect(told('api.updated', [{ field: 'scopes/a:read', from: 'See', to: 'Look' }])).toBe(false);
    expect(told('api.updated')).toBe(true);
    expect(told('api.deleted', [])).toBe(true);
    expect(told('api.registered', [])).toBe(false);
  });

  it.each(['api_key.revoked', 'api_key.expired', 'api_key.rotated'])('%s needs a flush', (type) => {
    expect(told(type, [])).toBe(true);
  });

  it('of a change needs one when access was taken away, or when nobody can see', () => {
    expect(told('api_key.updated', [{ field: 'scopes', from: ['a:read'], to: [] }])).toBe(true);
    expect(told('api_key.updated', [{ field: 'name', from: 'a', to: 'b' }])).toBe(false);
    expect(told('api_key.updated')).toBe(true);
  });

  it.each(['api_key.created', 'api_key.first_used', 'api_key.expiring', 'webhook_endpoint.deleted'])(
    '%s needs none',
    (type) => {
      expect(told(type)).toBe(false);
    },
  );

  it('needs none when nothing can be kept any more that was answered before', () => {
    expect(told('api_key.revoked', [], 3_600_000)).toBe(true);
    expect(told('api_key.revoked', [], 3_700_000)).toBe(false);
  });
});
