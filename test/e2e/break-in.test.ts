import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import { routesHash } from '../../lib/routes.ts';
import { type Answer, admin, management, newKey, newOwner, orders } from './client.ts';
import { everyItem, sharedStack } from './running-stack.ts';

type Key = { key: string; id: string };

const owner_id = newOwner('attacker');
const scoped = (...scopes: string[]) => newKey({ owner_id, scopes });
const read = async (id: string) => (await management('GET', `/api-keys/${id}`, { key: admin })).body.api_key;
const patch = (by: Key, id: string, body: object) =>
  management('PATCH', `/api-keys/${id}`, { key: by.key, body });
const rotate = (by: Key, id: string, body: object = {}, headers = {}) =>
  management('POST', `/api-keys/${id}/rotate`, { key: by.key, body, headers });
const revoke = (id: string) => management('POST', `/api-keys/${id}/revoke`, { key: admin, body: {} });
const verify = async (by: Key, key: string, more = {}) =>
  (await management('POST', '/api-keys/verify', { key: by.key, body: { key, ...more } })).body;
const opens = async (key: string) => (await orders('GET', '/orders', { key })).status;
const typeOf = ({ body }: Answer) => body.type.replace('urn:rekey:problem:', '');
const withoutId = ({ status, body: { request_id: _, ...body } }: Answer) => ({ status, body });

/** A well-formed key, checksum and all, that this stack never gave to anybody. */
const forge = (id = newKeyId(Date.now()), environment: 'live' | 'test' = 'live') =>
  mintKey({ prefix: 'rk', environment, id }).key.reveal();

describe('a key that wants more than it has', () => {
  let caller: Key;
  beforeAll(async () => {
    caller = await scoped('api-keys:*', 'orders:read', '*:list');
  });

  it.each([
    [['*:*']],
    [['orders:*']],
    [['*:read']],
    [['orders:write']],
    [['api-keys:create', '*:create']],
    [['orders:list', 'orders:read', 'orders:refund']],
  ])('gives neither itself nor another key %j', async (scopes) => {
    const other = await scoped('orders:read');
    const asked = await Promise.all([
      patch(caller, caller.id, { scopes }),
      patch(caller, other.id, { scopes }),
      management('POST', '/api-keys', { key: caller.key, body: { name: 'n', owner_id, scopes } }),
    ]);
    expect(asked.map(typeOf)).toEqual(['scope_escalation', 'scope_escalation', 'scope_escalation']);
    expect((await read(other.id)).scopes).toEqual(['orders:read']);
    expect((await read(caller.id)).scopes).toEqual(['*:list', 'api-keys:*', 'orders:read']);
  });

  it('neither prolongs nor rotates a stronger key, but may shorten it', async () => {
    const strong = await newKey({ owner_id, scopes: ['orders:*'], expires_in_days: 30 });
    const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
    expect(typeOf(await patch(caller, strong.id, { expires_at: inDays(60) }))).toBe('scope_escalation');
    expect(typeOf(await rotate(caller, strong.id))).toBe('scope_escalation');
    expect((await patch(caller, strong.id, { expires_at: inDays(10) })).status).toBe(200);
    // Back to where it was is longer again.
    expect(typeOf(await patch(caller, strong.id, { expires_at: inDays(30) }))).toBe('scope_escalation');
    expect((await read(strong.id)).status).toBe('active');
  });

  it('does not outlive the maximum by prolonging itself again and again', async () => {
    const { created_at } = await read(caller.id);
    const latest = Date.parse(created_at) + 365 * 86_400_000;
    const at = (ms: number) => patch(caller, caller.id, { expires_at: new Date(ms).toISOString() });
    expect((await at(latest)).status).toBe(200);
    expect((await at(latest + 1)).status).toBe(400);
    expect((await patch(caller, caller.id, { expires_at: null })).status).toBe(400);
  });

  it('changes, rotates and makes no key that acts for all owners, not even one of its own owner', async () => {
    const any = await newKey({ owner_id, owner_access: 'any' });
    const made = { name: 'n', owner_id, scopes: ['orders:read'], owner_access: 'any' };
    const refused = [
      await patch(caller, any.id, { name: 'mine' }),
      await rotate(caller, any.id),
      await management('POST', '/api-keys', { key: caller.key, body: made }),
    ];
    expect(refused.map(typeOf)).toEqual(['owner_forbidden', 'owner_forbidden', 'owner_forbidden']);
    expect((await patch(caller, caller.id, { owner_access: 'any' })).status).toBe(400);
    expect((await patch(caller, caller.id, { owner_id: 'admin' })).status).toBe(400);
  });

  it.each([
    owner_id.toUpperCase(),
    `${owner_id} `,
    `${owner_id}\u0000`,
    `${owner_id}\u200b`,
    owner_id.replace('a', '\u0430'),
    owner_id.replace('a', '\uff41'),
    `${owner_id}/../admin`,
    '*',
    'any',
    '',
    [owner_id],
  ])('is not taken for another owner by the name %j', async (name) => {
    const body = { name: 'n', owner_id: name, scopes: ['orders:read'] };
    expect([400, 403]).toContain((await management('POST', '/api-keys', { key: caller.key, body })).status);
    if (typeof name !== 'string' || name === '') return;
    const list = await management('GET', `/api-keys?owner_id=${encodeURIComponent(name)}`, {
      key: caller.key,
    });
    expect([400, 403]).toContain(list.status);
  });

  it.each([`owner_id=${owner_id}&owner_id=admin`, `owner_id=${owner_id};owner_id=admin`, 'owner_id[]=admin'])(
    'lists nobody else’s keys by ?%s',
    async (query) => {
      expect((await management('GET', `/api-keys?${query}`, { key: caller.key })).status).toBe(400);
    },
  );
});

