import { beforeAll, describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner } from './client.ts';

describe('GET /api-keys', () => {
  const owner_id = newOwner();
  let reader: string;
  const made: string[] = [];

  beforeAll(async () => {
    for (let i = 0; i < 25; i++) {
      const { id } = await newKey({
        owner_id,
        scopes: i % 3 === 0 ? ['invoices:read'] : ['orders:*'],
        environment: i % 5 === 0 ? 'test' : 'live',
      });
      made.push(id);
    }
    await management('POST', `/api-keys/${made[1]}/revoke`, { key: admin, body: {} });
    reader = (await newKey({ owner_id, scopes: ['api-keys:read'] })).key;
  });

  const page = (query: string, key = reader) => management('GET', `/api-keys?${query}`, { key });
  const ids = (body: { data: { id: string }[] }) => body.data.map(({ id }) => id);

  it('goes through all keys, newest first, without repeating or skipping one', async () => {
    const seen: string[] = [];
    let cursor = '';
    for (let pages = 0; pages < 20; pages++) {
      const answer = await page(`limit=7${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      expect(answer.status).toBe(200);
      seen.push(...ids(answer.body));
      cursor = answer.body.next_cursor;
      if (!cursor) break;
      expect(answer.body.data).toHaveLength(7);
    }
    expect(cursor).toBeNull();
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual([...seen].sort().reverse());
    expect(seen).toEqual(expect.arrayContaining(made));
    expect(seen).toHaveLength(26);
  });

  it('filters by status, scope and environment with full pages', async () => {
    expect(ids((await page('status=revoked')).body)).toEqual([made[1]]);
    const test = await page('environment=test&limit=4');
    expect(test.body.data).toHaveLength(4);
    expect(test.body.data.every((key: { environment: string }) => key.environment === 'test')).toBe(true);
    const invoices = await page('scope=invoices:read&limit=100');
    expect(invoices.body.data).toHaveLength(9);
    const orders = await page('scope=orders:write&limit=100&status=active');
    expect(orders.body.data).toHaveLength(15);
  });

  it('refuses a cursor that is forged, foreign or of another query', async () => {
    const { next_cursor } = (await page('limit=3')).body;
    const other = (await newKey({ owner_id, scopes: ['api-keys:read'] })).key;
    const flipped = `${next_cursor.slice(0, -3)}${next_cursor.at(-3) === 'A' ? 'B' : 'A'}${next_cursor.slice(-2)}`;
    const forged = `${Buffer.from(JSON.stringify({ after: made[0] })).toString('base64url')}.${'A'.repeat(43)}`;
    for (const [query, key] of [
      [`limit=3&cursor=${next_cursor}`, other],
      [`limit=3&status=active&cursor=${next_cursor}`, reader],
      [`limit=3&cursor=${flipped}`, reader],
      [`limit=3&cursor=${forged}`, reader],
      ['limit=3&cursor=%00', reader],
      [`limit=3&cursor=${'x'.repeat(5000)}`, reader],
    ] as const) {
      const answer = await page(query, key);
      expect(answer.status).toBe(400);
    }
    expect((await page(`limit=3&cursor=${next_cursor}`)).status).toBe(200);
  });

  it.each([
    'limit=0',
    'limit=101',
    'limit=ten',
    'status=asleep',
    'scope=x',
    'environment=prod',
    'colour=red',
    'limit=1&limit=2',
  ])('refuses ?%s and says what to change', async (query) => {
    const answer = await page(query);
    expect(answer.status).toBe(400);
    expect(answer.body.errors[0].detail.length).toBeGreaterThan(5);
  });

  it('shows an administrator any owner', async () => {
    const answer = await page(`owner_id=${owner_id}&limit=100`, admin);
    expect(ids(answer.body)).toEqual(expect.arrayContaining(made));
  });
});
