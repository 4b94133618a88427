import { GetCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import type { Event } from '../../lib/event.schema.ts';
import { systemOrigin } from '../../lib/event.ts';
import { listEvents } from '../../lib/event-table.ts';
import { createKey } from '../../lib/operations/create-key.ts';
import { deleteApi } from '../../lib/operations/delete-api.ts';
import { getApi } from '../../lib/operations/get-api.ts';
import { listApis } from '../../lib/operations/list-apis.ts';
import { listScopes } from '../../lib/operations/list-scopes.ts';
import { putApi } from '../../lib/operations/put-api.ts';
import { revokeKey } from '../../lib/operations/revoke-key.ts';
import { rotateKey } from '../../lib/operations/rotate-key.ts';
import { updateKey } from '../../lib/operations/update-key.ts';
import { createRouteReader } from '../../lib/route-reader.ts';
import { registerRoutes } from '../../lib/route-table.ts';
import { type RouteScopes, routesHash } from '../../lib/routes.ts';
import { ADMIN, type ApiRequest, call } from '../lib/api-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { setEnvironment } from './environment.ts';
import { unreliableNetwork } from './unreliable-network.ts';

let restore: () => void;
let engine: Engine;
let apis = 0;
/** An API that no other test uses, and a resource of scopes that only it knows. */
const newApi = () => {
  apis += 1;
  return { id: `api${apis}`, thing: `thing${apis}` };
};

beforeAll(async () => {
  engine = await startEngine();
  restore = setEnvironment(
    { endpoint: engine.endpoint, tableName: engine.table.tableName },
    {
      REKEY_ACCOUNT_ID: '000000000000',
    },
  );
});
afterAll(async () => {
  restore();
  await engine.close();
});
beforeEach(() => {
  for (const level of ['info', 'error'] as const) jest.spyOn(console, level).mockImplementation(() => {});
});

const team = (owner_id: string, more: Partial<typeof ADMIN> = {}) => ({
  ...ADMIN,
  key_id: `key_${'5'.repeat(22)}`,
  principalId: `key_${'5'.repeat(22)}`,
  owner_id,
  owner_access: 'own',
  ...more,
});
const put = (id: string, json: object, request: ApiRequest = {}) =>
  call(putApi, { id, json, caller: team('team-a'), ...request });
const problem = (code: string) => ({ type: `urn:rekey:problem:${code}` });
const trailOf = async (id: string): Promise<Event[]> =>
  (await listEvents({ of: { subject_id: id }, limit: 100 }, engine.table)).events.reverse();
const newKey = async (scopes: string[], more: object = {}) =>
  (await call(createKey, { json: { name: 'n', owner_id: 'team-a', scopes, ...more } })).body;
const itemAt = async (pk: string, sk: string) =>
  (await engine.table.client.send(new GetCommand({ TableName: engine.table.tableName, Key: { pk, sk } })))
    .Item;

describe('PUT /apis/{id}', () => {
  it('registers an API whole, for its owner, with an event, and where the authorizer reads it', async () => {
    const { id, thing } = newApi();
    const routes = {
      'GET /things': [`${thing}:read`],
      'POST /things/{id}': [`${thing}:write`],
      'GET /health': [],
    };
    const stages = [{ name: 'v1', cache_header: 'x-api-key' }];
    const answer = await put(id, { routes, scopes: { 'reports:export': 'Export' }, stages });
    expect(answer).toMatchObject({
      status: 200,
      body: { api: { id, owner_id: 'team-a', source: 'request', version: 1, routes, stages } },
    });
    expect((await call(getApi, { id, caller: team('team-a') })).body).toEqual(answer.body);

    const dynamoDb = createDynamoDbCall(process.env);
    const read = createRouteReader({ table: engine.table.tableName, call: dynamoDb });
    expect(await read(id, { routesHash: undefined, keptStage: undefined, registeredBy: 'team-a' })).toEqual(
      routes,
    );
    expect(
      await read(id, { routesHash: undefined, keptStage: undefined, registeredBy: 'team-b' }),
    ).toBeUndefined();
    expect(
      await read(id, { routesHash: undefined, keptStage: undefined, registeredBy: undefined }),
    ).toBeUndefined();

    expect(await trailOf(id)).toMatchObject([
      {
        type: 'api.registered',
        api_id: id,
        owner_id: 'team-a',
        data: { api: { route_count: 3, version: 1 } },
      },
    ]);
  });

  it('replaces all of it, and tells what changed route by route', async () => {
    const { id, thing } = newApi();
    await put(id, { routes: { 'GET /a': [`${thing}:read`], 'GET /b': [] }, scopes: { [`${thing}:x`]: 'X' } });
    const { body } = await put(id, { routes: { 'GET /a': [`${thing}:admin`] } });
    expect(body.api).toMatchObject({ version: 2, routes: { 'GET /a': [`${thing}:admin`] }, scopes: {} });
    expect((await trailOf(id))[1]).toMatchObject({
      type: 'api.updated',
      changes: [
        { field: 'routes/GET /a', from: [`${thing}:read`], to: [`${thing}:admin`] },
        { field: 'routes/GET /b', from: [], to: null },
        { field: `scopes/${thing}:x`, from: 'X', to: null },
      ],
    });
  });

  it('writes nothing when nothing changes', async () => {
    const { id, thing } = newApi();
    const json = { routes: { 'GET /a': [`${thing}:read`] } };
    const first = await put(id, json);
    expect((await put(id, json)).body).toEqual(first.body);
    expect(await trailOf(id)).toHaveLength(1);
  });

  it('says all that is wrong, with a pointer to each', async () => {
    const { status, body } = await put('api0', {
      routes: {
        'GET things': ['a:b'],
        'GET /a': ['orders:*', 'orders:read', 'Orders'],
        'POST /b': 'a:b',
        'GET /things/with/a/path/that/is/very/long/{id}/{id}': [['a:b', 'x']],
      },
      scopes: { 'reports:*': 'x', 'a:b': 5 },
      stages: [{ name: 'v 1' }],
      more: 1,
    });
    expect(status).toBe(400);
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      '/more',
      '/routes/GET things',
      '/routes/GET ~1a/0',
      '/routes/GET ~1a/2',
      '/routes/GET ~1things~1with~1a~1path~1that~1is~1very~1long~1{id}~1{id}',
      '/routes/GET ~1things~1with~1a~1path~1that~1is~1very~1long~1{id}~1{id}/0/1',
      '/routes/POST ~1b',
      '/scopes/a:b',
      '/scopes/reports:*',
      '/stages/0/name',
    ]);
    expect(JSON.stringify(body.errors)).toContain('must look like GET /orders/{id}');
    expect(await trailOf('api0')).toEqual([]);
  });

  it('refuses a stage with a cache whose routes have no one policy, and names them', async () => {
    const { id } = newApi();
    const routes: RouteScopes = {
      'GET /orders/{id}': ['clash:read'],
      'GET /orders/{id}/refunds': ['clash:refund'],
      'GET /orders/{id}/items/refunds': ['clash:read'],
    };
    const stages = [{ name: 'v1' }, { name: 'v2', cache_header: 'x-api-key' }];
    const { status, body } = await put(id, { routes, stages });
    expect(status).toBe(400);
    expect(body.errors[0].pointer).toBe('/stages/1/cache_header');
    expect(body.errors[0].detail).toMatch(
      /cannot be set .* refuses GET \/orders\/\{id\}\/refunds and allows/,
    );
    expect((await put(id, { routes, stages: [{ name: 'v1' }] })).status).toBe(200);
  });

  it('takes more than 16 KB, which nothing else does', async () => {
    const { id, thing } = newApi();
    const routes = Object.fromEntries(
      Array.from({ length: 400 }, (_, n) => [`GET /a-rather-long-name-of-a-route/${n}`, [`${thing}:read`]]),
    );
    expect((await put(id, { routes })).status).toBe(200);
    expect((await call(createKey, { json: { name: 'n'.repeat(17_000) } })).status).toBe(413);
  });

  it('replaces nobody else’s registration, and shows it to nobody else', async () => {
    const { id, thing } = newApi();
    const mine = { routes: { 'GET /a': [`${thing}:read`] } };
    await put(id, mine);
    const attacker = team('attacker');
    const open = { routes: { 'GET /a': [] } };
    const answer = await put(id, open, { caller: attacker });
    expect(answer).toMatchObject({ status: 403, body: problem('owner_forbidden') });
    expect(answer.body.detail).toContain('registered by another owner');
    expect((await call(getApi, { id, caller: attacker })).status).toBe(404);
    expect((await call(deleteApi, { id, caller: attacker })).status).toBe(404);
    expect((await call(getApi, { id, caller: team('team-a') })).body.api).toMatchObject(mine);
    expect(await trailOf(id)).toHaveLength(1);

    // Who acts for all owners may, and it stays the owner's.
    expect((await put(id, { routes: {} }, { caller: ADMIN })).body.api.owner_id).toBe('team-a');
  });

  it('is for live keys', async () => {
    const { id } = newApi();
    const caller = team('team-a', { environment: 'test' });
    expect(await put(id, { routes: {} }, { caller })).toMatchObject({
      status: 403,
      body: problem('environment_forbidden'),
    });
  });

  it('replaces only the version that it is meant for', async () => {
    const { id, thing } = newApi();
    const json = (n: number, if_version: number) => ({
      routes: { [`GET /${n}`]: [`${thing}:read`] },
      if_version,
    });
    expect((await put(id, json(1, 1))).body).toMatchObject({ ...problem('api_changed'), version: 0 });
    expect((await put(id, json(1, 0))).status).toBe(200);
    expect((await put(id, json(2, 0))).body).toMatchObject({ ...problem('api_changed'), version: 1 });
    expect((await put(id, json(2, 1))).body.api.version).toBe(2);
  });

  it('never mixes two that come at the same time', async () => {
    const { id, thing } = newApi();
    const whole = (n: number): RouteScopes =>
      Object.fromEntries(['a', 'b', 'c'].map((path) => [`GET /${path}/${n}`, [`${thing}:s${n}`]]));
    const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => put(id, { routes: whole(n) })));
    const done = answers.filter(({ status }) => status === 200);
    expect(done.length).toBeGreaterThan(0);
    for (const { status } of answers) expect([200, 503]).toContain(status);

    const { api } = (await call(getApi, { id, caller: ADMIN })).body;
    expect(Array.from({ length: 6 }, (_, n) => JSON.stringify(whole(n)))).toContain(
      JSON.stringify(api.routes),
    );
    expect(api.version).toBe(done.length);
    const current = await itemAt(`routes_${id}`, 'current');
    expect(current).toMatchObject({ routes: JSON.stringify(api.routes), routes_hash: api.routes_hash });
    expect(
      (await trailOf(id)).map(({ data }) => (data['api'] as { version: number }).version).sort(),
    ).toEqual(Array.from({ length: done.length }, (_, n) => n + 1));
  });
});