describe('a test key', () => {
  it('makes test keys by default, and does nothing to live ones', async () => {
    const test = await newKey({ owner_id, scopes: ['*:*'], environment: 'test' });
    const live = await scoped('orders:read');
    const body = { name: 'n', owner_id, scopes: ['orders:read'] };
    const refused = [
      await management('POST', '/api-keys', { key: test.key, body: { ...body, environment: 'live' } }),
      await patch(test, live.id, { name: 'x' }),
      await rotate(test, live.id),
      await management('POST', `/api-keys/${live.id}/revoke`, { key: test.key, body: {} }),
    ];
    expect(refused.map(typeOf)).toEqual(Array(4).fill('environment_forbidden'));
    const made = await management('POST', '/api-keys', { key: test.key, body });
    expect(made.body.api_key.environment).toBe('test');
    expect(await read(live.id)).toMatchObject({ status: 'active', name: 'a test key' });
  });
});

describe('a method that is overridden by a header', () => {
  it('is judged by what is called, whatever was on the request line', async () => {
    const reader = await scoped('api-keys:read');
    const as = (method: string, to: string, path: string) =>
      management(method, path, { key: reader.key, headers: { 'x-http-method-override': to } });
    expect((await as('GET', 'PATCH', `/api-keys/${reader.id}`)).status).toBe(403);
    expect((await as('GET', 'POST', '/api-keys')).status).toBe(403);
    const posted = await orders('POST', '/orders', {
      key: (await newKey()).key,
      body: { item: 'book' },
      headers: { 'x-http-method-override': 'GET' },
    });
    expect(posted).toMatchObject({ status: 200, body: { data: expect.anything() } });
    const refused = await orders('GET', '/orders', {
      key: (await newKey()).key,
      headers: { 'x-http-method-override': 'POST' },
    });
    expect(refused.status).toBe(403);
    expect((await read(reader.id)).name).toBe('a test key');
  });
});

