import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { managementOf } from './client.ts';
import { rawRequest } from './raw-request.ts';
import { advance, forget, type RunningStack, startRunningStack } from './running-stack.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;
/** Of examples/catalog-cached. */
const TTL = 300;

/** On a stack of its own: its clock moves. */
let stack: RunningStack;
beforeAll(async () => {
  stack = await startRunningStack();
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
});

const manage = (method: string, path: string, body?: unknown) =>
  managementOf(stack.apis.management)(method, path, { key: stack.admin_key, body });
let owners = 0;
const newKey = async (scopes: string[], more: object = {}) => {
  const owner_id = `team-${owners++}`;
  const { body } = await manage('POST', '/api-keys', { name: 'n', owner_id, scopes, ...more });
  return { key: body.key as string, id: body.api_key.id as string, owner_id };
};

describe.each(['catalogRest', 'catalogHttp'] as const)('answers kept for %s', (api) => {
  const isRest = api === 'catalogRest';
  const ask = (path: string, headers: string[], method = 'GET') =>
    rawRequest(stack.apis[api], path, headers, method);
  const call = async (key: string, path: string, method = 'GET') =>
    (await ask(path, ['x-api-key', key], method)).status;

  const ROUTES: [string, string][] = [
    ['GET', '/products'],
    ['GET', '/products/1'],
    ['PUT', '/products/1'],
    ['GET', '/products/1/prices'],
    ['GET', '/files/a/b'],
  ];
  it.each([
    [['catalog:read'], [200, 200, 403, 403, 403]],
    [['catalog:write'], [403, 403, 200, 403, 403]],
    [['catalog:prices'], [403, 403, 403, 200, 403]],
    [
      ['catalog:read', 'catalog:write'],
      [200, 200, 200, 403, 200],
    ],
    [
      ['catalog:files', '*:prices'],
      [403, 403, 403, 200, 200],
    ],
    [['orders:*'], [403, 403, 403, 403, 403]],
    [['catalog:*'], [200, 200, 200, 200, 200]],
  ])('are the whole truth about a key with %j, whichever route it used first', async (scopes, statuses) => {
    for (const first of ROUTES.keys()) {
      const { key } = await newKey(scopes);
      const order = [first, ...ROUTES.keys()];
      const seen: number[] = [];
      for (const index of order) {
        const [method, path] = ROUTES[index] as [string, string];
        seen[index] = await call(key, path, method);
      }
      expect([first, seen]).toEqual([first, statuses]);
    }
  });

  it('are no way round a route', async () => {
    const { key } = await newKey(['catalog:read']);
    expect(await call(key, '/products')).toBe(200);
    for (const [path, status] of [
      // One id, whose slash is encoded: the route it was sent to, and no other.
      ['/products/1%2Fprices', 200],
      ['/products/1%2F..%2Fprices', 200],
      ['/products/*', 200],
      ['/products/%2A', 200],
      ['/products/$%7B*%7D', 200],
      ['/products/1/', isRest ? 200 : 404],
      ['/products/1/prices/', isRest ? 403 : 404],
      ['//products', isRest ? 200 : 404],
      ['/products//prices', 404],
      ['/products/1//prices', 404],
      ['/products/1/Prices', 404],
      ['/PRODUCTS', 404],
      ['/products/1/prices/2', 404],
      ['/v1/products', 404],
      ['/$default/products', 404],
      ['/other', 404],
      ['/files/1%2Fprices', 403],
    ] as const)
      expect([path, await call(key, path)]).toEqual([path, status]);
    for (const [method, path, status] of [
      ['OPTIONS', '/products', 404],
      ['POST', '/products', 404],
      ['HEAD', '/products', 404],
      ['DELETE', '/products/1', 404],
      ['PUT', '/products/1', 403],
    ] as const)
      expect([method, path, await call(key, path, method)]).toEqual([method, path, status]);
    const overridden = await ask('/products/1', ['x-api-key', key, 'x-http-method-override', 'PUT']);
    expect(overridden.status).toBe(isRest ? 403 : 200);
    const { host } = new URL(stack.apis[api]);
    expect((await rawRequest(`http://${host}`, '/v2/products', ['x-api-key', key])).status).toBe(
      isRest ? 403 : 404,
    );
  });

  it('are given to nobody who sends the header twice, or the key elsewhere', async () => {
    const reader = await newKey(['catalog:read']);
    const other = await newKey(['catalog:*']);
    const header = ['x-api-key', reader.key];
    for (const isKept of [false, true]) {
      for (const smuggled of [
        [],
        ['x-api-key', ''],
        [...header, ...header],
        [...header, 'x-api-key', other.key],
        ['x-api-key', other.key, 'X-API-KEY', reader.key],
        ['x-api-key', `${reader.key},`],
        ['x-api-key', `${reader.key}, ${other.key}`],
        ['x-api-key', reader.key.toLowerCase()],
        ['x_api_key', reader.key],
        ['authorization', `Bearer ${reader.key}`],
        ['cookie', `x-api-key=${reader.key}`],
      ])
        expect([isKept, smuggled, (await ask('/products', smuggled)).status]).toEqual([
          isKept,
          smuggled,
          401,
        ]);
      expect((await ask(`/products?x-api-key=${reader.key}`, [])).status).toBe(401);
      // Now both are kept.
      expect([await call(reader.key, '/products'), await call(other.key, '/products')]).toEqual([200, 200]);
    }
    // A kept answer is that of the header it is kept by, whatever else is sent along.
    const both = await ask('/products', [...header, 'authorization', `Bearer ${other.key}`]);
    expect([both.status, JSON.parse(both.body).owner_id]).toEqual([200, reader.owner_id]);
    expect(
      (await ask('/products/1/prices', [...header, 'authorization', `Bearer ${other.key}`])).status,
    ).toBe(403);
  });

  it('do not name the missing scope, which is in none of them', async () => {
    const { key } = await newKey(['catalog:read']);
    for (const _ of ['asked', 'kept']) {
      const refused = JSON.parse((await ask('/products/1/prices', ['x-api-key', key])).body);
      expect(refused).toMatchObject(
        isRest
          ? {
              type: 'urn:rekey:problem:insufficient_scope',
              missing_scopes: [],
              detail: 'The API key lacks a scope that this route needs, or has ended since.',
            }
          : { message: 'Forbidden' },
      );
    }
  });

  it('end with the key, though they are kept longer', async () => {
    const { key } = await newKey(['catalog:read'], { expires_in_days: 1 });
    await advance(stack, DAY - TTL / 2);
    expect(await call(key, '/products')).toBe(200);
    await advance(stack, TTL / 2 + 1);
    // 401 is what the authorizer would say. This is the kept policy, which has ended by itself.
    expect(await call(key, '/products')).toBe(403);
    await advance(stack, TTL / 2);
    expect(await call(key, '/products')).toBe(401);
  });

  it('of a revoked key are gone when their time is over', async () => {
    const { key, id } = await newKey(['catalog:read']);
    expect(await call(key, '/products')).toBe(200);
    expect((await manage('POST', `/api-keys/${id}/revoke`, {})).status).toBe(200);
    await advance(stack, TTL + 1);
    expect(await call(key, '/products')).toBe(401);
  });
});
