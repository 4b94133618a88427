import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { digestOf } from '../../lib/key-format.ts';
import { getKey as stored } from '../../lib/key-table.ts';
import { createKey } from '../../lib/operations/create-key.ts';
import type { Operation } from '../../lib/operations/definition.ts';
import { getKey } from '../../lib/operations/get-key.ts';
import { operations } from '../../lib/operations/index.ts';
import { listKeys } from '../../lib/operations/list-keys.ts';
import { listLineage } from '../../lib/operations/list-lineage.ts';
import { revokeKey } from '../../lib/operations/revoke-key.ts';
import { rotateKey } from '../../lib/operations/rotate-key.ts';
import { updateKey } from '../../lib/operations/update-key.ts';
import { verifyKey } from '../../lib/operations/verify-key.ts';
import { ADMIN, type ApiRequest, call } from '../lib/api-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { setEnvironment } from './environment.ts';
import { everything } from './keys.ts';
import { knowScopes } from './known-scopes.ts';

const DAY = 86_400_000;
/** What the keys of these tests may do. */
const SCOPES = ['orders:read', 'orders:write', 'orders:refund', 'users:read', 'a:b', 'api-keys:create'];
let engine: Engine;
let owners = 0;
/** An owner that no other test uses. */
const newOwner = () => `owner-${owners++}`;
const logged: string[] = [];

let restore: () => void;
beforeAll(async () => {
  engine = await startEngine();
  await knowScopes(engine.table, ...SCOPES);
  restore = setEnvironment(
    { endpoint: engine.endpoint, tableName: engine.table.tableName },
    { REKEY_SWEEP_INTERVAL_MINUTES: '5' },
  );
});
afterAll(async () => {
  restore();
  await engine.close();
});
beforeEach(() => {
  for (const level of ['info', 'error'] as const)
    jest.spyOn(console, level).mockImplementation((line) => void logged.push(String(line)));
});
afterEach(() => void jest.restoreAllMocks());

/** What the authorizer would say of a key. */
const callerOf = (api_key: Pick<ApiKeyRecord, 'id' | 'owner_id'>, more: Partial<typeof ADMIN> = {}) => ({
  ...ADMIN,
  key_id: api_key.id,
  owner_id: api_key.owner_id,
  owner_access: 'own',
  ...more,
});
const someone = (owner_id: string, scopes = '*:*', more: Partial<typeof ADMIN> = {}) =>
  callerOf({ id: `key_${'7'.repeat(22)}`, owner_id }, { scopes, ...more });

const create = async (more: object = {}, request: ApiRequest = {}) => {
  const json = { name: 'n', owner_id: 'team', scopes: ['orders:read'], ...more };
  const answer = await call(createKey, { json, ...request });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.body as { key: string; api_key: ApiKeyRecord };
};
const rotate = (id: string, json: object = {}, request: ApiRequest = {}) =>
  call(rotateKey, { id, json, ...request });
const verify = (key: string, required_scopes: string[] = [], request: ApiRequest = {}) =>
  call(verifyKey, { json: { key, required_scopes }, ...request });
const type = (code: string) => ({ type: `urn:rekey:problem:${code}` });

