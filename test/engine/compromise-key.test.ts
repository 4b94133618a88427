import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compromiseKey } from '../../lib/operations/compromise-key.ts';
import { createKey } from '../../lib/operations/create-key.ts';
import { getKey } from '../../lib/operations/get-key.ts';
import { rotateKey } from '../../lib/operations/rotate-key.ts';
import { verifyKey } from '../../lib/operations/verify-key.ts';
import { ADMIN, type ApiRequest, call } from '../lib/api-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { setEnvironment } from './environment.ts';
import { everything } from './keys.ts';
import { knowScopes } from './known-scopes.ts';

let engine: Engine;
let restore: () => void;
beforeAll(async () => {
  engine = await startEngine();
  await knowScopes(engine.table, 'orders:read', 'orders:write');
  restore = setEnvironment({ endpoint: engine.endpoint, tableName: engine.table.tableName });
});
afterAll(async () => {
  restore();
  await engine.close();
});

const create = async (more: object = {}): Promise<{ key: string; id: string }> => {
  const json = { name: 'n', owner_id: 'team', scopes: ['orders:read'], expires_in_days: 30, ...more };
  const { status, body, text } = await call(createKey, { json });
  if (status !== 201) throw new Error(text);
  return { key: body.key, id: body.api_key.id };
};
const rotate = async (id: string): Promise<{ key: string; id: string }> => {
  const { body } = await call(rotateKey, { id, json: {} });
  return { key: body.key, id: body.api_key.id };
};
const compromise = (id: string, json: object, request: ApiRequest = {}) =>
  call(compromiseKey, { id, json: { scope: 'family', reason: 'on a forum', ...json }, ...request });
const statusOf = async (id: string) => (await call(getKey, { id })).body.api_key.status;
const codeOf = async (key: string) => (await call(verifyKey, { json: { key } })).body.code;
const type = (code: string) => ({ type: `urn:rekey:problem:${code}` });
const caller = (scopes: string, more: object = {}) => ({ ...ADMIN, owner_id: 'team', scopes, ...more });

describe('compromise-key', () => {
  it('ends a key in its grace and its successor at once, and says so', async () => {
    const old = await create();
    const next = await rotate(old.id);
    const { status, body } = await compromise(old.id, {});
    expect(status).toBe(200);
    expect(body).toMatchObject({
      dry_run: false,
      compromised: { id: old.id, status: 'revoked', revoked_reason: 'on a forum' },
      stopped_count: 2,
      finished: true,
      key: null,
      api_key: null,
    });
    expect(body.stopped.map(({ id }: { id: string }) => id)).toEqual([old.id, next.id]);
    expect([await codeOf(old.key), await codeOf(next.key)]).toEqual(['revoked', 'revoked']);
    expect((await everything(engine.table)).filter(({ sk }) => sk === 'compromise')).toEqual([]);
    // Again: nothing is left to stop.
    expect((await compromise(old.id, {})).body).toMatchObject({ stopped_count: 0, finished: true });
  });

  it('says with dry_run what would stop and since when it is used, and changes nothing', async () => {
    const old = await create();
    const next = await rotate(old.id);
    await codeOf(next.key);
    const { body } = await compromise(next.id, { dry_run: true, replace: true });
    expect(body).toMatchObject({ dry_run: true, stopped_count: 2, key: null, api_key: null });
    expect(body.compromised.first_used_at).not.toBeNull();
    expect([await statusOf(old.id), await statusOf(next.id)]).toEqual(['rotated', 'active']);
  });

  it('gives a fresh key of the same scopes and the same life, without a parent', async () => {
    const old = await create({ metadata: { a: 'b' }, notify_days_before: [3], on_reuse: 'revoke_family' });
    await rotate(old.id);
    const { body } = await compromise(old.id, { replace: true });
    expect(body.api_key).toMatchObject({
      owner_id: 'team',
      scopes: ['orders:read'],
      metadata: { a: 'b' },
      notify_days_before: [3],
      on_reuse: 'revoke_family',
      status: 'active',
      parent_key_id: null,
      root_key_id: body.api_key.id,
      replaces_key_id: old.id,
    });
    const { created_at, expires_at } = body.api_key;
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(30 * 86_400_000);
    expect(await codeOf(body.key)).toBe('valid');
    // It is of another line: the old one can be ended again without it.
    await compromise(old.id, {});
    expect(await codeOf(body.key)).toBe('valid');
  });

  it('makes the fresh key once for an Idempotency-Key, and only the last secret works', async () => {
    const { id } = await create();
    const headers = { 'idempotency-key': 'night' };
    const [first, second] = [
      await compromise(id, { replace: true }, { headers }),
      await compromise(id, { replace: true }, { headers }),
    ];
    expect(second.body.api_key.id).toBe(first.body.api_key.id);
    expect([await codeOf(first.body.key), await codeOf(second.body.key)]).toEqual(['not_found', 'valid']);
    expect((await compromise(id, { replace: true }, { headers })).body).toMatchObject(
      type('idempotency_key_used'),
    );
    expect((await compromise(id, { replace: true, scope: 'key' }, { headers })).status).toBe(422);
  });

  it.each([
    ['api-keys:compromise orders:read', 'insufficient_scope'],
    ['api-keys:compromise api-keys:create', 'scope_escalation'],
  ])('replaces nothing for a caller with %s, and then ends nothing either', async (scopes, code) => {
    const { id } = await create();
    const answer = await compromise(id, { replace: true }, { caller: caller(scopes) });
    expect(answer).toMatchObject({ status: 403, body: type(code) });
    expect(await statusOf(id)).toBe('active');
    expect((await compromise(id, {}, { caller: caller(scopes) })).status).toBe(200);
  });

  it('is not for keys of others, for live keys by test keys, or without its scope', async () => {
    const { id } = await create();
    const refusal = async (who: object) => (await compromise(id, {}, { caller: who })).body.type;
    const all = 'api-keys:compromise api-keys:create orders:read';
    expect(await refusal(caller(all, { owner_id: 'other', owner_access: 'own' }))).toBe(
      type('not_found').type,
    );
    expect(await refusal(caller(all, { environment: 'test' }))).toBe(type('environment_forbidden').type);
    expect(await refusal(caller('api-keys:revoke'))).toBe(type('insufficient_scope').type);
    expect(await statusOf(id)).toBe('active');
  });

  it.each([
    [{ scope: 'all' }, '/scope'],
    [{ reason: '' }, '/reason'],
    [{ replace: 'yes' }, '/replace'],
  ])('refuses %j', async (json, pointer) => {
    const { id } = await create();
    expect(await compromise(id, json)).toMatchObject({ status: 400, body: { errors: [{ pointer }] } });
  });
});