describe('a path made to look like another', () => {
  const long = 'a'.repeat(600);
  it.each(['*', '%2A', '$%7B*%7D', '%00', '%0A', long, '*'.repeat(300), '__proto__', 'verify%2F..'])(
    'opens nothing: /api-keys/%s',
    async (part) => {
      const [without, reader] = [await scoped('orders:read'), await scoped('api-keys:read')];
      expect((await management('GET', `/api-keys/${part}`, { key: without.key })).status).toBe(403);
      expect((await management('GET', `/api-keys/${part}`, { key: reader.key })).status).toBe(404);
    },
  );

  it('is sent as it stands, dots, slashes and semicolons included', async () => {
    const victim = await newKey({ owner_id: newOwner('victim') });
    const caller = await scoped('*:*');
    const base = new URL(sharedStack().apis.management);
    const status = (path: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const call = request(
          {
            host: base.hostname,
            port: base.port,
            path: base.pathname + path,
            headers: { 'x-api-key': caller.key },
          },
          (response) => {
            response.resume();
            response.on('end', () => resolve(response.statusCode));
          },
        );
        call.on('error', reject).end();
      });
    for (const path of [
      `//api-keys/${victim.id}`,
      `/api-keys/${victim.id}/`,
      `/api-keys/../api-keys/${victim.id}`,
      `/api-keys/${caller.id}/../${victim.id}`,
      `/api-keys/${caller.id}%2F..%2F${victim.id}`,
      `/api-keys/${victim.id};owner_id=${owner_id}`,
      `/api-keys/${victim.id}%00`,
      `/api-keys/${victim.id}%20`,
    ])
      expect({ path, status: await status(path) }).toEqual({ path, status: 404 });
  });
});

describe('cursors', () => {
  it('serve no other operation, no other key of the line, and no other spelling', async () => {
    const reader = await scoped('api-keys:read', 'api-keys:rotate');
    const page = (key: string, more = '') => management('GET', `/api-keys?limit=2${more}`, { key });
    const cursor = (await page(reader.key)).body.next_cursor;
    expect(cursor).not.toBeNull();
    const lineage = `/api-keys/${reader.id}/lineage?limit=2&cursor=${cursor}`;
    const successor = (await rotate(reader, reader.id)).body;
    const answers = [
      await management('GET', lineage, { key: reader.key }),
      await page(successor.key, `&cursor=${cursor}`),
      await page(admin, `&owner_id=${owner_id}&cursor=${cursor}`),
      await page(reader.key, `&cursor=${cursor}=`),
      await page(reader.key, `&cursor=${cursor}%0A`),
      await management('GET', `/api-keys?limit=3&cursor=${cursor}`, { key: reader.key }),
    ];
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(400));
    expect((await page(reader.key, `&cursor=${cursor}`)).status).toBe(200);
  });
});

