import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type RouteScopes, requiredScopes, routesHash, validateRoutes } from '../../lib/routes.ts';

const routes: RouteScopes = {
  'GET /orders': ['orders:read'],
  'POST /orders': ['orders:write'],
  'POST /orders/{id}/refund': ['orders:refund', 'orders:write'],
  'ANY /orders/{id}': ['orders:admin'],
  'GET /orders/{id}': ['orders:read'],
  'GET /health': [],
  'GET /whoami': [[]],
  'GET /reports': [['reports:read', 'orders:read'], ['reports:admin']],
};

describe('the scopes of a request', () => {
  it('are those of its route', () => {
    expect(requiredScopes(routes, 'POST', '/orders/{id}/refund')).toEqual(['orders:refund', 'orders:write']);
  });

  it('are those of ANY where its method is not declared', () => {
    expect(requiredScopes(routes, 'GET', '/orders/{id}')).toEqual(['orders:read']);
    expect(requiredScopes(routes, 'DELETE', '/orders/{id}')).toEqual(['orders:admin']);
  });

  it('are none for a route declared public, which is not the same as undeclared', () => {
    expect(requiredScopes(routes, 'GET', '/health')).toEqual([]);
    expect(requiredScopes(routes, 'POST', '/health')).toBeUndefined();
  });

  it.each([
    ['DELETE', '/orders'],
    ['GET', '/orders/'],
    ['GET', '/Orders'],
    ['get', '/orders'],
    ['GET', '/orders/1'],
    ['GET', ''],
    ['', '/orders'],
    ['constructor', ''],
    [undefined, undefined],
  ] as [string, string][])('are undefined for %s %s, which is not declared', (method, path) => {
    expect(requiredScopes(routes, method, path)).toBeUndefined();
  });

  it('do not come from the prototype of the table', () => {
    const inherited: RouteScopes = Object.create({ 'GET /x': [] });
    expect(requiredScopes(inherited, 'GET', '/x')).toBeUndefined();
  });

  it('are undefined where the table is damaged', () => {
    const damaged = { 'GET /x': '', 'GET /y': null, 'GET /z': {} } as unknown as RouteScopes;
    for (const path of ['/x', '/y', '/z']) expect(requiredScopes(damaged, 'GET', path)).toBeUndefined();
  });
});

describe('the hash of the routes', () => {
  it('is 64 hex digits that never change for the same routes', () => {
    // Written down: a different hash for the same routes would make every deployment replace its table.
    expect(routesHash({ 'GET /b': ['b:b', 'a:a'], 'GET /a': [] })).toBe(
      'b626271287eefa36bbdaa135589bc76e76ee3509777d3d6e577e4b17dd3a4bcc',
    );
  });

  it('is the same in every order of routes and scopes', () => {
    const entries = Object.entries(routes);
    const shuffled = fc.shuffledSubarray(entries, { minLength: entries.length });
    fc.assert(
      fc.property(shuffled, fc.boolean(), (order, reverse) => {
        const copy = order.map(([route, scopes]) => [route, reverse ? scopes.toReversed() : scopes]);
        expect(routesHash(Object.fromEntries(copy) as RouteScopes)).toBe(routesHash(routes));
      }),
    );
  });

  it('differs for every difference that matters', () => {
    const others: RouteScopes[] = [
      {},
      { 'GET /a': [] },
      { 'GET /a': ['a:b'] },
      { 'GET /a': ['a:b', 'c:d'] },
      { 'POST /a': ['a:b'] },
      { 'GET /A': ['a:b'] },
      { 'GET /a': ['a:b'], 'GET /b': [] },
      { 'GET /a': [[]] },
      { 'GET /a': [['a:b'], ['c:d']] },
      { 'GET /a': [['a:b', 'c:d']] },
    ];
    expect(new Set(others.map(routesHash)).size).toBe(others.length);
  });

  it('leaves the routes as they were', () => {
    const given = { 'GET /a': ['b:b', 'a:a'] };
    routesHash(given);
    expect(given).toEqual({ 'GET /a': ['b:b', 'a:a'] });
  });
});

