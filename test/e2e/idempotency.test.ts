import { describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner, orders } from './client.ts';

const body = { name: 'n', owner_id: 'team-orders', scopes: ['orders:read'] };
const create = (idempotencyKey: string, more: object = {}, key = admin) =>
  management('POST', '/api-keys', {
    key,
    body: { ...body, ...more },
    headers: { 'idempotency-key': idempotencyKey },
  });
const works = async (key: string) => (await orders('GET', '/orders', { key })).status === 200;

describe('Idempotency-Key', () => {
  it('makes one key, and a retry replaces the secret of the lost answer', async () => {
    const name = newOwner();
    const lost = await create(name);
    const retried = await create(name);
    expect([lost.status, retried.status]).toEqual([201, 201]);
    expect(retried.body.api_key.id).toBe(lost.body.api_key.id);
    expect(retried.body.key).not.toBe(lost.body.key);
    expect(await works(lost.body.key)).toBe(false);
    expect(await works(retried.body.key)).toBe(true);
  });

  it('answers 409 once the key has been used, and leaves its secret alone', async () => {
    const name = newOwner();
    const { key, api_key } = (await create(name)).body;
    expect(await works(key)).toBe(true);
    const retried = await create(name);
    expect(retried.status).toBe(409);
    expect(retried.body).toMatchObject({
      type: 'urn:rekey:problem:idempotency_key_used',
      api_key_id: api_key.id,
    });
    expect(await works(key)).toBe(true);
  });

  it('answers 422 for another body, and is bound to its caller', async () => {
    const name = newOwner();
    const first = await create(name);
    const other = await create(name, { name: 'another' });
    expect(other.status).toBe(422);
    const second = await newKey({ owner_id: 'team-orders', scopes: ['*:*'] });
    const foreign = await create(name, {}, second.key);
    expect(foreign.status).toBe(201);
    expect(foreign.body.api_key.id).not.toBe(first.body.api_key.id);
  });

  it('makes a lost rotation safe to retry: the same successor, a new secret', async () => {
    const old = await newKey();
    const name = newOwner();
    const rotate = () =>
      management('POST', `/api-keys/${old.id}/rotate`, {
        key: admin,
        body: {},
        headers: { 'idempotency-key': name },
      });
    const lost = await rotate();
    const retried = await rotate();
    expect(retried.status).toBe(201);
    expect(retried.body.api_key.id).toBe(lost.body.api_key.id);
    expect(retried.body.previous).toEqual(lost.body.previous);
    expect(await works(lost.body.key)).toBe(false);
    expect(await works(retried.body.key)).toBe(true);
    expect((await rotate()).status).toBe(409);
  });

  it('of ten simultaneous requests makes one key, and one secret works', async () => {
    const name = newOwner();
    const answers = await Promise.all(Array.from({ length: 10 }, () => create(name)));
    const made = answers.filter(({ status }) => status === 201);
    expect(made.length).toBeGreaterThan(0);
    expect(new Set(made.map((answer) => answer.body.api_key.id)).size).toBe(1);
    const alive = await Promise.all(made.map((answer) => works(answer.body.key)));
    expect(alive.filter(Boolean)).toHaveLength(1);
  });

  it.each(['', 'x'.repeat(256), 'two words\tand a tab'])('refuses the Idempotency-Key %j', async (name) => {
    expect((await create(name)).status).toBe(400);
  });
});
