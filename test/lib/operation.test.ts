import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Context } from 'aws-lambda';
import fc from 'fast-check';
import { z } from 'zod';
import { serve } from '../../lib/operation.ts';
import type { Operation, OperationRequest } from '../../lib/operations/definition.ts';
import { operations } from '../../lib/operations/index.ts';
import { Unavailable } from '../../lib/problem.ts';
import { ADMIN, answerOf, apiEvent, call, REQUEST_ID } from './api-event.ts';

const PLAINTEXT = `rk_live_${'0'.repeat(22)}${'S'.repeat(43)}000000`;

let logged: string[];
beforeEach(() => {
  logged = [];
  for (const level of ['info', 'error', 'log', 'warn'] as const)
    jest.spyOn(console, level).mockImplementation((line) => void logged.push(String(line)));
});
afterEach(() => void jest.restoreAllMocks());

/** An operation that gives back what it was given. */
const given: OperationRequest<unknown, unknown>[] = [];
const echo = (more: Partial<Operation> = {}): Operation =>
  ({
    name: 'echo',
    method: 'POST',
    path: '/things/{id}',
    scope: 'things:write',
    summary: '',
    description: '',
    query: z.strictObject({ limit: z.string().optional() }),
    body: z.strictObject({ name: z.string().max(20_000), tags: z.record(z.string(), z.string()).optional() }),
    idempotent: true,
    answer: { status: 201, description: '', schema: z.unknown() },
    problems: [],
    examples: { answer: {} },
    async run(request: OperationRequest<unknown, unknown>) {
      given.push(request);
      return { ok: true };
    },
    ...more,
  }) as Operation;
const id = 'key_0000000000000000000009';
const json = { name: 'n' };

describe('the boundary', () => {
  it('gives an operation the caller, the id, the query, the body and the time, and answers what it gives', async () => {
    const before = Date.now();
    const answer = await call(echo(), {
      id,
      json: { name: 'n' },
      query: { limit: '5' },
      headers: { 'Idempotency-Key': 'abc 1' },
    });
    expect(answer).toMatchObject({ status: 201, body: { ok: true } });
    expect(answer.headers).toEqual({ 'content-type': 'application/json', 'cache-control': 'no-store' });
    const request = given.at(-1);
    expect(request).toMatchObject({
      id,
      query: { limit: '5' },
      body: { name: 'n' },
      idempotency_key: 'abc 1',
      caller: { key_id: ADMIN.key_id, owner_id: 'platform', owner_access: 'any', scopes: ['*:*'] },
    });
    expect(request?.now).toBeGreaterThanOrEqual(before);
    expect(logged).toEqual([]);
  });

  it('is a handler of two parameters: Node 24 on Lambda refuses to load one of three', () => {
    expect(serve(echo()).length).toBeLessThanOrEqual(2);
  });

  it.each([
    ['missing', undefined],
    ['null', null],
    ['empty', {}],
    ['without its scopes', { ...ADMIN, scopes: undefined }],
    ['with empty scopes', { ...ADMIN, scopes: '' }],
    ['with a scope that is none', { ...ADMIN, scopes: '*:* nonsense' }],
    ['with another access', { ...ADMIN, owner_access: 'all' }],
    ['with another environment', { ...ADMIN, environment: 'prod' }],
    ['without an owner', { ...ADMIN, owner_id: '' }],
    ['with a garbled id', { ...ADMIN, key_id: 'key_1' }],
    ['of a JWT', { claims: { sub: 'somebody' } }],
  ])('answers 401 to a context of the authorizer that is %s', async (_case, caller) => {
    const runs = given.length;
    const answer = await call(echo(), { id, json, caller: caller === undefined ? 0 : caller });
    expect(answer).toMatchObject({ status: 401, body: { type: 'urn:rekey:problem:invalid_token' } });
    expect(given).toHaveLength(runs);
  });

  it('checks the scope of the operation again, before it looks at the request', async () => {
    const caller = { ...ADMIN, scopes: 'things:read other:write' };
    const answer = await call(echo(), { id, body: 'not json', caller });
    expect(answer).toMatchObject({
      status: 403,
      body: { type: 'urn:rekey:problem:insufficient_scope', missing_scopes: ['things:write'] },
    });
  });

  it('lets any valid key call an operation that says so, and still nobody without one', async () => {
    const anyKey = echo({ authenticated: true, scope: undefined } as Partial<Operation>);
    const caller = { ...ADMIN, scopes: 'other:write' };
    expect((await call(anyKey, { id, json, caller })).status).toBe(201);
    expect((await call(anyKey, { id, json, caller: {} })).status).toBe(401);
  });

  it('does not start for an operation that says nothing of who may call it', () => {
    expect(() => serve(echo({ scope: undefined } as Partial<Operation>))).toThrow(TypeError);
  });

  it('answers problems with the id of the request, never to be cached, and logs one line for each', async () => {
    const answer = await call(echo(), { id, json: { name: 5 } });
    expect(answer.status).toBe(400);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
    });
    expect(answer.body).toMatchObject({
      request_id: REQUEST_ID,
      errors: [{ pointer: '/name', detail: 'must be a string' }],
    });
    expect(logged).toHaveLength(1);
    expect(JSON.parse(logged[0]!)).toEqual({
      level: 'info',
      event: 'problem',
      code: 'invalid_request',
      status: 400,
      operation: 'echo',
      request_id: REQUEST_ID,
    });
  });
});