describe('DELETE /apis/{id}', () => {
  it('takes the registration from the catalog and from the authorizer', async () => {
    const { id, thing } = newApi();
    await put(id, { routes: { 'GET /a': [`${thing}:read`] } });
    expect((await call(deleteApi, { id, caller: team('team-a') })).status).toBe(204);
    expect((await call(getApi, { id, caller: team('team-a') })).status).toBe(404);
    expect((await call(deleteApi, { id, caller: team('team-a') })).status).toBe(404);
    expect(await itemAt(`routes_${id}`, 'current')).toBeUndefined();
    expect((await trailOf(id)).map(({ type }) => type)).toEqual(['api.registered', 'api.deleted']);
  });
});

describe('GET /apis', () => {
  it('lists an owner’s own, page by page, and all to who acts for all', async () => {
    const owner = 'lister';
    for (const id of ['zz3', 'zz1', 'zz2'])
      await put(id, { routes: { 'GET /a': ['zz:read'] } }, { caller: team(owner) });
    const first = await call(listApis, { caller: team(owner), query: { limit: '2' } });
    expect(first.body.data.map(({ id }: { id: string }) => id)).toEqual(['zz1', 'zz2']);
    expect(first.body.data[0]).toMatchObject({ route_count: 1, scope_count: 1 });
    const cursor = first.body.next_cursor;
    const second = await call(listApis, { caller: team(owner), query: { limit: '2', cursor } });
    expect(second.body).toMatchObject({ data: [{ id: 'zz3' }], next_cursor: null });

    const all = (await call(listApis, { query: { limit: '100' } })).body.data;
    expect(new Set(all.map((api: { owner_id: string }) => api.owner_id)).size).toBeGreaterThan(1);
    expect((await call(listApis, { caller: team('other'), query: { owner_id: owner } })).status).toBe(403);
  });
});

