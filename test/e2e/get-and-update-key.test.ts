import { describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner } from './client.ts';

const DAY = 86_400_000;
const patch = (id: string, body: unknown, key = admin) =>
  management('PATCH', `/api-keys/${id}`, { key, body });

describe('GET and PATCH /api-keys/{id}', () => {
  it('shows the key', async () => {
    const { id, api_key } = await newKey();
    const answer = await management('GET', `/api-keys/${id}`, { key: admin });
    expect(answer.status).toBe(200);
    expect(answer.body.api_key).toEqual(api_key);
  });

  it('changes name, metadata, scopes and expires_at, and nothing else', async () => {
    const { id, api_key } = await newKey({ scopes: ['orders:read'] });
    const expires_at = new Date(Date.now() + 5 * DAY).toISOString();
    const answer = await patch(id, {
      name: 'new name',
      metadata: { a: 'b' },
      scopes: ['orders:write'],
      expires_at,
    });
    expect(answer.status).toBe(200);
    expect(answer.body.api_key).toEqual({
      ...api_key,
      name: 'new name',
      metadata: { a: 'b' },
      scopes: ['orders:write'],
      expires_at,
    });
    for (const body of [
      { owner_id: 'x' },
      { environment: 'test' },
      { revoked_at: null },
      { first_used_at: null },
      {},
    ]) {
      expect((await patch(id, body)).status).toBe(400);
    }
  });

  it('moves no end past the longest life from its creation', async () => {
    const { id } = await newKey();
    expect((await patch(id, { expires_at: new Date(Date.now() + 364 * DAY).toISOString() })).status).toBe(
      200,
    );
    expect((await patch(id, { expires_at: new Date(Date.now() + 366 * DAY).toISOString() })).status).toBe(
      400,
    );
  });

  it('lets no caller widen a key, or prolong one that is stronger than itself', async () => {
    const owner_id = newOwner();
    const { key } = await newKey({ owner_id, scopes: ['api-keys:update', 'orders:read'] });
    const strong = await newKey({ owner_id, scopes: ['orders:write'] });
    const widened = await patch(strong.id, { scopes: ['orders:*'] }, key);
    expect(widened.status).toBe(403);
    expect(widened.body.excess_scopes).toEqual(['orders:*']);
    const later = new Date(Date.now() + 200 * DAY).toISOString();
    expect((await patch(strong.id, { expires_at: later }, key)).status).toBe(403);
    expect((await patch(strong.id, { scopes: ['orders:read'] }, key)).status).toBe(200);
    expect((await patch(strong.id, { expires_at: later }, key)).status).toBe(200);
  });

  it('refuses to change a revoked or a rotated key, and never revives it', async () => {
    const revoked = await newKey();
    await management('POST', `/api-keys/${revoked.id}/revoke`, { key: admin, body: {} });
    const later = new Date(Date.now() + 5 * DAY).toISOString();
    const answer = await patch(revoked.id, { expires_at: later });
    expect(answer.status).toBe(409);
    expect(answer.body.type).toBe('urn:rekey:problem:key_revoked');

    const rotated = await newKey();
    const successor = await management('POST', `/api-keys/${rotated.id}/rotate`, { key: admin, body: {} });
    const refused = await patch(rotated.id, { expires_at: later });
    expect(refused.status).toBe(409);
    expect(refused.body).toMatchObject({
      type: 'urn:rekey:problem:key_rotated',
      successor_key_id: successor.body.api_key.id,
    });
  });

  it.each(['nonsense', 'key_short', 'key_0000000000000000000000%20', 'key_00000000000000000000000'])(
    'answers 404 for the id %s',
    async (id) => {
      expect((await management('GET', `/api-keys/${id}`, { key: admin })).status).toBe(404);
    },
  );
});