describe('declared routes', () => {
  it.each([
    'GET /',
    'ANY /{proxy+}',
    'PUT /v1/orders/{order_id}/items/{item-id}',
    'DELETE /a.b_c-d:e',
    'OPTIONS /files/{path+}',
    'HEAD /x',
    'PATCH /x',
  ])('may be %s', (route) => {
    expect(validateRoutes({ [route]: ['a:b'] })).toEqual({ [route]: ['a:b'] });
  });

  it.each([
    '',
    'GET',
    'GET orders',
    'get /orders',
    'FETCH /orders',
    '* /orders',
    'GET  /orders',
    ' GET /orders',
    'GET /orders ',
    'GET /orders/',
    'GET //orders',
    'GET /orders?x=1',
    'GET /{a+}/b',
    'GET /{}',
    'GET /{+}',
    'GET /{a',
    'GET /a{b}',
    'GET /{a}{b}',
    'GET /{id}/{id}',
    'GET /{id}/{id+}',
    'GET /ord%20ers',
    'GET /örders',
    'GET /*',
    'GET /a\n',
    `GET /${'a'.repeat(512)}`,
    'constructor',
  ])('cannot be %j, and the error names it', (route) => {
    expect(() => validateRoutes({ 'GET /ok': [], [route]: ['a:b'] })).toThrow(
      JSON.stringify(route.slice(0, 200)),
    );
  });

  it.each([
    [['orders:*']],
    [['*:*']],
    [['orders']],
    [['']],
    [[undefined]],
    [['a:b', 7]],
    ['a:b'],
    [null],
    [undefined],
    [{ 0: 'a:b' }],
    [Array.from({ length: 21 }, (_, n) => `a:b${n}`)],
    [Array.from({ length: 21 }, (_, n) => [`a:b${n}`])],
    [[Array.from({ length: 21 }, (_, n) => `a:b${n}`)]],
    [['a:b', ['c:d']]],
    [[['a:*']]],
    [[[['a:b']]]],
    [[[], null]],
  ])('cannot need %j, and the error names the route', (scopes) => {
    expect(() => validateRoutes({ 'GET /x': scopes })).toThrow('"GET /x"');
  });

  it('may need 20 scopes', () => {
    expect(() => validateRoutes({ 'GET /x': Array.from({ length: 20 }, (_, n) => `a:b${n}`) })).not.toThrow();
  });

  it('are 500 at most', () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`GET /${n}`, []]));
    expect(() => validateRoutes(many(500))).not.toThrow();
    expect(() => validateRoutes(many(501))).toThrow('500');
  });

  it('fit in an item of the table', () => {
    const long = Array.from({ length: 400 }, (_, n) => [`GET /${'a'.repeat(500)}${n}`, ['a:b']]);
    expect(() => validateRoutes(Object.fromEntries(long))).toThrow('bytes');
  });

  it('cannot reach the prototype', () => {
    expect(() => validateRoutes(JSON.parse('{"__proto__": ["a:b"]}'))).toThrow('__proto__');
  });

  it.each([null, undefined, 'GET /x', 7, [], [['GET /x', []]]])('cannot be %j', (odd) => {
    expect(() => validateRoutes(odd)).toThrow('must be an object');
  });
});

describe('the routes of a WebSocket API', () => {
  const routes = { $connect: ['shipments:read'], $default: ['shipments:read'], track: ['shipments:write'] };

  it('are $connect, $default and message keys', () => {
    expect(validateRoutes(routes)).toBe(routes);
    expect(requiredScopes(routes, '$connect', '')).toEqual(['shipments:read']);
    expect(requiredScopes(routes, '$disconnect', '')).toBeUndefined();
  });

  it.each(['GET /orders', 'ANY /', '$disconnect', '$other', '-x', 'a b', ''])(
    'are not mixed with others: %j',
    (route) => {
      expect(() => validateRoutes({ ...routes, [route]: ['a:b'] })).toThrow('WebSocket');
    },
  );

  it('are known by $connect', () => {
    expect(() => validateRoutes({ track: ['a:b'] })).toThrow('must look like GET /orders/{id}');
  });
});