describe('create-key', () => {
  it('shows the key once, and stores no more of it than its digest', async () => {
    const { key, api_key } = await create({ scopes: ['orders:write', 'orders:read', 'orders:read'] });
    expect(api_key).toMatchObject({
      scopes: ['orders:read', 'orders:write'],
      owner_access: 'own',
      environment: 'live',
      created_by: ADMIN.key_id,
      metadata: {},
    });
    expect((await stored(api_key.id))?.digest).toBe(digestOf(key));
    expect(JSON.stringify(await everything(engine.table))).not.toContain(key.slice(30));
    expect((await call(getKey, { id: api_key.id })).body).toEqual({ api_key });
  });

  it('makes a key of the caller’s own environment unless it is told otherwise', async () => {
    const test = someone('team', '*:*', { environment: 'test' });
    expect((await create({}, { caller: test })).api_key.environment).toBe('test');
    expect((await create({ environment: 'test' })).key).toMatch(/^rk_test_/);
    const answer = await call(createKey, {
      json: { name: 'n', owner_id: 'team', scopes: ['a:b'], environment: 'live' },
      caller: test,
    });
    expect(answer).toMatchObject({ status: 403, body: type('environment_forbidden') });
  });

  it('makes no key of another owner, none that acts for all, and none with more scopes', async () => {
    const caller = someone('mine', 'api-keys:create orders:*');
    const refusal = async (more: object) => {
      const json = { name: 'n', owner_id: 'mine', scopes: ['orders:read'], ...more };
      const { status, body } = await call(createKey, { json, caller });
      return [status, body.type, body.excess_scopes];
    };
    const forbidden = [403, 'urn:rekey:problem:owner_forbidden', undefined];
    expect(await refusal({ owner_id: 'theirs' })).toEqual(forbidden);
    expect(await refusal({ owner_access: 'any' })).toEqual(forbidden);
    expect(await refusal({ scopes: ['orders:read', '*:*', 'a:b'] })).toEqual([
      403,
      'urn:rekey:problem:scope_escalation',
      ['*:*', 'a:b'],
    ]);
    expect((await refusal({}))[0]).toBe(201);
  });

  it.each([
    [{ expires_in_days: 366 }, '/expires_in_days'],
    [{ expires_at: null }, '/expires_at'],
    [{ expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
    [{ expires_at: new Date(Date.now() + DAY).toISOString(), expires_in_days: 1 }, '/expires_at'],
  ])('refuses the life %j', async (more, pointer) => {
    const json = { name: 'n', owner_id: 'team', scopes: ['a:b'], ...more };
    const answer = await call(createKey, { json });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer }] } });
  });

  it('takes an end in seconds and keeps it in milliseconds', async () => {
    const expires_at = `${new Date(Date.now() + DAY).toISOString().slice(0, 19)}Z`;
    const { api_key } = await create({ expires_at });
    expect(api_key.expires_at).toBe(expires_at.replace('Z', '.000Z'));
  });
});

describe('an Idempotency-Key', () => {
  it('makes one key, whose secret a retry replaces', async () => {
    const owner_id = newOwner();
    const lost = await create({ owner_id }, { headers: { 'Idempotency-Key': owner_id } });
    const again = await create({ owner_id }, { headers: { 'Idempotency-Key': owner_id } });
    expect(again.api_key.id).toBe(lost.api_key.id);
    expect((await verify(lost.key)).body.code).toBe('not_found');
    expect((await verify(again.key)).body.code).toBe('valid');
    const third = await call(createKey, {
      json: { name: 'n', owner_id, scopes: ['orders:read'] },
      headers: { 'Idempotency-Key': owner_id },
    });
    expect(third).toMatchObject({
      status: 409,
      body: { ...type('idempotency_key_used'), api_key_id: again.api_key.id },
    });
  });

  it('refuses another body, and is another one for another caller', async () => {
    const owner_id = newOwner();
    const sent = { headers: { 'Idempotency-Key': owner_id } };
    const { api_key } = await create({ owner_id }, sent);
    const other = await call(createKey, {
      json: { name: 'other', owner_id, scopes: ['orders:read'] },
      ...sent,
    });
    expect(other).toMatchObject({ status: 422, body: type('idempotency_key_reused') });
    const foreign = await create({ owner_id }, { ...sent, caller: someone(owner_id) });
    expect(foreign.api_key.id).not.toBe(api_key.id);
  });

  it('never hands out a key that has been made stronger than its maker since', async () => {
    const owner_id = newOwner();
    const caller = someone(owner_id, 'api-keys:create orders:read');
    const sent = { caller, headers: { 'Idempotency-Key': owner_id } };
    const { key, api_key } = await create({ owner_id }, sent);
    const raised = await call(updateKey, { id: api_key.id, json: { scopes: ['orders:*'] } });
    expect(raised.status).toBe(200);
    const again = await call(createKey, {
      json: { name: 'n', owner_id, scopes: ['orders:read'] },
      ...sent,
    });
    expect(again).toMatchObject({ status: 403, body: type('scope_escalation') });
    expect((await verify(key)).body.code).toBe('valid');
  });

  it('revives no key that was revoked since', async () => {
    const owner_id = newOwner();
    const sent = { headers: { 'Idempotency-Key': owner_id } };
    const { api_key } = await create({ owner_id }, sent);
    await call(revokeKey, { id: api_key.id, json: {} });
    const again = await call(createKey, {
      json: { name: 'n', owner_id, scopes: ['orders:read'] },
      ...sent,
    });
    expect(again).toMatchObject({ status: 409, body: type('key_revoked') });
  });

  it('makes a rotation safe to repeat, and belongs to the one key', async () => {
    const { api_key } = await create();
    const sent = { headers: { 'Idempotency-Key': newOwner() } };
    const lost = await rotate(api_key.id, {}, sent);
    const again = await rotate(api_key.id, {}, sent);
    expect([lost.status, again.status]).toEqual([201, 201]);
    expect(again.body.api_key.id).toBe(lost.body.api_key.id);
    expect(again.body.previous).toEqual(lost.body.previous);
    expect((await verify(lost.body.key)).body.code).toBe('not_found');
    expect((await verify(again.body.key)).body.code).toBe('valid');
    const other = await rotate((await create()).api_key.id, {}, sent);
    expect(other.status).toBe(422);
  });

  it('of ten requests at the same time makes one key', async () => {
    const owner_id = newOwner();
    const sent = { headers: { 'Idempotency-Key': owner_id } };
    const json = { name: 'n', owner_id, scopes: ['orders:read'] };
    const answers = await Promise.all(Array.from({ length: 10 }, () => call(createKey, { json, ...sent })));
    const made = answers.filter(({ status }) => status === 201);
    expect(answers.map(({ status }) => status)).not.toContain(500);
    expect(new Set(made.map(({ body }) => body.api_key.id)).size).toBe(1);
    const verdicts = await Promise.all(made.map(({ body }) => verify(body.key)));
    expect(verdicts.filter(({ body }) => body.valid)).toHaveLength(1);
  });
});