describe('a repeated Idempotency-Key', () => {
  const create = (by: Key, name: string, more: object = {}) =>
    management('POST', '/api-keys', {
      key: by.key,
      headers: { 'idempotency-key': name },
      body: { name: 'n', owner_id, scopes: ['orders:read'], ...more },
    });
  let caller: Key;
  beforeAll(async () => {
    caller = await scoped('api-keys:*', 'orders:read');
  });

  it('does not hand out a key that somebody made stronger meanwhile', async () => {
    const name = newOwner();
    const made = (await create(caller, name)).body;
    await patch({ key: admin, id: '' }, made.api_key.id, { scopes: ['orders:*', 'invoices:*'] });
    const again = await create(caller, name);
    expect(typeOf(again)).toBe('scope_escalation');
    expect(await opens(made.key)).toBe(200);
  });

  it('does not hand out a successor that somebody made stronger meanwhile', async () => {
    const [old, name] = [await scoped('orders:read'), newOwner()];
    const made = (await rotate(caller, old.id, {}, { 'idempotency-key': name })).body;
    await patch({ key: admin, id: '' }, made.api_key.id, { scopes: ['*:*'] });
    expect(typeOf(await rotate(caller, old.id, {}, { 'idempotency-key': name }))).toBe('scope_escalation');
    expect(await opens(made.key)).toBe(200);
  });

  it('brings no revoked key back', async () => {
    const name = newOwner();
    const made = (await create(caller, name)).body;
    await revoke(made.api_key.id);
    expect(typeOf(await create(caller, name))).toBe('key_revoked');
    expect(await opens(made.key)).toBe(401);
    expect((await read(made.api_key.id)).status).toBe('revoked');
  });

  it('serves nobody once its caller is revoked', async () => {
    const [gone, name] = [await scoped('api-keys:create', 'orders:read'), newOwner()];
    const made = (await create(gone, name)).body;
    await revoke(gone.id);
    expect((await create(gone, name)).status).toBe(401);
    expect(await opens(made.key)).toBe(200);
  });

  it('means something else for another operation, another key and another caller', async () => {
    const name = newOwner();
    const [one, two, other] = [
      await scoped('orders:read'),
      await scoped('orders:read'),
      await scoped('api-keys:*', 'orders:read'),
    ];
    const created = (await create(caller, name)).body.api_key.id;
    const rotated = await rotate(caller, one.id, {}, { 'idempotency-key': name });
    expect(rotated.body.api_key).toMatchObject({ parent_key_id: one.id });
    expect(typeOf(await rotate(caller, two.id, {}, { 'idempotency-key': name }))).toBe(
      'idempotency_key_reused',
    );
    // Another caller finds nothing of it: neither the key, nor that there is one.
    expect(typeOf(await rotate(other, one.id, {}, { 'idempotency-key': name }))).toBe('pending_successor');
    expect((await create(other, name)).body.api_key.id).not.toBe(created);
  });

  it('gives the same successor also when the old key has ended, and does not wake that', async () => {
    const [old, name] = [await scoped('orders:read'), newOwner()];
    const now = () => rotate(caller, old.id, { grace_period_hours: 0 }, { 'idempotency-key': name });
    const first = (await now()).body;
    const again = (await now()).body;
    expect(again.api_key.id).toBe(first.api_key.id);
    expect(again.previous).toMatchObject({ id: old.id, status: 'expired' });
    expect([await opens(old.key), await opens(first.key), await opens(again.key)]).toEqual([401, 401, 200]);
  });

  it('against the first use: either the use counts or the new secret does, never both', async () => {
    const rounds = Array.from({ length: 12 }, async () => {
      const name = newOwner();
      const made = (await create(caller, name)).body;
      const [used, again] = await Promise.all([opens(made.key), create(caller, name)]);
      if (again.status === 201) {
        expect(used).toBe(401);
        expect([await opens(made.key), await opens(again.body.key)]).toEqual([401, 200]);
      } else {
        expect([409, 503]).toContain(again.status);
        expect(await opens(made.key)).toBe(200);
      }
    });
    await Promise.all(rounds);
  });
});

describe('a key that has ended', () => {
  it('stays ended, whatever is tried', async () => {
    const end = new Date(Date.now() + 1_500).toISOString();
    const caller = await scoped('*:*');
    const old = await newKey({ owner_id, scopes: ['orders:read', 'api-keys:*'], expires_at: end });
    const rotated = await rotate(caller, old.id, { grace_period_hours: 720, expires_in_days: 1 });
    expect(rotated.body.previous.expires_at).toBe(end);
    expect(await opens(old.key)).toBe(200);
    await sleep(1_600);
    const later = new Date(Date.now() + 86_400_000).toISOString();
    expect(await opens(old.key)).toBe(401);
    expect((await rotate(old, old.id)).status).toBe(401);
    expect((await patch(old, old.id, { expires_at: later })).status).toBe(401);
    expect([
      typeOf(await patch(caller, old.id, { expires_at: later })),
      typeOf(await patch(caller, old.id, { expires_at: null })),
      typeOf(await rotate(caller, old.id)),
    ]).toEqual(['key_expired', 'key_expired', 'already_rotated']);
    expect(await verify(caller, old.key)).toMatchObject({ valid: false, code: 'expired' });
    expect(await opens(old.key)).toBe(401);
    expect(await opens(rotated.body.key)).toBe(200);
  });
});