describe('the catalog of scopes', () => {
  const scopesNamed = async (start: string, query: Record<string, string> = {}) => {
    const found = [];
    let cursor: string | null = null;
    do {
      const { body } = await call(listScopes, { query: { ...query, ...(cursor && { cursor }) } });
      found.push(...body.data);
      cursor = body.next_cursor;
    } while (cursor);
    return found.filter(({ scope }) => scope.startsWith(start));
  };

  it('has every scope once, with what needs it', async () => {
    const [one, two] = [newApi(), newApi()];
    const { thing } = one;
    await put(one.id, {
      routes: { 'GET /a': [`${thing}:read`], 'GET /b': [[`${thing}:read`], [`${thing}:all`]] },
      scopes: { [`${thing}:read`]: 'Read it', [`${thing}:export`]: 'Export it' },
    });
    await put(two.id, { routes: { 'GET /c': [`${thing}:read`] } }, { caller: team('team-b') });
    expect(await scopesNamed(`${thing}:`, { limit: '2' })).toEqual([
      {
        scope: `${thing}:all`,
        description: null,
        apis: [{ id: one.id, owner_id: 'team-a', routes: ['GET /b'] }],
      },
      {
        scope: `${thing}:export`,
        description: 'Export it',
        apis: [{ id: one.id, owner_id: 'team-a', routes: [] }],
      },
      {
        scope: `${thing}:read`,
        description: 'Read it',
        apis: [
          { id: one.id, owner_id: 'team-a', routes: ['GET /a', 'GET /b'] },
          { id: two.id, owner_id: 'team-b', routes: ['GET /c'] },
        ],
      },
    ]);
  });

  it('counts the active keys that hold each', async () => {
    const { id, thing } = newApi();
    await put(id, { routes: { 'GET /a': [`${thing}:read`], 'GET /b': [`${thing}:write`] } });
    await newKey([`${thing}:read`], { owner_id: 'one' });
    await newKey([`${thing}:read`, `${thing}:write`], { owner_id: 'two' });
    await newKey([`${thing}:*`], { owner_id: 'three' });
    const revoked = await newKey([`${thing}:read`]);
    await call(revokeKey, { id: revoked.api_key.id, json: {} });
    expect(await scopesNamed(`${thing}:`, { include: 'keys' })).toMatchObject([
      { scope: `${thing}:read`, active_keys: 2, active_keys_by_wildcard: 1 },
      { scope: `${thing}:write`, active_keys: 1, active_keys_by_wildcard: 1 },
    ]);
  });

  it('is what new keys may choose from: the nearest is named', async () => {
    const { id } = newApi();
    await put(id, { routes: { 'GET /a': ['invoices:read'] } });
    const ask = async (scopes: string[]) =>
      await call(createKey, { json: { name: 'n', owner_id: 'team-a', scopes } });
    const answer = await ask(['invoice:read', 'invoices:read', 'nothing-like-it.at-all:zzz']);
    expect(answer).toMatchObject({
      status: 422,
      body: {
        ...problem('unknown_scope'),
        unknown_scopes: [
          { scope: 'invoice:read', did_you_mean: 'invoices:read' },
          { scope: 'nothing-like-it.at-all:zzz', did_you_mean: null },
        ],
      },
    });
    expect(answer.body.detail).toContain('`invoice:read` is not known; did you mean `invoices:read`?');

    expect(await ask(['invoice:*'])).toMatchObject({
      status: 422,
      body: { unknown_scopes: [{ scope: 'invoice:*', did_you_mean: 'invoices:*' }] },
    });
    for (const scopes of [['invoices:*'], ['*:read'], ['*:*']]) expect((await ask(scopes)).status).toBe(201);
  });

  it('knows a scope as soon as it is registered', async () => {
    const { id, thing } = newApi();
    expect((await newKey([`${thing}:read`])).type).toBe('urn:rekey:problem:unknown_scope');
    await put(id, { routes: { 'GET /a': [`${thing}:read`] } });
    expect((await newKey([`${thing}:read`])).api_key.scopes).toEqual([`${thing}:read`]);
  });

  it('is asked about what a change or a rotation adds, and not about what a key has', async () => {
    const { id, thing } = newApi();
    await put(id, { routes: { 'GET /a': [`${thing}:read`], 'GET /b': [`${thing}:write`] } });
    const key = await newKey([`${thing}:*`, `${thing}:read`, `${thing}:write`]);
    const change = (scopes: string[]) => call(updateKey, { id: key.api_key.id, json: { scopes } });
    expect((await change([`${thing}:raed`])).body).toMatchObject({
      ...problem('unknown_scope'),
      unknown_scopes: [{ did_you_mean: `${thing}:read` }],
    });
    await call(deleteApi, { id, caller: ADMIN, query: { force: 'true' } });

    // Nobody knows them any more, and still they can be given up one by one, and the key can be rotated.
    expect((await change([`${thing}:*`, `${thing}:read`])).status).toBe(200);
    const narrowed = await call(rotateKey, { id: key.api_key.id, json: { scopes: [`${thing}:writ`] } });
    expect(narrowed.body).toMatchObject(problem('unknown_scope'));
    expect((await call(rotateKey, { id: key.api_key.id, json: {} })).status).toBe(201);
  });

  it('loses no scope that active keys hold, unless it is forced', async () => {
    const [one, two] = [newApi(), newApi()];
    const { thing } = one;
    const routes = { 'GET /a': [`${thing}:read`], 'GET /b': [`${thing}:write`] };
    await put(one.id, { routes });
    const key = await newKey([`${thing}:write`]);
    const less = { routes: { 'GET /a': [`${thing}:read`] } };
    expect(await put(one.id, less)).toMatchObject({
      status: 409,
      body: { ...problem('scope_in_use'), in_use: [{ scope: `${thing}:write`, active_keys: 1 }] },
    });
    expect(await call(deleteApi, { id: one.id, caller: ADMIN })).toMatchObject({ status: 409 });
    expect((await trailOf(one.id)).length).toBe(1);

    // Another API knows it too: then nothing is lost.
    await put(two.id, { routes });
    expect((await put(one.id, less)).status).toBe(200);
    expect((await call(deleteApi, { id: two.id, caller: ADMIN })).status).toBe(409);
    expect((await call(deleteApi, { id: two.id, caller: ADMIN, query: { force: 'true' } })).status).toBe(204);

    // A key that is revoked holds nothing any more.
    await put(two.id, { routes });
    await call(revokeKey, { id: key.api_key.id, json: {} });
    expect((await call(deleteApi, { id: two.id, caller: ADMIN })).status).toBe(204);
  });
});