describe('a key of another owner', () => {
  it.each<[string, Operation, object | undefined]>([
    ['get-key', getKey, undefined],
    ['update-key', updateKey, { name: 'stolen' }],
    ['rotate-key', rotateKey, {}],
    ['revoke-key', revokeKey, {}],
    ['list-lineage', listLineage, undefined],
  ])('is the same 404 to %s as an id that never was', async (_name, operation, json) => {
    const { api_key } = await create();
    const caller = someone('stranger');
    const foreign = await call(operation, { id: api_key.id, json, caller });
    const never = await call(operation, { id: `key_${'0'.repeat(22)}`, json, caller });
    expect(foreign.status).toBe(404);
    expect(foreign).toEqual(never);
    expect((await call(getKey, { id: api_key.id })).body).toEqual({ api_key });
  });

  it('is not_found to verify-key, and its first use is not marked', async () => {
    const { key, api_key } = await create();
    const answer = await verify(key, [], { caller: someone('stranger') });
    expect(answer.body).toEqual({ valid: false, code: 'not_found', missing_scopes: [] });
    expect((await stored(api_key.id))?.first_used_at).toBeNull();
  });

  it('is in no list of a caller who does not act for it', async () => {
    const answer = await call(listKeys, { query: { owner_id: 'team' }, caller: someone('stranger') });
    expect(answer).toMatchObject({ status: 403, body: type('owner_forbidden') });
  });
});

describe('update-key', () => {
  it('changes what is sent and answers the key', async () => {
    const { api_key } = await create();
    const json = { name: 'new', metadata: { a: 'b' }, scopes: ['orders:write'] };
    const answer = await call(updateKey, { id: api_key.id, json });
    expect(answer).toMatchObject({ status: 200, body: { api_key: { ...api_key, ...json } } });
  });

  it('neither widens nor prolongs what the caller could not make', async () => {
    const owner_id = newOwner();
    const { api_key } = await create({ owner_id, scopes: ['orders:write'] });
    const caller = someone(owner_id, 'api-keys:update orders:read');
    for (const json of [
      { scopes: ['orders:*'] },
      { expires_at: new Date(Date.now() + 200 * DAY).toISOString() },
    ]) {
      const answer = await call(updateKey, { id: api_key.id, json, caller });
      expect(answer).toMatchObject({ status: 403, body: type('scope_escalation') });
    }
  });

  it('is 409 once the key is revoked or rotated', async () => {
    const revoked = (await create()).api_key;
    await call(revokeKey, { id: revoked.id });
    const rotated = (await create()).api_key;
    const successor_key_id = (await rotate(rotated.id)).body.api_key.id;
    const json = { expires_at: new Date(Date.now() + DAY).toISOString() };
    expect(await call(updateKey, { id: revoked.id, json })).toMatchObject({
      status: 409,
      body: type('key_revoked'),
    });
    expect(await call(updateKey, { id: rotated.id, json })).toMatchObject({
      status: 409,
      body: { ...type('key_rotated'), successor_key_id },
    });
  });
});