describe('the size of a body', () => {
  const ofBytes = (bytes: number, filler = 'x') => {
    const empty = JSON.stringify({ name: '' }).length;
    return JSON.stringify({ name: filler.repeat((bytes - empty) / Buffer.byteLength(filler)) });
  };
  const post = (body: string, base64 = false) =>
    call(echo(), {
      id,
      body: base64 ? Buffer.from(body).toString('base64') : body,
      base64,
      headers: { 'content-type': 'application/json' },
    });

  it('may be 16384 bytes and no more', async () => {
    expect((await post(ofBytes(16_384))).status).toBe(201);
    const answer = await post(ofBytes(16_385));
    expect(answer).toMatchObject({ status: 413, body: { type: 'urn:rekey:problem:payload_too_large' } });
    expect(answer.body.detail).toContain('16384');
  });

  it('counts bytes, not characters', async () => {
    expect((await post(ofBytes(16_383, 'é'))).status).toBe(201);
    expect((await post(ofBytes(16_385, 'é'))).status).toBe(413);
  });

  it('counts what base64 stands for, not its own characters', async () => {
    expect((await post(ofBytes(16_384), true)).status).toBe(201);
    expect((await post(ofBytes(16_385), true)).status).toBe(413);
    expect((await post(ofBytes(5_000_000), true)).status).toBe(413);
  });

  it('is bounded where no body is taken, too', async () => {
    const answer = await call(echo({ body: undefined }), { id, body: ofBytes(16_385) });
    expect(answer.status).toBe(413);
  });

  it('refuses bytes that are not UTF-8', async () => {
    const body = Buffer.from([0x7b, 0xff, 0xfe, 0x7d]).toString('base64');
    expect((await call(echo(), { id, body, base64: true })).status).toBe(400);
  });
});

