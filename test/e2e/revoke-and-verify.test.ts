import { describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner, orders } from './client.ts';

const verify = (body: unknown, key = admin) => management('POST', '/api-keys/verify', { key, body });
const revoke = (id: string, body: unknown = {}) =>
  management('POST', `/api-keys/${id}/revoke`, { key: admin, body });

describe('POST /api-keys/{id}/revoke', () => {
  it('counts for the very next request', async () => {
    for (let i = 0; i < 10; i++) {
      const { key, id } = await newKey();
      expect((await orders('GET', '/orders', { key })).status).toBe(200);
      expect((await revoke(id)).status).toBe(200);
      expect((await orders('GET', '/orders', { key })).status).toBe(401);
    }
  });

  it('keeps the first time and reason', async () => {
    const { id } = await newKey();
    const first = (await revoke(id, { reason: 'leaked in a log' })).body.api_key;
    expect(first).toMatchObject({ status: 'revoked', revoked_reason: 'leaked in a log' });
    const again = await revoke(id, { reason: 'another story' });
    expect(again.status).toBe(200);
    expect(again.body.api_key).toEqual(first);
  });

  it('ends a rotated key in its grace, and not its successor', async () => {
    const old = await newKey();
    const { key } = (await management('POST', `/api-keys/${old.id}/rotate`, { key: admin, body: {} })).body;
    await revoke(old.id);
    expect((await orders('GET', '/orders', { key: old.key })).status).toBe(401);
    expect((await orders('GET', '/orders', { key })).status).toBe(200);
  });

  it('a key may end itself', async () => {
    const { key, id } = await newKey({ scopes: ['api-keys:revoke'] });
    expect((await management('POST', `/api-keys/${id}/revoke`, { key, body: {} })).status).toBe(200);
    expect((await management('POST', `/api-keys/${id}/revoke`, { key, body: {} })).status).toBe(401);
  });
});

describe('POST /api-keys/verify', () => {
  it('says valid, with the key', async () => {
    const { key, id } = await newKey({ scopes: ['orders:*'] });
    const { body } = await verify({ key, required_scopes: ['orders:write'] });
    expect(body).toMatchObject({ valid: true, code: 'valid', missing_scopes: [], api_key: { id } });
    expect(body.api_key.first_used_at).not.toBeNull();
  });

  it('says what is missing', async () => {
    const { key } = await newKey({ scopes: ['orders:read'] });
    const { body } = await verify({ key, required_scopes: ['orders:read', 'orders:write'] });
    expect(body).toMatchObject({
      valid: false,
      code: 'insufficient_scope',
      missing_scopes: ['orders:write'],
    });
  });

  it('says revoked, malformed and not_found', async () => {
    const { key, id } = await newKey();
    await revoke(id);
    expect((await verify({ key })).body).toMatchObject({ valid: false, code: 'revoked' });
    expect((await verify({ key: 'sk_live_somebody_elses' })).body).toEqual({
      valid: false,
      code: 'malformed',
      missing_scopes: [],
    });
    expect((await verify({ key: `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}` })).body.code).toBe(
      'malformed',
    );
    const { key: other } = await newKey({}, { headers: { 'idempotency-key': newOwner() } });
    expect((await verify({ key: other })).body.code).toBe('valid');
  });

  it.each([
    {},
    { key: 5 },
    { key: 'x'.repeat(600) },
    { key: 'a', required_scopes: ['*:*'] },
    { key: 'a', more: 1 },
  ])('refuses %j without repeating what was sent', async (body) => {
    const answer = await verify(body);
    expect(answer.status).toBe(400);
    expect(answer.text).not.toContain('xxxxxx');
  });
});