describe('rotate-key', () => {
  it('answers the successor, its text and the old key in its grace', async () => {
    const { key, api_key } = await create({ metadata: { a: 'b' } });
    const { status, body } = await rotate(api_key.id, { grace_period_hours: 1 });
    expect(status).toBe(201);
    expect(body.api_key).toMatchObject({
      parent_key_id: api_key.id,
      root_key_id: api_key.id,
      generation: 1,
      status: 'active',
      created_by: ADMIN.key_id,
      metadata: { a: 'b' },
      scopes: api_key.scopes,
    });
    expect(body.previous).toMatchObject({
      id: api_key.id,
      status: 'rotated',
      successor_key_id: body.api_key.id,
    });
    for (const text of [key, body.key]) expect((await verify(text)).body.code).toBe('valid');
  });

  it('needs no body', async () => {
    const { api_key } = await create();
    expect((await call(rotateKey, { id: api_key.id })).status).toBe(201);
  });

  it('gives a successor fewer scopes, never more', async () => {
    const { api_key } = await create({ scopes: ['orders:read', 'orders:write'] });
    const wider = await rotate(api_key.id, { scopes: ['orders:read', 'orders:*'] });
    expect(wider).toMatchObject({ status: 400, body: { errors: [{ pointer: '/scopes/1' }] } });
    const { body } = await rotate(api_key.id, { scopes: ['orders:read'] });
    expect(body.api_key.scopes).toEqual(['orders:read']);
  });

  it('hands out no scope that the caller lacks', async () => {
    const owner_id = newOwner();
    const { api_key } = await create({ owner_id, scopes: ['orders:read', 'orders:write'] });
    const caller = someone(owner_id, 'api-keys:rotate orders:read');
    const answer = await rotate(api_key.id, {}, { caller });
    expect(answer).toMatchObject({
      status: 403,
      body: { ...type('scope_escalation'), excess_scopes: ['orders:write'] },
    });
    expect((await rotate(api_key.id, { scopes: ['orders:read'] }, { caller })).status).toBe(201);
  });

  it('is 409 for a key that was rotated or revoked', async () => {
    const { api_key } = await create();
    const successor_key_id = (await rotate(api_key.id)).body.api_key.id;
    expect(await rotate(api_key.id)).toMatchObject({
      status: 409,
      body: { ...type('pending_successor'), successor_key_id },
    });
    await call(revokeKey, { id: successor_key_id });
    expect(await rotate(successor_key_id)).toMatchObject({ status: 409, body: type('key_revoked') });
  });

  it('of a key that acts for all owners, or a live one, is not for everybody', async () => {
    const owner_id = newOwner();
    const any = (await create({ owner_id, owner_access: 'any' })).api_key;
    expect(await rotate(any.id, {}, { caller: someone(owner_id) })).toMatchObject({
      status: 403,
      body: type('owner_forbidden'),
    });
    const live = (await create({ owner_id })).api_key;
    const test = someone(owner_id, '*:*', { environment: 'test' });
    expect(await rotate(live.id, {}, { caller: test })).toMatchObject({
      status: 403,
      body: type('environment_forbidden'),
    });
  });
});

describe('revoke-key', () => {
  it('ends the key; again changes nothing', async () => {
    const { key, api_key } = await create();
    const first = await call(revokeKey, { id: api_key.id, json: { reason: 'leaked' } });
    expect(first).toMatchObject({
      status: 200,
      body: { api_key: { status: 'revoked', revoked_reason: 'leaked' } },
    });
    expect((await verify(key)).body).toMatchObject({ valid: false, code: 'revoked' });
    const again = await call(revokeKey, { id: api_key.id, json: { reason: 'another' } });
    expect(again).toEqual(first);
  });

  it('of a live key is nothing for a test key', async () => {
    const { api_key } = await create();
    const caller = someone('team', '*:*', { environment: 'test' });
    expect((await call(revokeKey, { id: api_key.id, caller })).status).toBe(403);
  });
});

