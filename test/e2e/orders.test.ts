import { beforeAll, describe, expect, it } from '@jest/globals';
import { admin, management, newKey, orders, stack } from './client.ts';
import { rawRequest } from './raw-request.ts';

const raw = (path: string, headers: string[], method = 'GET') =>
  rawRequest(stack?.apis.orders ?? '', path, headers, method);

describe('the Orders API behind the authorizer', () => {
  let reader: { key: string; id: string };
  let writer: { key: string; id: string };

  beforeAll(async () => {
    reader = await newKey({ scopes: ['orders:read'] });
    writer = await newKey({ scopes: ['orders:write'] });
  });

  it('opens exactly the routes whose scope the key has', async () => {
    const refunder = await newKey({ scopes: ['orders:refund'] });
    const all = await newKey({ scopes: ['orders:*'] });
    const calls: [string, string, unknown?][] = [
      ['GET', '/orders'],
      ['POST', '/orders', { item: 'book', quantity: 1 }],
      ['POST', '/orders/order_1/refund', {}],
    ];
    const table = await Promise.all(
      [reader, writer, refunder, all].map(({ key }) =>
        Promise.all(
          calls.map(async ([method, path, body]) => (await orders(method, path, { key, body })).status),
        ),
      ),
    );
    const opened = table.map((row) => row.map((status) => status < 400));
    expect(opened).toEqual([
      [true, false, false],
      [false, true, false],
      [false, false, true],
      [true, true, true],
    ]);
  });

  it('names the missing scope in its 403', async () => {
    const answer = await orders('POST', '/orders', { key: reader.key, body: {} });
    expect(answer.status).toBe(403);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer.body).toMatchObject({
      type: 'urn:rekey:problem:insufficient_scope',
      status: 403,
      missing_scopes: ['orders:write'],
    });
    expect(answer.body.detail).toContain('orders:write');
  });

  it('takes the key from either header, whatever the case of their names', async () => {
    for (const headers of [
      ['x-api-key', reader.key],
      ['X-API-KEY', reader.key],
      ['Authorization', `Bearer ${reader.key}`],
      ['authorization', `bearer ${reader.key}`],
      ['x-api-key', reader.key, 'authorization', `Bearer ${reader.key}`],
    ]) {
      expect((await raw('/orders', headers)).status).toBe(200);
    }
  });

  it('refuses two different keys and repeated headers', async () => {
    for (const headers of [
      ['x-api-key', reader.key, 'authorization', `Bearer ${writer.key}`],
      ['x-api-key', writer.key, 'authorization', `Bearer ${reader.key}`],
      ['x-api-key', reader.key, 'x-api-key', writer.key],
      ['x-api-key', reader.key, 'X-Api-Key', reader.key],
      ['authorization', `Bearer ${reader.key}`, 'authorization', `Bearer ${reader.key}`],
      ['x-api-key', `${reader.key}, ${writer.key}`],
      ['x-api-key', reader.key, 'authorization', 'Basic dXNlcjpwYXNz'],
      ['x-api-key', reader.key, 'authorization', ''],
      ['x-api-key', ''],
      ['authorization', reader.key],
      ['authorization', `Bearer  ${reader.key} extra`],
    ]) {
      expect({
        headers: headers.filter((_, i) => i % 2 === 0),
        status: (await raw('/orders', headers)).status,
      }).toEqual({
        headers: headers.filter((_, i) => i % 2 === 0),
        status: 401,
      });
    }
  });

  it('refuses with 401 and a challenge: no key, a typo, a stranger, a key in the query', async () => {
    const typo = `${reader.key.slice(0, 20)}${reader.key[20] === 'a' ? 'b' : 'a'}${reader.key.slice(21)}`;
    for (const [path, headers] of [
      ['/orders', []],
      ['/orders', ['x-api-key', typo]],
      ['/orders', ['x-api-key', 'sk_live_4eC39HqLyjWDarjtT1zdp7dc']],
      ['/orders', ['x-api-key', reader.key.replace('rk_live', 'rk_test')]],
      ['/orders', ['x-api-key', 'x'.repeat(8000)]],
      [`/orders?x-api-key=${reader.key}&authorization=Bearer%20${reader.key}`, []],
    ] as [string, string[]][]) {
      const answer = await raw(path, headers);
      expect(answer.status).toBe(401);
      expect(String(answer.headers['www-authenticate'])).toContain('error="invalid_token"');
      expect(JSON.parse(answer.body)).toMatchObject({ type: 'urn:rekey:problem:invalid_token', status: 401 });
    }
  });

  it('does not open by odd paths and methods', async () => {
    for (const [path, method] of [
      ['//orders', 'GET'],
      ['/orders/', 'POST'],
      ['/ORDERS', 'GET'],
      ['/orders/order_1%2Frefund', 'POST'],
      ['/orders/../orders', 'POST'],
      ['/orders', 'OPTIONS'],
      ['/orders', 'PUT'],
      ['/%6Frders', 'POST'],
      ['/orders;a=b', 'POST'],
    ] as const) {
      const answer = await raw(path, ['x-api-key', reader.key], method);
      if (method !== 'GET') expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).not.toBe(500);
      expect(answer.status).not.toBe(201);
    }
  });

  it('records the first use once', async () => {
    const { key, id } = await newKey();
    const used = async () =>
      (await management('GET', `/api-keys/${id}`, { key: admin })).body.api_key.first_used_at;
    expect(await used()).toBeNull();
    await Promise.all(Array.from({ length: 5 }, () => orders('GET', '/orders', { key })));
    const first = await used();
    expect(first).not.toBeNull();
    await orders('GET', '/orders', { key });
    expect(await used()).toBe(first);
  });

  it('follows a change of scopes at the next request', async () => {
    const { key, id } = await newKey({ scopes: ['orders:read', 'orders:write'] });
    expect((await orders('GET', '/orders', { key })).status).toBe(200);
    await management('PATCH', `/api-keys/${id}`, { key: admin, body: { scopes: ['orders:write'] } });
    expect((await orders('GET', '/orders', { key })).status).toBe(403);
  });
});
