import { describe, expect, it } from '@jest/globals';
import { mintKey, newKeyId } from '../../../lib/key-format.ts';
import {
  createVerifier,
  type Required,
  type Verdict,
  type VerifierOptions,
} from '../../../lib/verify/index.ts';

const ID = newKeyId(Date.UTC(2026, 10, 24));
const KEY = mintKey({ prefix: 'rk', environment: 'live', id: ID }).key.reveal();
const OTHER = mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(0) }).key.reveal();
const API_KEY = {
  id: ID,
  owner_id: 'team-a',
  owner_access: 'own',
  environment: 'live',
  scopes: ['orders:read', 'customers:*'],
};
const VALID = { valid: true, code: 'valid', missing_scopes: [], api_key: API_KEY };

type Answer = object | Error | (() => Promise<Response>);

/** A verifier whose management API gives these answers, in turn. */
const verifier = (answers: Answer[], options: Partial<VerifierOptions> = {}) => {
  const calls: { url: string; init: RequestInit }[] = [];
  const verify = createVerifier({
    managementUrl: 'https://keys.test/v1/',
    key: 'own',
    fetch: async (url, init = {}) => {
      calls.push({ url: String(url), init });
      const answer = answers[calls.length - 1] ?? new Error('asked too often');
      if (answer instanceof Error) throw answer;
      if (typeof answer === 'function') return answer();
      return Response.json(answer);
    },
    ...options,
  });
  return { verify, calls };
};
const withKey = (key = KEY) => new Request('https://service.test/', { headers: { 'x-api-key': key } });
const refusedAs = (verdict: Verdict) => (verdict.allowed ? 'allowed' : [verdict.code, verdict.answer.status]);

describe('a key that is valid', () => {
  it.each<[string, Required]>([
    ['one scope', { scopes: ['orders:read'] }],
    ['all of several, by a wildcard', { scopes: ['orders:read', 'customers:write'] }],
    ['none at all', { scopes: [] }],
    ['one list of several', { anyOf: [['a:b'], ['orders:read', 'customers:read']] }],
  ])('is let in where %s is needed', async (_, required) => {
    const { verify, calls } = verifier([VALID]);
    expect(await verify(withKey(), required)).toEqual({
      allowed: true,
      principal: {
        key_id: ID,
        owner_id: 'team-a',
        owner_access: 'own',
        environment: 'live',
        scopes: ['orders:read', 'customers:*'],
      },
    });
    expect(calls).toHaveLength(1);
    expect(calls[0]?.url).toBe('https://keys.test/v1/api-keys/verify');
    expect(calls[0]?.init).toMatchObject({
      method: 'POST',
      redirect: 'error',
      body: JSON.stringify({ key: KEY }),
    });
    expect(new Headers(calls[0]?.init.headers).get('x-api-key')).toBe('own');
  });

  it('is refused where it lacks a scope, which is named', async () => {
    const { verify } = verifier([VALID, VALID]);
    const refused = await verify(withKey(), { scopes: ['orders:read', 'orders:write'] });
    expect(refused).toMatchObject({ code: 'insufficient_scope', missing_scopes: ['orders:write'] });
    const { answer } = refused as Extract<Verdict, { allowed: false }>;
    const response = new Response(answer.body, answer);
    expect([response.status, response.headers.get('content-type')]).toEqual([
      403,
      'application/problem+json',
    ]);
    expect(await response.json()).toMatchObject({ missing_scopes: ['orders:write'], status: 403 });
    expect(refusedAs(await verify(withKey(), { anyOf: [['a:b'], ['orders:write']] }))).toEqual([
      'insufficient_scope',
      403,
    ]);
  });
});

describe('a request without one good key', () => {
  it.each<[string, Record<string, string | string[]>]>([
    ['missing', {}],
    ['repeated', { 'x-api-key': [KEY, KEY] }],
    ['repeated', { 'x-api-key': `${KEY}, ${KEY}` }],
    ['conflicting', { 'x-api-key': KEY, authorization: `Bearer ${OTHER}` }],
    ['malformed', { authorization: 'Basic eDp5' }],
  ])('is refused as %s, and nobody is asked', async (code, headers) => {
    const { verify, calls } = verifier([]);
    expect(refusedAs(await verify({ headers }, { scopes: [] }))).toEqual([code, 401]);
    expect(calls).toEqual([]);
  });

  it('may have it in either header', async () => {
    const { verify } = verifier([VALID, VALID]);
    for (const headers of [new Headers({ authorization: `bearer ${KEY}` }), { 'X-Api-Key': [KEY] }])
      expect(refusedAs(await verify({ headers }, { scopes: [] }))).toBe('allowed');
  });
});

