import { describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner } from './client.ts';

const DAY = 86_400_000;
const create = (body: unknown, key = admin, headers = {}) =>
  management('POST', '/api-keys', { key, body, headers });

describe('POST /api-keys', () => {
  it('answers 201 with the plaintext once and the public record', async () => {
    const owner_id = newOwner();
    const answer = await create({
      name: 'Billing worker',
      owner_id,
      scopes: ['orders:write', 'orders:read', 'orders:read'],
      metadata: { ticket: 'OPS-1' },
    });
    expect(answer.status).toBe(201);
    expect(answer.body.key).toMatch(/^rk_live_[0-9A-Za-z]{71}$/);
    const { api_key } = answer.body;
    expect(api_key).toMatchObject({
      owner_id,
      owner_access: 'own',
      name: 'Billing worker',
      environment: 'live',
      status: 'active',
      scopes: ['orders:read', 'orders:write'],
      metadata: { ticket: 'OPS-1' },
      parent_key_id: null,
      root_key_id: api_key.id,
      generation: 0,
      first_used_at: null,
    });
    expect(api_key.id).toBe(`key_${answer.body.key.slice(8, 30)}`);
    expect(api_key.hint).toBe(answer.body.key.slice(8 + 22 + 39, 8 + 22 + 43));
    expect(Object.keys(api_key)).not.toEqual(expect.arrayContaining(['digest', 'version', 'ttl', 'pk']));
  });

  it('gives a key 90 days unless it is told otherwise, and 365 at most', async () => {
    const life = async (more: Record<string, unknown>) => {
      const { api_key } = await newKey(more);
      return Math.round(
        (Date.parse(String(api_key.expires_at)) - Date.parse(String(api_key.created_at))) / DAY,
      );
    };
    expect(await life({})).toBe(90);
    expect(await life({ expires_in_days: 365 })).toBe(365);
    expect(await life({ expires_at: new Date(Date.now() + 10 * DAY).toISOString() })).toBe(10);
    for (const more of [
      { expires_in_days: 366 },
      { expires_in_days: 0 },
      { expires_in_days: 1.5 },
      { expires_at: new Date(Date.now() + 366 * DAY).toISOString() },
      { expires_at: '2020-01-01T00:00:00.000Z' },
      { expires_at: '2027-02-30T00:00:00.000Z' },
      { expires_at: null },
      { expires_in_days: 5, expires_at: new Date(Date.now() + DAY).toISOString() },
    ]) {
      const answer = await create({ name: 'n', owner_id: 'o', scopes: ['a:b'], ...more });
      expect(answer.status).toBe(400);
      expect(answer.body.type).toBe('urn:rekey:problem:invalid_request');
      expect(answer.body.errors[0].pointer).toMatch(/^\/expires_/);
    }
  });

  it('names every invalid field by its pointer, and never repeats the value', async () => {
    const answer = await create({
      name: '',
      owner_id: 'has space',
      scopes: ['orders', 'orders:write', 'Orders:write', '*'],
      environment: 'staging',
      metadata: { a: 5 },
      unknown_field: 'rk_live_oops',
    });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const pointers = answer.body.errors.map((error: { pointer: string }) => error.pointer);
    expect(pointers).toEqual(
      expect.arrayContaining([
        '/name',
        '/owner_id',
        '/scopes/0',
        '/scopes/2',
        '/scopes/3',
        '/environment',
        '/metadata/a',
        '/unknown_field',
      ]),
    );
    expect(pointers).not.toContain('/scopes/1');
    expect(answer.text).not.toContain('rk_live_oops');
  });

  it('takes 1 to 100 scopes', async () => {
    const scopes = (n: number) => Array.from({ length: n }, (_, i) => `orders:action-${i}`);
    const body = (n: number) => ({ name: 'n', owner_id: 'team', scopes: scopes(n) });
    expect((await create(body(100))).status).toBe(201);
    expect((await create(body(101))).status).toBe(400);
    expect((await create(body(0))).status).toBe(400);
  });

  it('refuses to grant what the caller lacks, naming what is too much', async () => {
    const owner_id = newOwner();
    const { key } = await newKey({ owner_id, scopes: ['api-keys:create', 'orders:*'] });
    const answer = await create(
      { name: 'n', owner_id, scopes: ['orders:read', 'orders:*', 'refunds:read', '*:read'] },
      key,
    );
    expect(answer.status).toBe(403);
    expect(answer.body.type).toBe('urn:rekey:problem:scope_escalation');
    expect(answer.body.excess_scopes.sort()).toEqual(['*:read', 'refunds:read']);
    expect(answer.body.detail).toContain('refunds:read');
    expect((await create({ name: 'n', owner_id, scopes: ['orders:*'] }, key)).status).toBe(201);
  });

  it('lets no test key make a live one', async () => {
    const owner_id = newOwner();
    const { key } = await newKey({ owner_id, environment: 'test', scopes: ['*:*'] });
    expect(key).toMatch(/^rk_test_/);
    const live = await create({ name: 'n', owner_id, scopes: ['a:b'], environment: 'live' }, key);
    expect(live.status).toBe(403);
    expect(live.body.type).toBe('urn:rekey:problem:environment_forbidden');
    const silent = await create({ name: 'n', owner_id, scopes: ['a:b'] }, key);
    expect(silent.status).toBe(201);
    expect(silent.body.api_key.environment).toBe('test');
  });
});