describe('lists', () => {
  it('go newest first through all keys of the caller’s owner, page by page', async () => {
    const owner_id = newOwner();
    const made: string[] = [];
    for (let i = 0; i < 7; i++) made.push((await create({ owner_id })).api_key.id);
    const caller = someone(owner_id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: Record<string, string> = { limit: '3', ...(cursor && { cursor }) };
      const { status, body } = await call(listKeys, { query, caller });
      expect(status).toBe(200);
      seen.push(...body.data.map((key: ApiKeyRecord) => key.id));
      cursor = body.next_cursor;
    } while (cursor);
    expect(seen).toEqual(made.sort().reverse());
  });

  it('are filtered by how long nobody has used a key', async () => {
    const owner_id = newOwner();
    const { key, api_key } = await create({ owner_id, expires_in_days: 300 });
    const unused = await create({ owner_id, expires_in_days: 300 });
    await verify(key);
    for (let tries = 0; tries < 100 && (await stored(api_key.id))?.last_used_at === null; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await stored(api_key.id)).toMatchObject({
      last_used_ip: null,
      last_used_route: 'POST /api-keys/verify',
    });
    const ids = async (unused_for_days: string) =>
      (await call(listKeys, { query: { owner_id, unused_for_days } })).body.data.map(
        ({ id }: ApiKeyRecord) => id,
      );
    expect(await ids('1')).toEqual([]);
    jest.spyOn(Date, 'now').mockReturnValue(Date.parse(unused.api_key.created_at) + DAY);
    expect(await ids('1')).toEqual([unused.api_key.id]);
    expect((await call(listKeys, { query: { owner_id, unused_for_days: '0' } })).status).toBe(400);
  });

  it('are filtered by status, environment and what a key may do', async () => {
    const owner_id = newOwner();
    const reads = (await create({ owner_id })).api_key.id;
    const all = (await create({ owner_id, scopes: ['orders:*'] })).api_key.id;
    const test = (await create({ owner_id, environment: 'test', scopes: ['a:b'] })).api_key.id;
    const revoked = (await create({ owner_id, scopes: ['a:b'] })).api_key.id;
    await call(revokeKey, { id: revoked });
    const found = async (query: Record<string, string>) => {
      const { body } = await call(listKeys, { query: { owner_id, ...query } });
      return body.data.map((key: ApiKeyRecord) => key.id);
    };
    expect(await found({ scope: 'orders:read' })).toEqual([all, reads]);
    expect(await found({ scope: 'orders:*' })).toEqual([all]);
    expect(await found({ environment: 'test' })).toEqual([test]);
    expect(await found({ status: 'revoked' })).toEqual([revoked]);
    expect(await found({ status: 'active', scope: 'a:b' })).toEqual([test]);
  });

  it('take a cursor from its own caller and query only', async () => {
    const owner_id = newOwner();
    for (let i = 0; i < 3; i++) await create({ owner_id });
    const caller = someone(owner_id);
    const { next_cursor } = (await call(listKeys, { query: { limit: '1' }, caller })).body;
    const page = async (query: Record<string, string>, by: object = caller) =>
      (await call(listKeys, { query: { limit: '1', cursor: next_cursor, ...query }, caller: by })).body;
    expect((await page({})).data).toHaveLength(1);
    expect(await page({ status: 'active' })).toMatchObject(type('invalid_cursor'));
    expect(await page({ limit: '2' })).toMatchObject(type('invalid_cursor'));
    expect(await page({}, { ...caller, key_id: `key_${'8'.repeat(22)}` })).toMatchObject(
      type('invalid_cursor'),
    );
    expect(await page({ cursor: `${next_cursor}A` })).toMatchObject(type('invalid_cursor'));
    expect(await page({ cursor: 'not/a/cursor' })).toMatchObject(type('invalid_request'));
  });

  it('take a cursor of a lineage from its own caller and key only', async () => {
    const owner_id = newOwner();
    const { api_key } = await create({ owner_id });
    const successor = (await rotate(api_key.id)).body.api_key.id;
    const caller = someone(owner_id);
    const { next_cursor } = (await call(listLineage, { id: api_key.id, query: { limit: '1' }, caller })).body;
    const page = async (id: string, by: object) =>
      (await call(listLineage, { id, query: { limit: '1', cursor: next_cursor }, caller: by })).body;
    expect((await page(api_key.id, caller)).data).toHaveLength(1);
    expect(await page(successor, caller)).toMatchObject(type('invalid_cursor'));
    expect(await page(api_key.id, { ...caller, key_id: `key_${'8'.repeat(22)}` })).toMatchObject(
      type('invalid_cursor'),
    );
  });

  it('show a lineage oldest first, from any of its keys, page by page', async () => {
    const { api_key } = await create();
    const ids = [api_key.id];
    for (let i = 0; i < 4; i++) ids.push((await rotate(ids.at(-1)!)).body.api_key.id);
    const whole = await call(listLineage, { id: ids[2]! });
    expect(whole.body.data.map((key: ApiKeyRecord) => key.id)).toEqual(ids);
    expect(whole.body.next_cursor).toBeNull();
    const first = (await call(listLineage, { id: ids[2]!, query: { limit: '2' } })).body;
    const query = { limit: '2', cursor: first.next_cursor };
    const second = (await call(listLineage, { id: ids[2]!, query })).body;
    expect([...first.data, ...second.data].map((key: ApiKeyRecord) => key.id)).toEqual(ids.slice(0, 4));
    const elsewhere = await call(listLineage, { id: ids[1]!, query });
    expect(elsewhere).toMatchObject({ status: 400, body: type('invalid_cursor') });
  });
});