describe('the registration of routes by a stack', () => {
  const STACK = 'arn:aws:cloudformation:us-east-1:123456789012:stack/Orders/5b1d';
  const OWNER = 'stack:123456789012/Orders';
  const NOW = Date.parse('2026-11-24T12:00:00Z');
  const nameOf = (id: string, routes: RouteScopes) => `routes_${id}/${routesHash(routes)}`;
  const ask = (change: Record<string, unknown>, now = NOW, table = engine.table) =>
    registerRoutes(
      { RequestType: 'Create', StackId: STACK, ...change } as unknown as CloudFormationCustomResourceEvent,
      systemOrigin('register-routes', now),
      table,
    );
  const propertiesOf = (id: string, routes: RouteScopes, catalog?: object) => ({
    ResourceProperties: {
      RestApiId: id,
      Hash: routesHash(routes),
      Routes: JSON.stringify(routes),
      ...(catalog && { Catalog: JSON.stringify(catalog) }),
    },
  });

  it('keeps the table under its hash and shows the API in the catalog, with an event', async () => {
    const { id, thing } = newApi();
    const routes: RouteScopes = { 'GET /a': [`${thing}:read`], 'GET /health': [] };
    const stages = [{ name: 'v1', cache_header: 'x-api-key' }];
    const catalog = { scopes: { [`${thing}:read`]: 'Read' }, stages };
    expect(await ask(propertiesOf(id, routes, catalog))).toBe(nameOf(id, routes));
    expect(await itemAt(`routes_${id}`, routesHash(routes))).toEqual({
      pk: `routes_${id}`,
      sk: routesHash(routes),
      routes: JSON.stringify(routes),
    });
    expect((await call(getApi, { id })).body.api).toMatchObject({
      ...{ id, owner_id: OWNER, source: 'stack', routes, stages, version: 1 },
      created_by: 'system:register-routes',
    });
    expect(await trailOf(id)).toMatchObject([{ type: 'api.registered', owner_id: OWNER }]);
    // CloudFormation may ask again.
    await ask(propertiesOf(id, routes, catalog));
    expect(await trailOf(id)).toHaveLength(1);
  });

  it.each(['lose request', 'lose answer'] as const)(
    'broken off at any call (%s) is whole when CloudFormation asks again, and told once',
    async (fate) => {
      for (let nth = 1, isBroken = true; isBroken; nth++) {
        let seen = 0;
        // From the nth call on nothing gets through, as in a process that ends there.
        const network = await unreliableNetwork(engine.endpoint, () => {
          seen += 1;
          if (seen < nth) return 'pass';
          return seen === nth ? fate : 'lose request';
        });
        const { id, thing } = newApi();
        const routes: RouteScopes = { 'GET /a': [`${thing}:read`] };
        const first = ask(propertiesOf(id, routes), NOW, engine.open({ endpoint: network.endpoint }));
        isBroken = await first.then(
          () => false,
          () => true,
        );
        await network.close();
        expect(await ask(propertiesOf(id, routes))).toBe(nameOf(id, routes));
        expect((await itemAt(`routes_${id}`, routesHash(routes)))?.['routes']).toBe(JSON.stringify(routes));
        expect((await call(getApi, { id })).body.api).toMatchObject({ id, routes, version: 1 });
        expect(await trailOf(id)).toMatchObject([{ type: 'api.registered' }]);
        expect([nth, isBroken]).toEqual([nth, nth <= seen]);
      }
    },
  );

  it('needs no more than routes, from stacks of earlier versions', async () => {
    const { id, thing } = newApi();
    await ask(propertiesOf(id, { 'GET /a': [`${thing}:read`] }));
    expect((await call(getApi, { id })).body.api).toMatchObject({ stages: [], scopes: {} });
  });

  it('has the new table beside the old one until that is given up, which takes a day', async () => {
    const { id, thing } = newApi();
    const old: RouteScopes = { 'GET /a': [`${thing}:read`] };
    const next: RouteScopes = { 'GET /a': [`${thing}:list`] };
    await ask(propertiesOf(id, old));
    const update = { RequestType: 'Update', PhysicalResourceId: nameOf(id, old) };
    expect(await ask({ ...update, ...propertiesOf(id, next) }, NOW + 1000)).toBe(nameOf(id, next));
    expect((await call(getApi, { id })).body.api).toMatchObject({ routes: next, version: 2 });
    // Both are known meanwhile: either may be in force.
    for (const scope of [`${thing}:read`, `${thing}:list`])
      expect((await newKey([scope], { expires_in_days: 1 })).api_key).toBeDefined();

    await ask({ RequestType: 'Delete', PhysicalResourceId: nameOf(id, old) }, NOW + 2000);
    expect((await itemAt(`routes_${id}`, routesHash(old)))?.['ttl']).toBe(NOW / 1000 + 2 + 86_400);
    expect((await itemAt(`routes_${id}`, routesHash(next)))?.['ttl']).toBeUndefined();
    expect((await call(getApi, { id })).body.api.routes).toEqual(next);
    expect((await trailOf(id)).map(({ type }) => type)).toEqual(['api.registered', 'api.updated']);

    await ask({ RequestType: 'Delete', PhysicalResourceId: nameOf(id, next) }, NOW + 3000);
    expect((await call(getApi, { id })).status).toBe(404);
    expect((await trailOf(id)).at(-1)?.type).toBe('api.deleted');
    await expect(ask({ RequestType: 'Delete', PhysicalResourceId: nameOf(id, next) })).resolves.toBeDefined();
    await expect(ask({ RequestType: 'Delete', PhysicalResourceId: 'nothing' })).resolves.toBe('nothing');
  });

  it('refuses a change that takes a scope from active keys, and never the way back', async () => {
    const { id, thing } = newApi();
    const old: RouteScopes = { 'GET /a': [`${thing}:read`] };
    const next: RouteScopes = { 'GET /a': [`${thing}:list`] };
    const to = (from: RouteScopes, routes: RouteScopes, catalog?: object) =>
      ask({
        ...{ RequestType: 'Update', PhysicalResourceId: nameOf(id, from) },
        ...propertiesOf(id, routes, catalog),
      });
    await ask(propertiesOf(id, old));
    await newKey([`${thing}:read`]);
    await expect(to(old, next)).rejects.toThrow(`Active keys hold ${thing}:read (1)`);
    expect((await call(getApi, { id })).body.api.routes).toEqual(old);
    // CloudFormation rolls back: to what is there, and deletes what could not be made.
    await expect(to(old, old)).resolves.toBe(nameOf(id, old));
    await ask({ RequestType: 'Delete', PhysicalResourceId: nameOf(id, next) });

    await expect(to(old, next, { force: true })).resolves.toBe(nameOf(id, next));
    await newKey([`${thing}:list`]);
    // Something else of the deployment fails: back to the old one, though a key holds the new scope by now.
    await expect(to(next, old)).resolves.toBe(nameOf(id, old));
    await expect(ask({ RequestType: 'Delete', PhysicalResourceId: nameOf(id, next) })).resolves.toBeDefined();
  });

  it('cannot be replaced by another stack', async () => {
    const { id, thing } = newApi();
    const routes: RouteScopes = { 'GET /a': [`${thing}:read`] };
    await ask(propertiesOf(id, routes));
    const StackId = STACK.replace('Orders', 'Attack');
    for (const theirs of [routes, { 'GET /a': [] }] as RouteScopes[])
      await expect(ask({ StackId, ...propertiesOf(id, theirs) })).rejects.toThrow(
        'registered by the stack:123456789012/Orders',
      );
    expect((await call(getApi, { id })).body.api).toMatchObject({ owner_id: OWNER, routes });
  });

  it('cannot be replaced by a PUT', async () => {
    const { id, thing } = newApi();
    await ask(propertiesOf(id, { 'GET /a': [`${thing}:read`] }));
    for (const caller of [team('team-a'), ADMIN])
      expect(await put(id, { routes: {} }, { caller })).toMatchObject({
        status: 409,
        body: problem('api_of_stack'),
      });
    expect((await call(deleteApi, { id })).body).toMatchObject(problem('api_of_stack'));
    expect((await call(deleteApi, { id, caller: team('team-a') })).status).toBe(404);
  });

  it.each([
    ['a hash of other routes', { Hash: routesHash({ 'GET /orders': [] }) }, 'are not those that the hash'],
    ['a hash that is none', { Hash: 'latest' }, 'Hash must be 64 hex digits'],
    ['an API id that is none', { RestApiId: 'a/b' }, 'RestApiId must have'],
    ['a route that is none', { Routes: '{"GET orders":["orders:read"]}' }, 'Route "GET orders"'],
    ['a scope with a wildcard', { Routes: '{"GET /orders":["orders:*"]}' }, 'Route "GET /orders"'],
    ['routes that are not JSON', { Routes: 'GET /orders' }, 'JSON'],
    ['no routes', { Routes: undefined }, 'Routes must be text'],
    ['a stage that is none', { Catalog: '{"stages":[{"name":"v 1"}]}' }, 'stages/0/name must be'],
  ])('refuses %s, and writes nothing', async (_, change, sentence) => {
    const { ResourceProperties } = propertiesOf('refused', { 'GET /orders': ['orders:read'] });
    await expect(ask({ ResourceProperties: { ...ResourceProperties, ...change } })).rejects.toThrow(sentence);
    expect((await call(getApi, { id: 'refused' })).status).toBe(404);
  });
});