describe('the form of a body', () => {
  const post = (body: string | null, headers = { 'Content-Type': 'application/json' } as object) =>
    call(echo(), { id, body, headers: headers as Record<string, string> });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    '',
    'multipart/form-data',
    'application/json-patch+json',
    'application/merge-patch+json',
    'application/json; charset=utf-16',
    'application/json, text/plain',
  ])('answers 415 to the content type %j', async (type) => {
    const answer = await post('{"name":"n"}', { 'content-type': type });
    expect(answer).toMatchObject({ status: 415, body: { type: 'urn:rekey:problem:unsupported_media_type' } });
  });

  it('answers 415 when there is no content type', async () => {
    expect((await post('{"name":"n"}', {})).status).toBe(415);
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON'])(
    'takes %s',
    async (type) => {
      expect((await post('{"name":"n"}', { 'CONTENT-TYPE': type })).status).toBe(201);
    },
  );

  it.each(['{', '{"name":}', '\u0000', '{"name":"n"}}', `{"name":"${PLAINTEXT}`, '['.repeat(16_000)])(
    'answers 400 to what is not JSON, and repeats none of it: %j',
    async (body) => {
      const answer = await post(body);
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '' }] } });
      expect(answer.text + logged.join()).not.toContain('SSSS');
    },
  );

  it.each(['null', '5', '"text"', '[]', '""', 'true'])(
    'answers 400 to %s: it must be an object',
    async (body) => {
      const answer = await post(body);
      expect(answer).toMatchObject({
        status: 400,
        body: { errors: [{ pointer: '', detail: 'must be an object' }] },
      });
    },
  );

  it('answers 400 when no body came and one is needed, with or without a content type', async () => {
    for (const body of [null, '']) {
      expect((await post(body)).status).toBe(400);
      expect((await post(body, {})).status).toBe(400);
    }
  });

  it('takes no body for {} where the operation says so', async () => {
    const operation = echo({
      body: z.strictObject({ reason: z.string().default('none') }),
      bodyOptional: true,
    });
    for (const body of [null, '', '{}']) {
      const headers: Record<string, string> = body === '{}' ? { 'content-type': 'application/json' } : {};
      expect((await call(operation, { id, body, headers })).status).toBe(201);
      expect(given.at(-1)?.body).toEqual({ reason: 'none' });
    }
  });

  it.each([
    ['{"name":"n","constructor":{}}', '/constructor'],
    ['{"name":"n","tags":{"prototype":"x"}}', '/tags/prototype'],
    ['{"name":"n","tags":{"a":[{"b":{"constructor":1}}]}}', '/tags/a/0/b/constructor'],
    ['{"name":"n","__proto__":{"x":1}}', ''],
    ['{"name":"n","tags":{"__proto__":{"x":1}}}', ''],
    ['{"name":"n","tags":{"\\u005f_proto__":{"x":1}}}', ''],
    ['{"name":"n","constructor":{"prototype":{"x":1}}}', ''],
  ])('refuses the names that turn into something else than data: %s', async (body, pointer) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(answer.body.errors[0].pointer).toBe(pointer);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('refuses a body that is nested deeper than any of ours', async () => {
    const answer = await post(`{"name":${'['.repeat(40)}${']'.repeat(40)}}`);
    expect(answer).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '', detail: 'must not be nested so deeply' }] },
    });
  });

  it('names at most fifty unsafe members, so that a body does not come back many times as long', async () => {
    const answer = await post(`[${Array(1000).fill('{"prototype":1}').join(',')}]`);
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toHaveLength(50);
  });
});