describe('what the management API refuses', () => {
  it.each(['malformed', 'not_found', 'revoked', 'expired'])(
    'as %s is a 401 that does not say so',
    async (code) => {
      const { verify } = verifier([{ valid: false, code, missing_scopes: [] }]);
      const refused = await verify(withKey(), { scopes: [] });
      expect(refusedAs(refused)).toEqual([code, 401]);
      const { answer } = refused as Extract<Verdict, { allowed: false }>;
      expect(JSON.parse(answer.body)).toMatchObject({
        type: 'urn:rekey:problem:invalid_token',
        detail: 'Send one valid API key, as x-api-key or as Authorization: Bearer.',
      });
    },
  );
});

describe('whatever goes wrong', () => {
  const never = () => new Promise<Response>(() => {});
  it.each<[string, Answer[], Partial<VerifierOptions>?]>([
    ['no connection, twice', [new TypeError('fetch failed'), new TypeError('fetch failed')]],
    ['no answer in time', [never], { timeoutMs: 20 }],
    ['no key of its own in time', [VALID], { timeoutMs: 20, key: () => new Promise<string>(() => {}) }],
    ['no key of its own', [VALID], { key: () => Promise.reject(new Error('no secret')) }],
    ['an own key that is refused', [async () => Response.json({ ...VALID }, { status: 401 })]],
    ['an error of the server', [async () => Response.json({ ...VALID }, { status: 500 })]],
    ['another success', [async () => Response.json({ ...VALID }, { status: 202 })]],
    ['no JSON', [async () => new Response('<html>')]],
    ['null', [async () => new Response('null')]],
    ['no verdict', [{}]],
    ['a verdict that is a text', [{ ...VALID, valid: 'true' }]],
    ['yes and no', [{ ...VALID, code: 'revoked' }]],
    ['no and yes', [{ ...VALID, valid: false }]],
    ['a code nobody knows', [{ ...VALID, valid: false, code: 'suspended' }]],
    ['yes, and nothing of whom', [{ valid: true, code: 'valid' }]],
    ['yes, of another key', [{ ...VALID, api_key: { ...API_KEY, id: newKeyId(5) } }]],
    ['yes, of no key', [{ ...VALID, api_key: { ...API_KEY, id: '' } }]],
    ['yes, with no list of scopes', [{ ...VALID, api_key: { ...API_KEY, scopes: '*:*' } }]],
  ])('refuses: %s', async (_, answers, options = {}) => {
    const { verify } = verifier(answers, options);
    const refused = await verify(withKey(), { scopes: [] });
    expect(refusedAs(refused)).toEqual(['unavailable', 503]);
    expect(JSON.stringify(refused)).not.toContain(KEY);
    expect(String((refused as { cause?: unknown }).cause)).toContain('Error');
  });

  it('is asked once more where the connection broke, and no more', async () => {
    const { verify, calls } = verifier([new TypeError('socket closed'), VALID]);
    expect(refusedAs(await verify(withKey(), { scopes: [] }))).toBe('allowed');
    expect(calls).toHaveLength(2);
  });
});

describe('what can not be meant', () => {
  it.each([
    [{}],
    [{ scopes: undefined }],
    [{ scopes: ['orders'] }],
    [{ scopes: ['orders:*'] }],
    [{ scopes: [['orders:read']] }],
    [{ anyOf: [] }],
    [{ anyOf: [[]] }],
    [{ anyOf: ['orders:read'] }],
  ])('throws: %j', async (required) => {
    const { verify, calls } = verifier([VALID]);
    await expect(verify(withKey(), required as Required)).rejects.toThrow(TypeError);
    expect(calls).toEqual([]);
  });

  it.each([{ key: '' }, { managementUrl: 'keys' }, { timeoutMs: 0 }, { timeoutMs: Number.NaN }])(
    'does not make a verifier: %j',
    (options) => {
      expect(() => verifier([], options)).toThrow(expect.objectContaining({ name: 'TypeError' }));
    },
  );
});
