import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openSocket } from '../lib/open-socket.ts';
import { managementOf } from './client.ts';
import { rawRequest } from './raw-request.ts';
import { forget, type RunningStack, startRunningStack } from './running-stack.ts';
import { synthesizeExample } from './synthesize-example.ts';
import { eventually } from './until.ts';

/** Of examples/things-by-hand: who its stages name. */
const OWNER = 'team-things';
const APIS = ['thingsRest', 'thingsKept', 'thingsHttp', 'thingsSocket'] as const;
type Name = (typeof APIS)[number];

/** On a stack of its own, beside APIs that have nothing of Rekey's constructs. */
let stack: RunningStack;
let example: string;
let manager: string;
beforeAll(async () => {
  example = synthesizeExample('things-by-hand');
  stack = await startRunningStack({ args: ['--with', example] });
  manager = (await newKey(['apis:manage', 'apis:read'])).key;
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
  if (example) forget(example);
});

const manage = (method: string, path: string, body?: unknown, key = stack.admin_key) =>
  managementOf(stack.apis.management)(method, path, { key, body });
const newKey = async (scopes: string[], owner_id = OWNER) => {
  const { status, body } = await manage('POST', '/api-keys', { name: 'n', owner_id, scopes });
  if (status !== 201) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return { key: body.key as string, id: body.api_key.id as string };
};
const register = (name: Name, declared: object, key = manager) =>
  manage('PUT', `/apis/${stack.api_ids[name]}?force=true`, declared, key);
const isSocket = (name: Name) => name === 'thingsSocket';
const KEPT = { stages: [{ name: 'v1', cache_header: 'x-api-key', kind: 'rest' }] };
/** What each API needs for what `call` asks of it. */
const declaration = (name: Name, needed: unknown) => ({
  routes: isSocket(name) ? { $connect: needed } : { 'GET /things': needed },
  scopes: { 'things:read': 'See things', 'things:write': 'Change things' },
  ...(name === 'thingsKept' && KEPT),
});

/** Opens a connection, or asks for the things: the status, 101 as 200. */
const call = async (name: Name, key?: string): Promise<number> => {
  const url = (stack.apis as Record<string, string>)[name]!;
  const headers = key === undefined ? [] : ['x-api-key', key];
  if (!isSocket(name)) return (await rawRequest(url, '/things', headers)).status;
  const opened = await openSocket(url, key === undefined ? {} : { 'x-api-key': key });
  if (typeof opened === 'number') return opened;
  opened.close();
  return 200;
};