describe('a forged key', () => {
  it('is 401 in the same words, whether its id exists or not', async () => {
    const { id } = await newKey();
    const presented = [forge(), forge(id), forge(id, 'test'), 'rk_live_', `rk_live_${'0'.repeat(71)}`];
    const answers = await Promise.all(presented.map((key) => orders('GET', '/orders', { key })));
    for (const answer of answers) expect(withoutId(answer)).toEqual(withoutId(answers[0]!));
    expect(answers[0]!.status).toBe(401);
    expect((await read(id)).first_used_at).toBeNull();
  });

  it('cannot be told from a foreign one or a revoked one by verifying', async () => {
    const caller = await scoped('api-keys:verify');
    const mine = await scoped('orders:read');
    const foreign = await newKey({ owner_id: newOwner('victim') });
    await revoke(mine.id);
    const not_found = { valid: false, code: 'not_found', missing_scopes: [] };
    for (const key of [forge(), forge(mine.id), forge(mine.id, 'test'), foreign.key, forge(foreign.id)])
      expect(await verify(caller, key, { required_scopes: ['orders:write'] })).toEqual(not_found);
    // Who holds the very key may know what became of it.
    expect(await verify(caller, mine.key)).toMatchObject({ code: 'revoked', api_key: { id: mine.id } });
    expect((await read(foreign.id)).first_used_at).toBeNull();
  });
});

describe('a table of routes from a stranger', () => {
  it('opens nothing, though it is well formed and names the API', async () => {
    const stack = sharedStack() as ReturnType<typeof sharedStack> & { functions: Record<string, string> };
    const register = Object.entries(stack.functions).find(([id]) =>
      id.startsWith('Rekey/RegisterRoutes'),
    )?.[1];
    const keys = (await everyItem(stack)) as {
      pk: { S: string };
      sk: { S: string };
      owner_id?: { S: string };
    }[];
    const tables = keys.filter(({ pk, sk }) => pk.S.startsWith('routes_') && sk.S !== 'current');
    const apis = [...new Set(tables.map(({ pk }) => pk.S))];
    expect(apis).toHaveLength(Object.keys(stack.apis).length);

    const told: { Status: string }[] = [];
    const cloudFormation = createServer((call, response) => {
      let body = '';
      call.on('data', (part) => {
        body += part;
      });
      call.on('end', () => {
        told.push(JSON.parse(body));
        response.end();
      });
    });
    await new Promise<void>((listening) => cloudFormation.listen(0, '127.0.0.1', listening));
    const ResponseURL = `http://127.0.0.1:${(cloudFormation.address() as AddressInfo).port}/`;
    const open = { 'GET /orders': [], 'POST /orders': [], 'GET /api-keys': [] };
    const owners = new Map(
      keys
        .filter(({ pk }) => pk.S === 'catalog')
        .map(({ sk, owner_id }) => [sk.S.split('/')[0], owner_id!.S]),
    );
    /** Of a stack of the same name, which whoever calls the function can say. */
    const forgedStack = (api: string) =>
      `arn:aws:cloudformation:us-east-1:${owners
        .get(api.slice('routes_'.length))!
        .replace('stack:', '')
        .replace('/', ':stack/')}/forged`;
    const strangers = 'arn:aws:cloudformation:us-east-1:000000000000:stack/Stranger/s';
    const send = (api: string, Hash: string, StackId: string, more: object = {}) =>
      fetch(`${stack.control}/2015-03-31/functions/${register}/invocations`, {
        method: 'POST',
        body: JSON.stringify({
          RequestType: 'Create',
          ResponseURL,
          StackId,
          RequestId: 'r',
          LogicalResourceId: 'l',
          ResourceProperties: { RestApiId: api.slice('routes_'.length), Hash, Routes: JSON.stringify(open) },
          ...more,
        }),
      });
    for (const api of apis) {
      // Under the name of the table in force it is refused; under its own name nobody asks for it.
      const inForce = (await everyItem(stack)) as { pk: { S: string }; sk: { S: string } }[];
      await send(
        api,
        inForce.find(({ pk, sk }) => pk.S === api && sk.S !== 'current')!.sk.S,
        forgedStack(api),
      );
      await send(api, routesHash(open), strangers);
      await send(api, routesHash(open), forgedStack(api));
    }
    expect(told.map(({ Status }) => Status)).toEqual(apis.flatMap(() => ['FAILED', 'FAILED', 'SUCCESS']));

    const { key } = await newKey({ scopes: ['nothing:here'] });
    expect((await orders('GET', '/orders', { key })).status).toBe(403);
    expect((await orders('POST', '/orders', { key, body: { item: 'book' } })).status).toBe(403);
    expect((await management('GET', '/api-keys', { key })).status).toBe(403);
    expect((await orders('GET', '/orders')).status).toBe(401);

    for (const api of apis)
      await send(api, '', strangers, {
        RequestType: 'Delete',
        PhysicalResourceId: `${api}/${routesHash(open)}`,
      });
    cloudFormation.close();
  });
});

