import { describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner, orders } from './client.ts';

/** The key once its last use is noted, which nobody waits for. */
const noted = async (id: string): Promise<Record<string, unknown>> => {
  for (let tries = 0; ; tries++) {
    const { api_key } = (await management('GET', `/api-keys/${id}`, { key: admin })).body;
    if (api_key.last_used_at !== null || tries === 50) return api_key;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};

describe('the last use of a key', () => {
  it('is noted by the authorizer, with address and route, and is no event', async () => {
    const { key, id } = await newKey({ owner_id: newOwner() });
    expect((await orders('GET', '/orders', { key })).status).toBe(200);
    expect(await noted(id)).toMatchObject({
      last_used_at: expect.any(String),
      last_used_ip: '127.0.0.1',
      last_used_route: expect.stringMatching(/^[a-z0-9]+ GET \/orders$/),
    });
    const { data } = (await management('GET', `/api-keys/${id}/events`, { key: admin })).body;
    expect(data.map(({ type }: { type: string }) => type)).toEqual(['api_key.first_used', 'api_key.created']);
    expect(JSON.stringify(data)).not.toContain('last_used');
  });

  it('is noted by verify, without an address', async () => {
    const { key, id } = await newKey({ owner_id: newOwner() });
    await management('POST', '/api-keys/verify', { key: admin, body: { key } });
    expect(await noted(id)).toMatchObject({ last_used_ip: null, last_used_route: 'POST /api-keys/verify' });
  });

  it('tells apart what nobody uses', async () => {
    const owner_id = newOwner();
    await newKey({ owner_id });
    const list = async (days: number) =>
      (await management('GET', `/api-keys?owner_id=${owner_id}&unused_for_days=${days}`, { key: admin })).body
        .data;
    expect(await list(1)).toEqual([]);
  });
});
