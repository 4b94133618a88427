import { describe, expect, it } from '@jest/globals';
import type { DynamoDbCall } from '../../lib/dynamodb-http.ts';
import { createRouteReader } from '../../lib/route-reader.ts';
import { type RouteScopes, routesHash } from '../../lib/routes.ts';

const ROUTES: RouteScopes = { 'GET /orders': ['orders:read'] };
const HASH = routesHash(ROUTES);

/** @param items by `<pk> <sk>`, the text of `routes` */
const reader = (items: Record<string, string>, capacity?: number) => {
  const reads: string[] = [];
  const call: DynamoDbCall = async (_, input) => {
    const { pk, sk } = (input as { Key: Record<'pk' | 'sk', { S: string }> }).Key;
    reads.push(`${pk.S} ${sk.S}`);
    const routes = items[`${pk.S} ${sk.S}`];
    return routes === undefined ? {} : { Item: { routes: { S: routes } } };
  };
  return { read: createRouteReader({ table: 'keys', call, capacity }), reads, items };
};

describe('the routes of an API', () => {
  it('are those the stage names', async () => {
    const { read } = reader({ [`routes_api1 ${HASH}`]: JSON.stringify(ROUTES) });
    expect(await read('api1', HASH)).toEqual(ROUTES);
  });

  it('are read once', async () => {
    const { read, reads } = reader({ [`routes_api1 ${HASH}`]: JSON.stringify(ROUTES) });
    await read('api1', HASH);
    await read('api1', HASH);
    expect(reads).toEqual([`routes_api1 ${HASH}`]);
  });

  it('are not those of another API with the same hash', async () => {
    const { read } = reader({ [`routes_api1 ${HASH}`]: JSON.stringify(ROUTES) });
    await read('api1', HASH);
    expect(await read('api2', HASH)).toBeUndefined();
  });

  it('are looked for again while they are not there', async () => {
    const { read, items } = reader({});
    expect(await read('api1', HASH)).toBeUndefined();
    items[`routes_api1 ${HASH}`] = JSON.stringify(ROUTES);
    expect(await read('api1', HASH)).toEqual(ROUTES);
  });

  it.each([
    ['no hash', 'api1', undefined],
    ['a short hash', 'api1', HASH.slice(1)],
    ['an upper-case hash', 'api1', HASH.toUpperCase()],
    ['the id of an API with a slash', 'api1/x', HASH],
  ])('are none, without a read, for %s', async (_, apiId, hash) => {
    const { read, reads } = reader({});
    expect(await read(apiId, hash)).toBeUndefined();
    expect(reads).toEqual([]);
  });

  it.each([
    ['other routes', JSON.stringify({ 'GET /orders': [] })],
    ['no JSON', '{'],
    ['a list', '[]'],
    ['a wildcard', JSON.stringify({ 'GET /orders': ['*:*'] })],
  ])('are refused when under their hash there is %s', async (_, text) => {
    const { read } = reader({ [`routes_api1 ${HASH}`]: text });
    await expect(read('api1', HASH)).rejects.toThrow();
  });

  it('are kept in a bounded number, those used last', async () => {
    const { read, reads } = reader(
      Object.fromEntries(['a', 'b', 'c'].map((api) => [`routes_${api} ${HASH}`, JSON.stringify(ROUTES)])),
      2,
    );
    for (const api of ['a', 'b', 'a', 'c', 'a', 'b']) await read(api, HASH);
    expect(reads.map((name) => name.slice(7, 8))).toEqual(['a', 'b', 'c', 'b']);
  });
});
