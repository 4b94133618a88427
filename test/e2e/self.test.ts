import { beforeAll, describe, expect, it } from '@jest/globals';
import { management, newKey, orders } from './client.ts';

describe('a key without any management scope', () => {
  let mine: Awaited<ReturnType<typeof newKey>>;
  beforeAll(async () => {
    mine = await newKey({ scopes: ['orders:read', 'orders:write'], expires_in_days: 10 });
  });

  it('sees itself, and no other key', async () => {
    const answer = await management('GET', '/api-keys/self', { key: mine.key });
    expect(answer).toMatchObject({ status: 200, body: { api_key: { id: mine.id, status: 'active' } } });
    const other = await newKey();
    for (const path of [`/api-keys/${other.id}`, `/api-keys/${mine.id}`, '/api-keys'])
      expect((await management('GET', path, { key: mine.key })).status).toBe(403);
    for (const query of ['?id=', '?owner_id=', '?key_id='])
      expect((await management('GET', `/api-keys/self${query}${other.id}`, { key: mine.key })).status).toBe(
        400,
      );
  });

  it('rotates itself: the successor has its scopes and its life from the start, and both work', async () => {
    const answer = await management('POST', '/api-keys/self/rotate', { key: mine.key });
    expect(answer).toMatchObject({
      status: 201,
      body: {
        api_key: { parent_key_id: mine.id, scopes: ['orders:read', 'orders:write'], created_by: mine.id },
        previous: { id: mine.id, status: 'rotated' },
      },
    });
    const { created_at, expires_at } = answer.body.api_key;
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(10 * 86_400_000);
    for (const key of [mine.key, answer.body.key])
      expect((await orders('GET', '/orders', { key })).status).toBe(200);
  });

  it('rotates once: then it is 409 that names the successor, which it may ask for itself, too', async () => {
    const self = await management('GET', '/api-keys/self', { key: mine.key });
    const again = await management('POST', '/api-keys/self/rotate', { key: mine.key });
    expect(again).toMatchObject({
      status: 409,
      body: {
        type: 'urn:rekey:problem:already_rotated',
        successor_key_id: self.body.api_key.successor_key_id,
      },
    });
  });

  it('of many at the same time rotates once', async () => {
    const { key } = await newKey();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => management('POST', '/api-keys/self/rotate', { key })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(409)]);
  });

  it('gets the same successor again by the same Idempotency-Key, until that is used', async () => {
    const { key } = await newKey();
    const rotate = () =>
      management('POST', '/api-keys/self/rotate', { key, headers: { 'idempotency-key': 'mine' } });
    const [first, second] = [await rotate(), await rotate()];
    expect(second.body.api_key.id).toBe(first.body.api_key.id);
    expect((await orders('GET', '/orders', { key: first.body.key })).status).toBe(401);
    expect((await orders('GET', '/orders', { key: second.body.key })).status).toBe(200);
    expect((await rotate()).body.type).toBe('urn:rekey:problem:idempotency_key_used');
  });

  it('narrows its successor, and never widens it', async () => {
    const { key } = await newKey({ scopes: ['orders:read', 'orders:write'] });
    for (const scopes of [['*:*'], ['orders:*'], ['orders:read', 'orders:refund'], ['api-keys:rotate']]) {
      const answer = await management('POST', '/api-keys/self/rotate', { key, body: { scopes } });
      expect(answer.status).toBe(400);
    }
    const narrowed = await management('POST', '/api-keys/self/rotate', {
      key,
      body: { scopes: ['orders:read'], grace_period_hours: 0 },
    });
    expect(narrowed.body.api_key.scopes).toEqual(['orders:read']);
    const climbing = await management('POST', '/api-keys/self/rotate', {
      key: narrowed.body.key,
      body: { scopes: ['orders:read', 'orders:write'] },
    });
    expect(climbing.status).toBe(400);
  });

  it('cannot name another life, owner, access or environment', async () => {
    const { key } = await newKey({ expires_in_days: 1 });
    const wishes = [
      { expires_in_days: 365 },
      { expires_at: null },
      { owner_id: 'another' },
      { owner_access: 'any' },
      { environment: 'test' },
      { id: mine.id },
    ];
    for (const body of wishes)
      expect((await management('POST', '/api-keys/self/rotate', { key, body })).status).toBe(400);
  });

  it('revokes itself, and nothing else of its line', async () => {
    const { key, id } = await newKey();
    const { body } = await management('POST', '/api-keys/self/rotate', { key });
    const answer = await management('POST', '/api-keys/self/revoke', { key, body: { reason: 'moved' } });
    expect(answer).toMatchObject({
      status: 200,
      body: { api_key: { id, status: 'revoked', revoked_reason: 'moved' } },
    });
    expect((await management('GET', '/api-keys/self', { key })).status).toBe(401);
    expect((await management('GET', '/api-keys/self', { key: body.key })).status).toBe(200);
  });
});

describe('nobody', () => {
  it.each([
    ['GET', '/api-keys/self'],
    ['POST', '/api-keys/self/rotate'],
    ['POST', '/api-keys/self/revoke'],
  ])('is a self: %s %s without a valid key is 401', async (method, path) => {
    const { key } = await newKey();
    await management('POST', '/api-keys/self/revoke', { key });
    for (const none of [undefined, key, `${key}x`])
      expect((await management(method, path, { key: none })).status).toBe(401);
  });
});
