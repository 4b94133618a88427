import { describe, expect, it } from '@jest/globals';
import { admin, management, newKey } from './client.ts';

const post = (body: string, headers = {}) =>
  management('POST', '/api-keys', {
    key: admin,
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
const valid = { name: 'n', owner_id: 'o', scopes: ['a:b'] };

describe('the boundary of the management API', () => {
  it('answers 413 to a body of more than 16 KB', async () => {
    const answer = await post(JSON.stringify({ ...valid, metadata: { a: 'x'.repeat(17_000) } }));
    expect(answer.status).toBe(413);
    expect(answer.body.type).toBe('urn:rekey:problem:payload_too_large');
  });

  it('answers 415 to a body that is not JSON by its type', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
      expect((await post(JSON.stringify(valid), { 'content-type': type })).status).toBe(415);
    }
    expect(
      (await post(JSON.stringify(valid), { 'content-type': 'application/json; charset=utf-8' })).status,
    ).toBe(201);
  });

  it.each(['{', '[]', '"text"', 'null', '5', '', '{"name": undefined}', '\u0000'])(
    'answers 400 to the body %j',
    async (body) => {
      const answer = await post(body);
      expect(answer.status).toBe(400);
      expect(answer.body.type).toBe('urn:rekey:problem:invalid_request');
    },
  );

  it.each(['__proto__', 'constructor', 'prototype'])('refuses %s wherever it stands', async (name) => {
    const inner = `{"${name}": {"polluted": "yes"}}`;
    for (const body of [
      `{"name":"n","owner_id":"o","scopes":["a:b"],"${name}":{"x":"y"}}`,
      `{"name":"n","owner_id":"o","scopes":["a:b"],"metadata":${inner}}`,
    ]) {
      const answer = await post(body);
      expect(answer.status).toBe(400);
    }
  });

  it('bounds metadata to 50 entries of 40 and 500 characters', async () => {
    const entries = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v']));
    const status = async (metadata: object) => (await post(JSON.stringify({ ...valid, metadata }))).status;
    expect(await status(entries(50))).toBe(201);
    expect(await status(entries(51))).toBe(400);
    expect(await status({ ['k'.repeat(40)]: 'v'.repeat(500) })).toBe(201);
    expect(await status({ ['k'.repeat(41)]: 'v' })).toBe(400);
    expect(await status({ k: 'v'.repeat(501) })).toBe(400);
  });

  it.each([
    ['GET', '/nowhere'],
    ['DELETE', '/api-keys'],
    ['PUT', '/api-keys/verify'],
    ['GET', '/api-keys/a/b/c'],
    ['GET', '/'],
  ])('answers a 404 problem to %s %s', async (method, path) => {
    const answer = await management(method, path, { key: admin });
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer.body).toMatchObject({ type: 'urn:rekey:problem:not_found', status: 404 });
    expect(answer.body.request_id).toBeTruthy();
  });

  it.each([
    ['POST', '/api-keys', 'api-keys:create'],
    ['GET', '/api-keys', 'api-keys:read'],
    ['GET', '/api-keys/key_0000000000000000000000', 'api-keys:read'],
    ['PATCH', '/api-keys/key_0000000000000000000000', 'api-keys:update'],
    ['POST', '/api-keys/key_0000000000000000000000/rotate', 'api-keys:rotate'],
    ['POST', '/api-keys/key_0000000000000000000000/revoke', 'api-keys:revoke'],
    ['GET', '/api-keys/key_0000000000000000000000/lineage', 'api-keys:read'],
    ['POST', '/api-keys/verify', 'api-keys:verify'],
  ])('%s %s needs %s, and its 403 names it', async (method, path, scope) => {
    const others = ['create', 'read', 'update', 'rotate', 'revoke', 'verify']
      .map((action) => `api-keys:${action}`)
      .filter((other) => other !== scope);
    const { key } = await newKey({ scopes: others });
    const answer = await management(method, path, { key, ...(method === 'GET' ? {} : { body: {} }) });
    expect(answer.status).toBe(403);
    expect(answer.body).toMatchObject({
      type: 'urn:rekey:problem:insufficient_scope',
      missing_scopes: [scope],
    });
    expect(answer.body.detail).toContain(scope);
    expect((await management(method, path)).status).toBe(401);
  });
});
