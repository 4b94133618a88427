import { describe, expect, it } from '@jest/globals';
import type { DynamoDbCall } from '../../lib/dynamodb-http.ts';
import { createRouteReader } from '../../lib/route-reader.ts';
import { type RouteScopes, routesHash } from '../../lib/routes.ts';

const ROUTES: RouteScopes = { 'GET /orders': ['orders:read'] };
const HASH = routesHash(ROUTES);

/** @param items by `<pk> <sk>`: the text of `routes`, or all attributes */
const reader = (items: Record<string, string | Record<string, string>>, capacity?: number) => {
  const reads: string[] = [];
  const call: DynamoDbCall = async (_, input) => {
    const { pk, sk } = (input as { Key: Record<'pk' | 'sk', { S: string }> }).Key;
    reads.push(`${pk.S} ${sk.S}`);
    const item = items[`${pk.S} ${sk.S}`];
    if (item === undefined) return {};
    const attributes = Object.entries(typeof item === 'string' ? { routes: item } : item);
    return { Item: Object.fromEntries(attributes.map(([name, S]) => [name, { S }])) };
  };
  const readRoutes = createRouteReader({ table: 'keys', call, capacity });
  const read = (apiId: string, routesHash: string | undefined) =>
    readRoutes(apiId, { routesHash, registeredBy: undefined, keptStage: undefined });
  const readOf = (registeredBy: string, apiId = 'api1', keptStage?: string) =>
    readRoutes(apiId, { routesHash: undefined, registeredBy, keptStage });
  return { read, readOf, reads, items };
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

describe('the routes of an API that was registered by PUT', () => {
  const current = (routes: RouteScopes, owner_id = 'team-things') => ({
    routes: JSON.stringify(routes),
    routes_hash: routesHash(routes),
    owner_id,
  });
  const OTHER: RouteScopes = { 'GET /orders': ['orders:admin'] };

  it('are those of the owner whom the stage names', async () => {
    const { readOf } = reader({ 'routes_api1 current': current(ROUTES) });
    expect(await readOf('team-things')).toEqual(ROUTES);
  });

  it('are none where the stage names another owner, or nobody', async () => {
    const { read, readOf } = reader({ 'routes_api1 current': current(ROUTES, 'attacker') });
    expect(await readOf('team-things')).toBeUndefined();
    expect(await readOf('')).toBeUndefined();
    expect(await read('api1', undefined)).toBeUndefined();
  });

  it('do not count where the stage names a table by its hash', async () => {
    const { read, reads } = reader({ 'routes_api1 current': current(ROUTES) });
    expect(await read('api1', HASH)).toBeUndefined();
    expect(reads).toEqual([`routes_api1 ${HASH}`]);
  });

  it('are read for every decision, and parsed once for as long as they are the same', async () => {
    const { readOf, reads, items } = reader({ 'routes_api1 current': current(ROUTES) });
    const first = await readOf('team-things');
    expect(await readOf('team-things')).toBe(first);
    items['routes_api1 current'] = current(OTHER);
    expect(await readOf('team-things')).toEqual(OTHER);
    delete items['routes_api1 current'];
    expect(await readOf('team-things')).toBeUndefined();
    expect(reads).toHaveLength(4);
  });

  it('are found by what a stage variable can hold of the owner’s id, which stands for no other', async () => {
    const { readOf } = reader({ 'routes_api1 current': current(ROUTES, 'a@b+c') });
    expect(await readOf('a~b,c')).toEqual(ROUTES);
    for (const other of ['a@b+c', 'a~b~c', 'a,b,c', 'a']) expect(await readOf(other)).toBeUndefined();
  });

  it('are refused to a stage that keeps answers, unless it is registered so: nobody would flush it', async () => {
    const stages = (cached_stages?: string) => ({
      'routes_api1 current': { ...current(ROUTES), ...(cached_stages !== undefined && { cached_stages }) },
    });
    const of = (cached: string | undefined, kept?: string) =>
      reader(stages(cached)).readOf('team-things', 'api1', kept);
    expect(await of('v1 $default', 'v1')).toEqual(ROUTES);
    expect(await of('v1 $default', '$default')).toEqual(ROUTES);
    for (const cached of ['', 'v2', 'v11', 'v1-b'])
      await expect(of(cached, 'v1')).rejects.toThrow('register it with its cache_header, by PUT /apis/api1');
    expect(await of('', undefined)).toEqual(ROUTES);
    // Of an earlier version, which did not write it down.
    expect(await of(undefined, 'v1')).toEqual(ROUTES);
  });

  it('are refused when they are not those of their hash', async () => {
    const { readOf } = reader({
      'routes_api1 current': { ...current(ROUTES), routes: JSON.stringify(OTHER) },
    });
    await expect(readOf('team-things')).rejects.toThrow('not those the stage names');
  });
});
