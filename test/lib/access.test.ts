import { describe, expect, it } from '@jest/globals';
import { decideAccess } from '../../lib/access.ts';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { digestOf } from '../../lib/key-format.ts';

const NOW = Date.parse('2027-01-01T00:00:00.000Z');
const at = (ms: number) => new Date(NOW + ms).toISOString();
const digest = digestOf('the key');
const record = {
  digest,
  scopes: ['orders:*', 'users:read'],
  expires_at: at(1000),
  rotated_at: null,
  revoked_at: null,
  pending_until: null,
} as unknown as ApiKeyRecord;

const decide = (facts: object, more: object = {}) =>
  decideAccess({ record: { ...record, ...facts }, digest, now: NOW, required: ['orders:read'], ...more });

describe('access', () => {
  it('is given to a live key that has all scopes', () => {
    const required = ['orders:read', 'orders:refund', 'users:read'];
    expect(decide({}, { required })).toEqual({ code: 'valid', missing_scopes: [] });
  });

  it('is given to a rotated key in its grace', () => {
    expect(decide({ rotated_at: at(-1) }).code).toBe('valid');
  });

  it('is given to any valid key where nothing is required', () => {
    expect(decide({ scopes: ['x:y'] }, { required: [] }).code).toBe('valid');
  });

  it.each([
    ['not_found', { record: undefined }],
    ['not_found', { digest: digestOf('another key') }],
    ['not_found', { digest: '' }],
  ])('is %s for %j', (code, more) => {
    expect(decide({}, more)).toEqual({ code, missing_scopes: [] });
  });

  it('is not found where the stored digest is missing or empty, whatever is presented', () => {
    for (const odd of [undefined, null, '', 'x'])
      expect(decide({ digest: odd }, { digest: odd }).code).toBe('not_found');
  });

  it.each([
    ['expired', { expires_at: at(0) }],
    ['expired', { rotated_at: at(-2), expires_at: at(-1) }],
    ['revoked', { revoked_at: at(-1) }],
  ])('is refused as %s for %j', (code, facts) => {
    expect(decide(facts)).toEqual({ code, missing_scopes: [] });
  });

  it('names the scopes that are missing, and only those', () => {
    const required = ['orders:read', 'users:write', 'x:y'];
    expect(decide({}, { required })).toEqual({
      code: 'insufficient_scope',
      missing_scopes: ['users:write', 'x:y'],
    });
  });

  it('is refused where a requirement is malformed, even to *:*', () => {
    expect(decide({ scopes: ['*:*'] }, { required: ['orders'] }).code).toBe('insufficient_scope');
  });

  it('says nothing of status or scopes to whoever has the wrong secret', () => {
    const wrong = { digest: digestOf('a guess'), required: ['x:y'] };
    for (const facts of [{}, { revoked_at: at(-1) }, { expires_at: at(-1) }]) {
      expect(decide(facts, wrong)).toEqual({ code: 'not_found', missing_scopes: [] });
    }
  });

  it('gives the reasons in one order: revoked, expired, scope', () => {
    const required = ['x:y'];
    expect(decide({ revoked_at: at(-1), expires_at: at(-1) }, { required }).code).toBe('revoked');
    expect(decide({ expires_at: at(-1) }, { required }).code).toBe('expired');
  });
});