describe('hostile JSON', () => {
  const post = (body: string) =>
    management('POST', '/api-keys', { key: admin, body, headers: { 'content-type': 'application/json' } });

  it.each([
    ['lists in lists', '['.repeat(8000) + ']'.repeat(8000)],
    ['objects in objects', `${'{"a":'.repeat(2700)}1${'}'.repeat(2700)}`],
    ['metadata in lists', `{"metadata":${'['.repeat(1000)}${']'.repeat(1000)}}`],
    ['a thousand unsafe names', `[${Array(1000).fill('{"prototype":1}').join(',')}]`],
    ['many unknown fields', `{${Array.from({ length: 1500 }, (_, i) => `"u${i}":1`).join(',')}}`],
  ])('is 400 with a short answer: %s', async (_, body) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(answer.text.length).toBeLessThan(10_000);
  });

  it.each([
    '1e308',
    '-0',
    '0',
    '1e400',
    '9007199254740993',
    '-1',
    '1.5',
    '"30"',
    'null',
    'true',
    '[30]',
    '366',
  ])('is 400: expires_in_days %s', async (days) => {
    const answer = await post(`{"name":"n","owner_id":"o","scopes":["a:b"],"expires_in_days":${days}}`);
    expect(answer.body.errors[0].pointer).toBe('/expires_in_days');
  });

  it.each([
    '9999-12-31T23:59:59Z',
    '+010000-01-01T00:00:00Z',
    '2026-12-31T23:59:60Z',
    '2027-02-29T00:00:00Z',
    '2027-01-31T24:00:00Z',
    '2027-01-31T12:00:00+00:00',
    ' 2027-01-31T12:00:00Z',
    '2027-01-31T12:00:00Z\n',
    '0000-00-00T00:00:00Z',
    0,
  ])('is 400: expires_at %j', async (expires_at) => {
    const answer = await post(JSON.stringify({ name: 'n', owner_id: 'o', scopes: ['a:b'], expires_at }));
    expect(answer.body.errors[0].pointer).toBe('/expires_at');
  });

  it('keeps metadata with the names of methods as what it is: text', async () => {
    const metadata = {
      toString: 'a',
      valueOf: 'b',
      toJSON: 'c',
      hasOwnProperty: 'e',
      '#x': 'f',
      NULL: 'g',
    };
    const { id } = await newKey({ metadata });
    expect((await read(id)).metadata).toEqual(metadata);
  });
});

describe('a key with as many and as long scopes as there can be', () => {
  it('opens what it holds, and nothing else', async () => {
    const part = (i: number) => `${'r'.repeat(60)}${String(i).padStart(3, '0')}`;
    const scopes = Array.from({ length: 99 }, (_, i) => `${part(i)}:${part(i)}`);
    await management('PUT', '/apis/manyscopes', {
      key: admin,
      body: { routes: {}, scopes: Object.fromEntries(scopes.map((scope) => [scope, 'Long'])) },
    });
    const { key } = await newKey({ scopes: [...scopes, 'orders:read'] });
    expect(await opens(key)).toBe(200);
    expect((await orders('POST', '/orders', { key, body: { item: 'book' } })).body.missing_scopes).toEqual([
      'orders:write',
    ]);
  });
});