describe('verify-key', () => {
  it('says valid, and from then on the key counts as used', async () => {
    const { key, api_key } = await create({ scopes: ['orders:*'] });
    const { body } = await verify(key, ['orders:write']);
    expect(body).toMatchObject({
      valid: true,
      code: 'valid',
      missing_scopes: [],
      api_key: { id: api_key.id },
    });
    const { first_used_at } = (await stored(api_key.id))!;
    expect(first_used_at).not.toBeNull();
    expect(body.api_key.first_used_at).toBe(first_used_at);
    await verify(key);
    expect((await stored(api_key.id))?.first_used_at).toBe(first_used_at);
  });

  it('says what is missing, and which key it is', async () => {
    const { key, api_key } = await create();
    expect((await verify(key, ['orders:read', 'orders:write'])).body).toEqual({
      valid: false,
      code: 'insufficient_scope',
      missing_scopes: ['orders:write'],
      api_key,
    });
  });

  it('says malformed of what no stack of this prefix made', async () => {
    const { key } = await create();
    for (const text of ['', 'x', key.slice(0, -1), `${key} `, key.replace('rk_live', 'rk_test')])
      expect((await verify(text)).body).toEqual({ valid: false, code: 'malformed', missing_scopes: [] });
  });

  it('says expired of a key whose end has come, before anything tidies it away', async () => {
    const { key } = await create();
    jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 90 * DAY);
    expect((await verify(key)).body).toMatchObject({ valid: false, code: 'expired' });
  });
});

describe('the operations on a real table', () => {
  it('never answer 500, whatever fields of the right names hold', async () => {
    const { key, api_key } = await create();
    const scope = fc.constantFrom('orders:read', 'orders:*', '*:*', 'a:b', 'x', '');
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom('team', 'n', key));
    const body = fc.record(
      {
        name: text,
        owner_id: text,
        scopes: fc.array(scope, { maxLength: 3 }),
        metadata: fc.dictionary(text, text, { maxKeys: 3 }),
        expires_at: fc.oneof(
          fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
          fc.constant(null),
        ),
        expires_in_days: fc.integer(),
        grace_period_hours: fc.integer({ min: -1, max: 800 }),
        reason: text,
        key: fc.constantFrom(key, 'x'),
        required_scopes: fc.array(scope, { maxLength: 3 }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...operations),
        body,
        fc.subarray([
          'name',
          'owner_id',
          'scopes',
          'metadata',
          'expires_at',
          'expires_in_days',
          'reason',
          'key',
        ]),
        fc.dictionary(fc.constantFrom('limit', 'cursor', 'status', 'scope', 'owner_id'), text, {
          maxKeys: 1,
        }),
        async (operation, fields, kept, query) => {
          const json = Object.fromEntries(
            Object.entries(fields).filter(([name]) => kept.includes(name) || operation.name === 'rotate-key'),
          );
          const id = operation.name === 'revoke-key' ? `key_${'0'.repeat(22)}` : api_key.id;
          const answer = await call(operation, { id, json, query });
          expect(answer.status).toBeLessThan(500);
          if (answer.status === operation.answer.status) operation.answer.schema.parse(answer.body);
          else expect(answer.body.type).toMatch(/^urn:rekey:problem:/);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('log no key', () => {
    expect(logged.length).toBeGreaterThan(0);
    expect(logged.join('\n')).not.toMatch(/rk_(?:live|test)_/);
  });
});