describe.each(APIS)('%s, attached and registered by hand', (name) => {
  let reader: { key: string; id: string };

  it('is shut before it is registered, with the right key too', async () => {
    const { key } = await newKey(['*:*']);
    expect(await call(name, key)).toBe(403);
    expect(await call(name)).toBe(401);
  });

  it('is opened by nobody whom its stage does not name, not even by the first who registers it', async () => {
    const attacker = (await newKey(['apis:manage', 'apis:read'], 'attacker')).key;
    const { key } = await newKey(['orders:read'], 'attacker');
    expect((await register(name, declaration(name, [[]]), attacker)).status).toBe(200);
    expect(await call(name, key)).toBe(403);
    expect(await call(name)).toBe(401);
    // The team is told who is in its place, and an administrator clears it away.
    expect(await register(name, declaration(name, ['things:read']))).toMatchObject({
      status: 403,
      body: { type: 'urn:rekey:problem:owner_forbidden' },
    });
    expect((await manage('DELETE', `/apis/${stack.api_ids[name]}?force=true`)).status).toBe(204);
  });

  it('is open for who has the scope, from the next request on', async () => {
    const { status, body } = await register(name, declaration(name, ['things:read']));
    expect([status, body.api.owner_id, body.api.source]).toEqual([200, OWNER, 'request']);
    reader = await newKey(['things:read']);
    const stranger = await newKey(['orders:read']);
    expect(await call(name, reader.key)).toBe(200);
    expect(await call(name, stranger.key)).toBe(403);
    expect(await call(name)).toBe(401);
    expect(await call(name, `${reader.key.slice(0, -1)}x`)).toBe(401);
  });

  if (!isSocket(name))
    it('has a route in the gateway that is not registered, and opens to nobody', async () => {
      const { key } = await newKey(['*:*']);
      const url = (stack.apis as Record<string, string>)[name]!;
      const ask = async (path: string, method: string, headers: string[]) =>
        (await rawRequest(url, path, headers, method)).status;
      // Before and after the gateway has kept what the key may do.
      for (const _ of ['asked', 'kept']) {
        for (const path of ['/things/1', '/things/1%2f2', '/things/GET%20%2Fthings'])
          expect([path, await ask(path, 'POST', ['x-api-key', key])]).toEqual([path, 403]);
        expect(await ask('/things', 'GET', ['x-api-key', key])).toBe(200);
      }
      expect(await ask('/things/1', 'POST', [])).toBe(401);
      // Of no route at all the gateway knows nothing; a REST API without our gateway responses calls that 403.
      for (const [path, method] of [
        ['/things', 'OPTIONS'],
        ['/things', 'DELETE'],
        ['/other', 'GET'],
      ] as const)
        expect([403, 404]).toContain(await ask(path, method, ['x-api-key', key]));
    });

  it('is not changed, shown or deleted by another owner', async () => {
    const attacker = (await newKey(['apis:manage', 'apis:read'], 'attacker')).key;
    const path = `/apis/${stack.api_ids[name]}`;
    const asked = await Promise.all([
      register(name, declaration(name, [[]]), attacker),
      manage('PUT', path, { ...declaration(name, [[]]), if_version: 1 }, attacker),
      manage('PUT', path, { ...declaration(name, [[]]), if_version: 0 }, attacker),
      manage('GET', path, undefined, attacker),
      manage('DELETE', `${path}?force=true`, undefined, attacker),
    ]);
    expect(asked.map(({ status }) => status)).toEqual([403, 403, 403, 404, 404]);
    const listed = (await manage('GET', '/apis?limit=100', undefined, attacker)).body.data;
    expect(JSON.stringify(listed)).not.toContain(stack.api_ids[name]);
    expect((await manage('GET', path, undefined, manager)).body.api.version).toBe(1);
    const { key } = await newKey(['orders:read'], 'attacker');
    expect(await call(name, key)).toBe(403);
    expect(await call(name, reader.key)).toBe(200);
  });

  it('refuses a revoked key at the next request', async () => {
    const { key, id } = await newKey(['things:read']);
    expect(await call(name, key)).toBe(200);
    const { body } = await manage('POST', `/api-keys/${id}/revoke`, {});
    const told = body.caches.filter(({ api_id }: { api_id: string }) => api_id === stack.api_ids[name]);
    expect(told).toEqual(
      name === 'thingsKept' ? [{ api_id: stack.api_ids[name], stage: 'v1', cache: 'flushed' }] : [],
    );
    expect(await call(name, key)).toBe(401);
  });

  it('goes by what is registered now, and is shut when that is deleted', async () => {
    const { key } = await newKey(['things:read']);
    const another = await newKey(['things:*']);
    expect(await call(name, key)).toBe(200);
    await register(name, declaration(name, ['things:read', 'things:write']));
    await eventually(async () => (await call(name, key)) === 403, name === 'thingsKept' ? 30 : 0);
    expect(await call(name, another.key)).toBe(200);
    expect(
      (await manage('DELETE', `/apis/${stack.api_ids[name]}?force=true`, undefined, manager)).status,
    ).toBe(204);
    expect(await call(name, (await newKey(['*:*'])).key)).toBe(403);
    // What a gateway keeps is flushed by the queue.
    await eventually(async () => (await call(name, another.key)) === 403, name === 'thingsKept' ? 30 : 0);
  });
});

describe('a stage that keeps answers', () => {
  it('is shut while it is not registered as what it is, since nobody would flush it', async () => {
    const declared = declaration('thingsKept', ['things:read']);
    const role = 'arn:aws:iam::111111111111:role/rekey-flush-things';
    const [stage] = KEPT.stages;
    await register('thingsKept', declared);
    const { key } = await newKey(['things:read']);
    for (const stages of [
      [],
      [{ ...stage, cache_header: null }],
      [{ ...stage, name: 'v2' }],
      // By a call that finds no such API, and would be taken for done.
      [{ ...stage, kind: 'http' }],
      [{ ...stage, flush_role_arn: role }],
    ]) {
      expect((await register('thingsKept', { ...declared, stages })).status).toBe(200);
      expect([stages, await call('thingsKept', key)]).toEqual([stages, 500]);
    }
    expect((await register('thingsKept', declared)).status).toBe(200);
    expect(await call('thingsKept', key)).toBe(200);
  });
});

describe('the API of a stack', () => {
  it('is registered over or deleted by nobody’s request', async () => {
    const attacker = (await newKey(['apis:manage', 'apis:read'], 'attacker')).key;
    const path = `/apis/${stack.api_ids['orders']}`;
    const open = { routes: { 'GET /orders': [[]], 'POST /orders': [] } };
    for (const key of [attacker, stack.admin_key]) {
      expect((await manage('PUT', path, open, key)).status).toBe(409);
      expect([403, 404, 409]).toContain(
        (await manage('DELETE', `${path}?force=true`, undefined, key)).status,
      );
    }
    const { key } = await newKey(['orders:read'], 'attacker');
    const ask = async (method: string) =>
      (await rawRequest(stack.apis.orders, '/orders', ['x-api-key', key], method)).status;
    expect([await ask('GET'), await ask('POST')]).toEqual([200, 403]);
    expect((await rawRequest(stack.apis.orders, '/orders', [])).status).toBe(401);
  });
});