describe('the fields of a request', () => {
  it('names each wrong one by its pointer, and never repeats what was sent', async () => {
    const answer = await call(echo(), {
      id,
      json: { tags: { 'a/b~c': 5 }, nmae: 'rk_live_oops', 'x y': 1 },
    });
    expect(answer.body.errors).toEqual(
      expect.arrayContaining([
        { pointer: '/name', detail: 'is required' },
        { pointer: '/tags/a~1b~0c', detail: 'must be a string' },
        { pointer: '/nmae', detail: 'is not a known field; leave it out' },
        { pointer: '/x y', detail: 'is not a known field; leave it out' },
      ]),
    );
    expect(answer.text).not.toContain('oops');
  });

  it('names at most 50 of them', async () => {
    const unknown = Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`field${i}`, i]));
    const answer = await call(echo(), { id, json: unknown });
    expect(answer.body.errors).toHaveLength(50);
  });

  it.each([
    { name: PLAINTEXT },
    { name: `see ${PLAINTEXT}!` },
    { name: 'n', tags: { note: PLAINTEXT } },
    { name: 'n', tags: { [PLAINTEXT]: 'x' } },
    { name: 'n', [PLAINTEXT]: 'x' },
    { name: 'n', [`Bearer ${PLAINTEXT.slice(0, 50)}`]: 'x' },
  ])('refuses the text of a key, which would be stored, without repeating it: case %#', async (json) => {
    const answer = await call(echo(), { id, json });
    expect(answer.status).toBe(400);
    expect(answer.text + logged.join()).not.toMatch(/SSSS|rk_live_/);
  });

  it('takes the text of a key where an operation is there to take one', async () => {
    expect((await call(echo({ takesKey: true }), { id, json: { name: PLAINTEXT } })).status).toBe(201);
  });

  it.each([
    [{ expand: 'all' }, '/expand'],
    [{ limit: ['1', '2'] }, '/limit'],
    [{ constructor: 'x' }, '/constructor'],
    [{ limit: PLAINTEXT }, '/limit'],
    [{ ['__proto__']: 'x' }, '/__proto__'],
  ])('refuses the query %j', async (query, pointer) => {
    const answer = await call(echo(), { id, json, query: query as Record<string, string> });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ in: 'query', pointer }] } });
  });

  it('refuses any query where none is taken', async () => {
    const answer = await call(echo({ query: undefined }), { id, json, query: { limit: '1' } });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ in: 'query', pointer: '/limit' }] } });
  });

  it.each(['nonsense', 'key_short', `${id}0`, `${id}\n`, '', '../api-keys', undefined])(
    'answers 404 to the id %j, which is no key',
    async (malformed) => {
      const answer = await call(echo(), { json, ...(malformed !== undefined && { id: malformed }) });
      expect(answer).toMatchObject({ status: 404, body: { type: 'urn:rekey:problem:not_found' } });
    },
  );

  it.each(['', ' ', 'x'.repeat(256), 'tab\there', 'naïve', 'line\nbreak'])(
    'refuses the Idempotency-Key %j',
    async (value) => {
      const answer = await call(echo(), { id, json, headers: { 'IDEMPOTENCY-KEY': value } });
      expect(answer).toMatchObject({
        status: 400,
        body: { errors: [{ in: 'header', pointer: '/idempotency-key' }] },
      });
    },
  );

  it('refuses two values of Idempotency-Key or content-type, of whatever spelling', async () => {
    const twice: Record<string, string | string[]>[] = [
      { 'Idempotency-Key': ['a', 'b'] },
      { 'Idempotency-Key': ['a', 'a'] },
      { 'Idempotency-Key': 'a', 'idempotency-key': 'b' },
      { 'Content-Type': 'application/json', 'content-type': 'text/plain' },
    ];
    for (const headers of twice) {
      const answer = await call(echo(), { id, json, headers });
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ in: 'header' }] } });
    }
  });

  it('does not look at the Idempotency-Key where it means nothing', async () => {
    const answer = await call(echo({ idempotent: undefined }), {
      id,
      json,
      headers: { 'idempotency-key': 'x'.repeat(300) },
    });
    expect(answer.status).toBe(201);
    expect(given.at(-1)?.idempotency_key).toBeUndefined();
  });
});

describe('an error in an operation', () => {
  const failing = (error: unknown) =>
    call(
      echo({
        async run() {
          throw error;
        },
      }),
      { id, json },
    );

  it.each([new TypeError('secret detail'), 'a string', undefined, { statusCode: 200, message: 'x' }])(
    'that nobody foresaw is a 500 that says nothing of it: %p',
    async (error) => {
      const answer = await failing(error);
      expect(answer).toMatchObject({ status: 500, body: { type: 'urn:rekey:problem:internal_error' } });
      expect(answer.text).not.toContain('secret detail');
      expect(logged).toHaveLength(1);
      expect(JSON.parse(logged[0]!)).toMatchObject({ level: 'error', request_id: REQUEST_ID });
    },
  );

  it('is logged with its cause, and without any key that is in it', async () => {
    await failing(new Error(`could not write ${PLAINTEXT}`));
    expect(logged[0]).toContain('could not write [secret]');
    expect(logged.join()).not.toContain('SSSS');
  });

  it('that passes answers 503 and when to come back', async () => {
    const answer = await failing(new Unavailable(2));
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('2');
  });

  it('of time running out answers 503 before Lambda ends the process', async () => {
    const slow = serve(
      echo({
        run: () => new Promise((resolve) => setTimeout(resolve, 2_000).unref()),
      }),
    );
    const context = { getRemainingTimeInMillis: () => 300 } as Context;
    const answer = answerOf(await slow(apiEvent({ id, json }), context));
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
  });
});

describe('whatever is sent', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(PLAINTEXT, '__proto__', 'constructor', 'key_0000000000000000000009', '5', ''),
  );
  const names = fc.constantFrom(
    ...['name', 'owner_id', 'scopes', 'metadata', 'expires_at', 'expires_in_days', 'reason', 'key', 'limit'],
    ...['cursor', 'status', 'scope', 'environment', 'required_scopes', 'grace_period_hours', 'constructor'],
  );
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue({ maxDepth: 3 }),
      fc.constantFrom('orders:read', '2027-01-01T00:00:00Z', 5, null, PLAINTEXT),
      fc.array(tie('any'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(names, text), tie('any'), { maxKeys: 5 }),
    ),
  })).any;
  const body = fc.oneof(
    fc.constant(null),
    text,
    value.map((json) => JSON.stringify(json)),
    fc.dictionary(names, value, { maxKeys: 6 }).map((json) => JSON.stringify(json)),
  );
  const headers = fc.dictionary(
    fc.oneof(text, fc.constantFrom('Content-Type', 'content-type', 'Idempotency-Key')),
    fc.oneof(fc.constantFrom('application/json', 'text/plain'), text, fc.array(text, { maxLength: 3 })),
    { maxKeys: 4 },
  );
  const query = fc.dictionary(fc.oneof(names, text), fc.oneof(text, fc.array(text, { maxLength: 3 })), {
    maxKeys: 3,
  });
  const caller = fc.oneof(
    { weight: 4, arbitrary: fc.constant<unknown>(ADMIN) },
    fc.anything(),
    fc.record({ ...Object.fromEntries(Object.keys(ADMIN).map((name) => [name, text])) }),
  );

  it.each(operations.map((operation) => [operation.name, operation] as const))(
    '%s answers a problem or an answer of its own form, and never a 500',
    async (_name, operation) => {
      const tame = { ...operation, run: async () => operation.examples.answer };
      await fc.assert(
        fc.asyncProperty(
          fc.record(
            { body, headers, query, caller, base64: fc.boolean(), id: fc.oneof(text, fc.constant(id)) },
            { requiredKeys: [] },
          ),
          async (request) => {
            logged = [];
            const sent = { headers: { 'content-type': 'application/json' }, ...request };
            const answer = await call(tame, sent);
            expect(answer.headers['cache-control']).toBe('no-store');
            expect(answer.text + logged.join()).not.toContain('SSSSSSSS');
            if (answer.status === operation.answer.status) {
              operation.answer.schema.parse(answer.body);
              return;
            }
            expect([400, 401, 403, 404, 413, 415]).toContain(answer.status);
            expect(answer.headers['content-type']).toBe('application/problem+json');
            expect(answer.body).toMatchObject({
              type: expect.stringMatching(/^urn:rekey:problem:[a-z_]+$/),
              title: expect.any(String),
              status: answer.status,
              detail: expect.any(String),
              request_id: REQUEST_ID,
            });
          },
        ),
        { numRuns: 300 },
      );
    },
  );
});
