import { describe, expect, it } from '@jest/globals';
import type { APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { type AuthorizerDependencies, authorize, LONGEST_DECISION_MS } from '../../lib/authorizer.ts';
import { DynamoDbFailure, LONGEST_CALL_MS } from '../../lib/dynamodb-http.ts';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import type { KeyFacts } from '../../lib/key-reader.ts';
import { type RouteScopes, routesHash } from '../../lib/routes.ts';
import { API_ID, authorizerEvent, connectEvent, httpAuthorizerEvent } from './authorizer-event.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const ROUTES: RouteScopes = {
  'GET /': ['orders:read'],
  'GET /orders': ['orders:read'],
  'POST /orders': ['orders:write'],
  'GET /orders/{id}': ['orders:read'],
  'POST /orders/{id}/refund': ['orders:refund', 'orders:write'],
  'GET /health': [],
  'GET /whoami': [[]],
};
const HASH = routesHash(ROUTES);

const id = newKeyId(NOW - 1_000);
const minted = mintKey({ prefix: 'rk', environment: 'live', id });
const KEY = minted.key.reveal();
const other = mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(NOW - 500) });

const facts = (changes: Partial<KeyFacts> = {}): KeyFacts => ({
  id,
  owner_id: 'team-billing',
  owner_access: 'own',
  environment: 'live',
  scopes: ['orders:read'],
  expires_at: '2026-12-24T12:00:00.000Z',
  rotated_at: null,
  revoked_at: null,
  first_used_at: '2026-11-20T12:00:00.000Z',
  pending_until: null,
  last_used_at: '2026-11-24T11:59:00.000Z',
  digest: minted.digest,
  honey: false,
  ...changes,
});

/** A REST API gets a policy or an error, and nothing else. */
const policyOf = (answer: Awaited<ReturnType<typeof authorize>>) => {
  if (!('policyDocument' in answer)) throw new Error('not a policy');
  return answer;
};

/** A table with the given states of the one key, each read once; the last one stays. */
const authorizer = (...states: (KeyFacts | undefined | Error)[]) => {
  const calls: string[] = [];
  const lines: Record<string, unknown>[] = [];
  const metrics: Record<string, unknown>[] = [];
  let noted = true;
  let lastUse = async (): Promise<void> => {};
  let telling: () => Promise<void> = async () => undefined;
  const dependencies: AuthorizerDependencies = {
    reader: {
      getKey: async (wanted) => {
        calls.push('getKey');
        const state = states.length > 1 ? states.shift() : states[0];
        if (state instanceof Error) throw state;
        return wanted === id ? state : undefined;
      },
      markFirstUse: async (key_id, digest, { now }) => {
        calls.push(`markFirstUse ${key_id} ${digest} ${new Date(now).toISOString()}`);
        return noted;
      },
      noteLastUse: async ({ id: key_id }, use) => {
        calls.push(`noteLastUse ${key_id} ${JSON.stringify(use)}`);
        await lastUse();
      },
      tellMisuse: async (record, { misuse, where }, { actor, source_ip }) => {
        calls.push(`tellMisuse ${record.id} ${misuse} ${where.route} ${where.api_id} ${actor} ${source_ip}`);
        await telling();
        return true;
      },
    },
    readRoutes: async (apiId, { routesHash }) =>
      apiId === API_ID && routesHash === HASH ? ROUTES : undefined,
    now: () => NOW,
    prefix: 'rk',
    misuseSettings: { late_use_minutes: 60 },
    service: 'Rekey',
    log: (line) => (Object.hasOwn(line, '_aws') ? metrics : lines).push(line),
    sampled: () => true,
  };
  return {
    calls,
    lines,
    metrics,
    dependencies,
    tellingTakes: (time: () => Promise<void>) => {
      telling = time;
    },
    onLastUse: (done: () => Promise<void>) => {
      lastUse = done;
    },
    firstUseIsRefused: () => {
      noted = false;
    },
    ask: async (request: Parameters<typeof authorizerEvent>[0] = {}) =>
      policyOf(
        await authorize(
          authorizerEvent({ headers: { 'X-Api-Key': [KEY] }, routesHash: HASH, ...request }),
          dependencies,
        ),
      ),
  };
};

const effectOf = (result: { policyDocument: { Statement: { Effect: string }[] } }) =>
  result.policyDocument.Statement[0]?.Effect;

describe('a valid key', () => {
  it('is allowed exactly its request, with its facts as strings', async () => {
    const { ask } = authorizer(facts({ scopes: ['customers:*', 'orders:read'] }));
    expect(await ask({ resource: '/orders/{id}', path: '/orders/17' })).toEqual({
      principalId: id,
      policyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Action: 'execute-api:Invoke',
            Resource: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/v1/GET/orders/17`,
          },
        ],
      },
      context: {
        key_id: id,
        owner_id: 'team-billing',
        owner_access: 'own',
        environment: 'live',
        scopes: 'customers:* orders:read',
      },
    });
  });

  it.each([
    ['x-api-key', { 'x-api-key': [KEY] }],
    ['X-API-KEY', { 'X-API-KEY': [KEY] }],
    ['Authorization: Bearer', { Authorization: [`Bearer ${KEY}`] }],
    ['authorization: bearer', { authorization: [`bearer ${KEY}`] }],
    ['the same key in both', { 'x-api-key': [KEY], Authorization: [`Bearer ${KEY}`] }],
  ])('may come as %s', async (_, headers) => {
    expect(effectOf(await authorizer(facts()).ask({ headers }))).toBe('Allow');
  });

  it('costs one read, and no write after its first use', async () => {
    const { ask, calls } = authorizer(facts());
    await ask();
    expect(calls).toEqual(['getKey']);
  });

  it('works in the grace period of its rotation', async () => {
    expect(effectOf(await authorizer(facts({ rotated_at: '2026-11-24T11:00:00.000Z' })).ask())).toBe('Allow');
  });

  it('needs no scope where any valid key will do', async () => {
    const { ask } = authorizer(facts({ scopes: ['other:thing'] }));
    expect(effectOf(await ask({ resource: '/whoami' }))).toBe('Allow');
    const revoked = authorizer(facts({ revoked_at: '2026-11-24T11:00:00.000Z' }));
    await expect(revoked.ask({ resource: '/whoami' })).rejects.toThrow('Unauthorized');
  });

  it('needs no scope where the route is declared without', async () => {
    const { ask } = authorizer(facts({ scopes: ['other:thing'] }));
    expect(effectOf(await ask({ resource: '/health' }))).toBe('Allow');
  });

  it('cannot ask for a pattern with a * in the path', async () => {
    const result = await authorizer(facts()).ask({ resource: '/orders/{id}', path: '/orders/*' });
    expect(result.policyDocument.Statement[0]).toMatchObject({
      Resource: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/v1/GET/orders/\${*}`,
    });
  });

  it.each([
    '/orders/a%2Fb',
    '/orders/..%2F..%2Fhealth',
    '/orders/%2A',
    '/orders/\'"<\n>',
    '/orders//',
    '/orders/ä',
  ])('is decided by the declared route and not by the path (%s)', async (path) => {
    const wrong = authorizer(facts({ scopes: ['orders:write'] }));
    expect(effectOf(await wrong.ask({ resource: '/orders/{id}', path }))).toBe('Deny');
    const right = authorizer(facts());
    expect(effectOf(await right.ask({ resource: '/orders/{id}', path }))).toBe('Allow');
  });
});

describe('what is not authenticated is Unauthorized, and API Gateway answers 401', () => {
  const refused = async (a: ReturnType<typeof authorizer>, request = {}) => {
    await expect(a.ask(request)).rejects.toThrow(/^Unauthorized$/);
    return a;
  };

  const withoutReading: [string, Record<string, string[]>][] = [
    ['no key', {}],
    ['an empty key', { 'x-api-key': [''] }],
    ['two x-api-key headers', { 'x-api-key': [KEY, KEY] }],
    ['two x-api-key headers of which the last is good', { 'x-api-key': ['nonsense', KEY] }],
    ['two cases of one header', { 'x-api-key': [KEY], 'X-Api-Key': [KEY] }],
    ['two Authorization headers', { Authorization: [`Bearer ${KEY}`, `Bearer ${KEY}`] }],
    ['two keys in one header', { 'x-api-key': [`${KEY},${KEY}`] }],
    ['two keys in two headers', { 'x-api-key': [KEY], Authorization: [`Bearer ${other.key.reveal()}`] }],
    ['a good key beside another scheme', { 'x-api-key': [KEY], Authorization: ['Basic Zm9vOmJhcg=='] }],
    ['another scheme', { Authorization: [`Token ${KEY}`] }],
    ['no scheme', { Authorization: [KEY] }],
    [
      'a key with one character changed',
      { 'x-api-key': [KEY.slice(0, -1) + (KEY.endsWith('0') ? '1' : '0')] },
    ],
    ['a cut key', { 'x-api-key': [KEY.slice(0, -1)] }],
    ['a key of another prefix', { 'x-api-key': [`xx${KEY.slice(2)}`] }],
    ['a live key that calls itself a test key', { 'x-api-key': [KEY.replace('_live_', '_test_')] }],
    ['a huge header', { 'x-api-key': ['a'.repeat(20_000)] }],
    ['a key with a line break', { 'x-api-key': [`${KEY}\r\nx: y`] }],
    ['a key with a NUL', { 'x-api-key': [`${KEY}\0`] }],
    ['a key in a header of nearly the same name', { 'x-api-key ': [KEY], x_api_key: [KEY] }],
  ];
  it.each(withoutReading)('%s: without asking the table', async (_, headers) => {
    const { calls, lines, metrics } = await refused(authorizer(facts()), { headers });
    expect(calls).toEqual([]);
    const [{ reason }] = metrics as [{ reason: string }];
    expect(['missing', 'repeated', 'conflicting', 'malformed']).toContain(reason);
    expect(lines).toEqual([expect.objectContaining({ event: 'refused', code: reason, key_id: undefined })]);
  });

  it('a key only in headers, where API Gateway keeps the last of several', async () => {
    const { dependencies } = authorizer(facts());
    const event = {
      ...authorizerEvent({ routesHash: HASH }),
      headers: { 'x-api-key': KEY },
      multiValueHeaders: null,
    };
    await expect(
      authorize(event as unknown as APIGatewayRequestAuthorizerEvent, dependencies),
    ).rejects.toThrow(/^Unauthorized$/);
  });

  it.each([
    ['unknown', undefined, 'not_found'],
    ['with the secret of another', facts({ digest: other.digest }), 'not_found'],
    ['revoked', facts({ revoked_at: '2026-11-24T11:59:59.999Z' }), 'revoked'],
    ['expired at this very instant', facts({ expires_at: '2026-11-24T12:00:00.000Z' }), 'expired'],
    [
      'rotated, after its grace',
      facts({ rotated_at: '2026-11-23T11:00:00.000Z', expires_at: '2026-11-24T11:00:00.000Z' }),
      'expired',
    ],
    [
      'revoked and without the scope',
      facts({ revoked_at: '2026-11-24T11:00:00.000Z', scopes: ['a:b'] }),
      'revoked',
    ],
  ])('a key that is %s', async (_, state, code) => {
    const { lines, metrics } = await refused(authorizer(state));
    expect(metrics).toEqual([expect.objectContaining({ reason: code, requests_refused: 1 })]);
    expect(lines).toEqual([
      expect.objectContaining({ event: 'refused', code, key_id: id, request_id: 'request-1' }),
    ]);
  });

  it('a revoked key also on a route that is not declared', async () => {
    await refused(authorizer(facts({ revoked_at: '2026-11-24T11:00:00.000Z' })), { resource: '/unknown' });
  });

  it('a wrong secret of a key without the scope, which learns nothing of its scopes', async () => {
    await refused(authorizer(facts({ digest: other.digest, scopes: ['a:b'] })));
  });
});

describe('a missing scope', () => {
  it('is denied with the scopes that are missing, ready for a gateway response', async () => {
    const result = await authorizer(facts()).ask({
      method: 'POST',
      resource: '/orders/{id}/refund',
      path: '/orders/1/refund',
    });
    expect(effectOf(result)).toBe('Deny');
    expect(result.context).toEqual({
      code: 'insufficient_scope',
      detail: 'Use an API key that has orders:refund, orders:write.',
      missing_scopes: '"orders:refund","orders:write"',
      key_id: id,
    });
  });

  it('names only what is missing', async () => {
    const result = await authorizer(facts({ scopes: ['orders:write'] })).ask({
      method: 'POST',
      resource: '/orders/{id}/refund',
    });
    expect(result.context?.['missing_scopes']).toBe('"orders:refund"');
  });

  it('makes valid JSON in a template that escapes nothing, and repeats nothing of the request', async () => {
    const result = await authorizer(facts()).ask({
      method: 'POST',
      resource: '/orders',
      path: '/orders","x":"</script>',
      headers: { 'x-api-key': [KEY], 'user-agent': ['"},"admin":true'] },
    });
    const { code, detail, missing_scopes } = result.context as Record<string, string>;
    expect(
      JSON.parse(`{"code":"${code}","detail":"${detail}","missing_scopes":[${missing_scopes}]}`),
    ).toEqual({
      code: 'insufficient_scope',
      detail: 'Use an API key that has orders:write.',
      missing_scopes: ['orders:write'],
    });
    expect(JSON.stringify(result.context)).not.toMatch(/script|admin/);
  });

  it('does not count as the first use', async () => {
    const { ask, calls } = authorizer(facts({ first_used_at: null, scopes: ['a:b'] }));
    await ask();
    expect(calls).toEqual(['getKey']);
  });
});

describe('a route that declares no scopes', () => {
  it.each([
    ['is not in the table of routes', { resource: '/invoices' }],
    ['has another method', { method: 'DELETE', resource: '/orders' }],
    ['is asked with OPTIONS', { method: 'OPTIONS', resource: '/orders' }],
    ['is asked with HEAD', { method: 'HEAD', resource: '/orders' }],
    ['differs in case', { resource: '/Orders' }],
    ['differs in a trailing slash', { resource: '/orders/' }],
    ['is named like a property of every object', { resource: '/constructor' }],
    ['is on a stage that names no routes', { routesHash: undefined }],
    ['is on a stage that names unknown routes', { routesHash: 'f'.repeat(64) }],
    ['is on a stage that names something else', { routesHash: '../../x' }],
  ])('is refused to every key when it %s', async (_, request) => {
    const { ask, lines, metrics } = authorizer(facts({ scopes: ['*:*'] }));
    const result = await ask(request);
    expect(effectOf(result)).toBe('Deny');
    expect(result.context).toMatchObject({ code: 'route_not_declared', missing_scopes: '' });
    expect(result.context?.['detail']).toMatch(/^[^"\\]+Declare its scopes/);
    expect(lines).toEqual([expect.objectContaining({ event: 'refused', code: 'route_not_declared' })]);
    expect(metrics).toEqual([expect.objectContaining({ reason: 'route_not_declared' })]);
  });
});

describe('the last use of a key', () => {
  const note = (key_id: string) =>
    `noteLastUse ${key_id} ${JSON.stringify({ now: NOW, ip: '192.0.2.7', route: `${API_ID} GET /orders` })}`;
  const from = (world: ReturnType<typeof authorizer>) => {
    const event = authorizerEvent({ headers: { 'x-api-key': [minted.key.reveal()] }, routesHash: HASH });
    const identity = { sourceIp: '192.0.2.7' };
    const requestContext = { ...event.requestContext, identity } as unknown as typeof event.requestContext;
    return authorize({ ...event, requestContext }, world.dependencies) as ReturnType<typeof world.ask>;
  };

  it.each([
    ['never', null],
    ['an hour ago', '2026-11-24T11:00:00.000Z'],
  ])('is noted of a key that was noted %s, with address, API and route', async (_, last_used_at) => {
    const world = authorizer(facts({ last_used_at }));
    expect(effectOf(await from(world))).toBe('Allow');
    expect(world.calls).toEqual(['getKey', note(id)]);
  });

  it('is not noted within an hour, nor of a request that is refused', async () => {
    const recent = authorizer(facts({ last_used_at: '2026-11-24T11:00:00.001Z' }));
    await from(recent);
    expect(recent.calls).toEqual(['getKey']);
    const refused = authorizer(facts({ last_used_at: null, scopes: ['a:b'] }));
    expect(effectOf(await from(refused))).toBe('Deny');
    expect(refused.calls).toEqual(['getKey']);
  });

  it('holds no answer up, however long it takes', async () => {
    const world = authorizer(facts({ last_used_at: null }));
    world.onLastUse(() => new Promise(() => {}));
    expect(effectOf(await from(world))).toBe('Allow');
  });
});

describe('the first use of a key', () => {
  const unused = facts({ first_used_at: null });

  it('is written before the request is allowed', async () => {
    const { ask, calls, dependencies } = authorizer(unused);
    let release: (written: boolean) => void = () => {};
    let allowed = false;
    dependencies.reader.markFirstUse = () => new Promise((resolve) => (release = resolve));
    const answer = ask().then((result) => {
      allowed = true;
      return result;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(allowed).toBe(false);
    release(true);
    expect(effectOf(await answer)).toBe('Allow');
    expect(calls).toEqual(['getKey']);
  });

  it('is written with the digest that was presented', async () => {
    const { ask, calls } = authorizer(unused);
    await ask();
    expect(calls).toEqual(['getKey', `markFirstUse ${id} ${minted.digest} 2026-11-24T12:00:00.000Z`]);
  });

  it('is allowed when another request has just written it', async () => {
    const a = authorizer(unused, facts());
    a.firstUseIsRefused();
    expect(effectOf(await a.ask())).toBe('Allow');
    expect(a.calls.filter((call) => call === 'getKey')).toHaveLength(2);
  });

  it.each([
    ['revoked', facts({ first_used_at: null, revoked_at: '2026-11-24T12:00:00.000Z' })],
    ['given another secret', facts({ first_used_at: null, digest: other.digest })],
    ['deleted', undefined],
  ])('is Unauthorized when the key has just been %s', async (_, after) => {
    const a = authorizer(unused, after);
    a.firstUseIsRefused();
    await expect(a.ask()).rejects.toThrow(/^Unauthorized$/);
  });

  it('is denied when the key has just lost the scope', async () => {
    const a = authorizer(unused, facts({ scopes: ['a:b'] }));
    a.firstUseIsRefused();
    expect(effectOf(await a.ask())).toBe('Deny');
  });

  it('is refused when the write fails without a reason that can be read', async () => {
    const a = authorizer(unused, unused);
    a.firstUseIsRefused();
    await expect(a.ask()).rejects.toThrow('The authorizer could not decide');
  });

  it('is refused when it cannot be written', async () => {
    const a = authorizer(unused);
    a.dependencies.reader.markFirstUse = async () => {
      throw new DynamoDbFailure('ThrottlingException', 'too much', { transient: true });
    };
    await expect(a.ask()).rejects.toThrow('The authorizer could not decide');
  });
});

describe('a table that takes all the time it is given', () => {
  it('holds up no decision for longer than is said, though each first use comes too late', async () => {
    const unused = facts({ first_used_at: null });
    const a = authorizer(unused);
    let clock = NOW;
    a.dependencies.now = () => clock;
    const slow = async <T>(calls: number, answer: T): Promise<T> => {
      clock += calls * LONGEST_CALL_MS;
      return answer;
    };
    a.dependencies.reader.getKey = () => slow(1, unused);
    // The key, its parent, the transaction.
    a.dependencies.reader.markFirstUse = () => slow(3, false);
    await expect(a.ask()).rejects.toThrow('The authorizer could not decide');
    expect(clock - NOW).toBeGreaterThanOrEqual(5 * LONGEST_CALL_MS);
    expect(clock - NOW).toBeLessThan(LONGEST_DECISION_MS);
  });
});

describe('anything unexpected', () => {
  const failures: [string, (a: ReturnType<typeof authorizer>) => void][] = [
    [
      'the key cannot be read',
      (a) => {
        a.dependencies.reader.getKey = async () => {
          throw new DynamoDbFailure('Timeout', 'late');
        };
      },
    ],
    [
      'the routes cannot be read',
      (a) => {
        a.dependencies.readRoutes = async () => {
          throw new DynamoDbFailure('Timeout', 'late');
        };
      },
    ],
    [
      'a value would break a response',
      (a) => {
        a.dependencies.reader.getKey = async () => facts({ owner_id: 'a"b' });
      },
    ],
  ];
  it.each(failures)('is refused and is one line of the log: %s', async (_, breakIt) => {
    const a = authorizer(facts());
    breakIt(a);
    a.dependencies.sampled = () => false;
    await expect(a.ask()).rejects.toThrow(/^The authorizer could not decide$/);
    expect(a.metrics).toEqual([expect.objectContaining({ reason: 'error', requests_refused: 1 })]);
    expect(a.lines).toEqual([
      expect.objectContaining({
        level: 'error',
        event: 'authorizer_failed',
        request_id: 'request-1',
        api_id: API_ID,
      }),
    ]);
  });

  it('does not bring the key into the log', async () => {
    const a = authorizer(new Error(`cannot read ${KEY}`));
    await expect(a.ask()).rejects.toThrow('The authorizer could not decide');
    expect(JSON.stringify(a.lines)).toContain('cannot read [secret]');
    expect(JSON.stringify(a.lines)).not.toContain(KEY.slice(20));
  });

  const base = authorizerEvent({ headers: { 'x-api-key': [KEY] }, routesHash: HASH });
  it.each([
    ['nothing', undefined],
    ['a TOKEN authorizer’s event', { type: 'TOKEN', authorizationToken: KEY, methodArn: base.methodArn }],
    ['an event of an HTTP API', { ...base, httpMethod: undefined, methodArn: undefined }],
    ['no request context', { ...base, requestContext: undefined }],
    ['an ARN of another API', { ...base, methodArn: base.methodArn.replace(API_ID, 'zzzzzzzzzz') }],
    ['a wildcard for the method', { ...base, methodArn: base.methodArn.replace('/GET/', '/*/') }],
    ['an ARN of another method', { ...base, methodArn: base.methodArn.replace('/GET/', '/POST/') }],
    ['another method than the ARN’s', { ...base, httpMethod: 'POST' }],
    [
      'an ARN of another service',
      { ...base, methodArn: `arn:aws:s3:us-east-1:000000000000:${API_ID}/v1/GET/orders` },
    ],
  ])('is refused when the event is %s', async (_, event) => {
    const { dependencies, calls } = authorizer(facts());
    await expect(authorize(event as APIGatewayRequestAuthorizerEvent, dependencies)).rejects.toThrow(
      'The authorizer could not decide',
    );
    expect(calls).toEqual([]);
  });
});

describe('an HTTP API', () => {
  const ask = (
    request: Parameters<typeof httpAuthorizerEvent>[0] = {},
    ...states: (KeyFacts | undefined | Error)[]
  ) =>
    authorize(
      httpAuthorizerEvent({ headers: { 'x-api-key': KEY }, routesHash: HASH, ...request }),
      authorizer(...(states.length > 0 ? states : [facts()])).dependencies,
    );

  it('gets a policy for the very route', async () => {
    expect(await ask()).toMatchObject({
      principalId: id,
      policyDocument: {
        Statement: [
          {
            Effect: 'Allow',
            Resource: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/$default/GET/orders`,
          },
        ],
      },
      context: { key_id: id, scopes: 'orders:read' },
    });
  });

  it.each([
    ['a scope is missing', { route: 'POST /orders', method: 'POST' }],
    ['the route is not declared', { route: 'GET /other' }],
    ['only $default took the request', { route: '$default' }],
    ['ANY was declared and the table has methods', { route: 'ANY /orders' }],
    ['the stage names no routes', { routesHash: 'x' }],
  ])('gets a Deny when %s', async (_, request) => {
    expect(await ask(request)).toMatchObject({ policyDocument: { Statement: [{ Effect: 'Deny' }] } });
  });

  it.each([
    ['comes twice, joined by a comma', { headers: { 'x-api-key': `${KEY},${KEY}` } }],
    ['comes twice, and a blank was put in', { headers: { 'x-api-key': `${KEY}, other` } }],
    [
      'differs in the two headers',
      { headers: { 'x-api-key': KEY, authorization: `Bearer ${other.key.reveal()}` } },
    ],
    ['is missing', { headers: {} }],
    ['is malformed', { headers: { 'x-api-key': 'rk_live_x' } }],
  ])('gets a returned Unauthorized when the key %s', async (_, request) => {
    expect(await ask(request)).toEqual({ errorMessage: 'Unauthorized' });
  });

  it('gets a returned Unauthorized for a revoked key, and an error when the table fails', async () => {
    expect(await ask({}, facts({ revoked_at: '2026-11-24T11:00:00.000Z' }))).toEqual({
      errorMessage: 'Unauthorized',
    });
    await expect(ask({}, new DynamoDbFailure('Timeout', 'no answer'))).rejects.toThrow('could not decide');
  });
});

describe('the $connect of a WebSocket API', () => {
  const routes: RouteScopes = { $connect: ['shipments:read'], track: ['shipments:read'] };
  const ask = (scopes: string[], headers: Record<string, string[]> = { 'x-api-key': [KEY] }) => {
    const { dependencies } = authorizer(facts({ scopes }));
    return authorize(connectEvent({ headers, routesHash: routesHash(routes) }), {
      ...dependencies,
      readRoutes: async () => routes,
    });
  };

  it('gets a policy by the scopes of $connect', async () => {
    expect(await ask(['shipments:*'])).toMatchObject({
      policyDocument: {
        Statement: [
          {
            Effect: 'Allow',
            Resource: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/v1/$connect`,
          },
        ],
      },
    });
    expect(await ask(['orders:read'])).toMatchObject({ policyDocument: { Statement: [{ Effect: 'Deny' }] } });
  });

  it('is refused by the error that it takes for a 401', async () => {
    await expect(ask(['shipments:*'], { 'x-api-key': [KEY, KEY] })).rejects.toThrow(/^Unauthorized$/);
  });
});

describe('refusals', () => {
  it('are counted by reason in the embedded metric format, whatever part of them is logged', async () => {
    const a = authorizer(facts({ revoked_at: '2026-11-24T11:00:00.000Z' }));
    a.dependencies.sampled = () => false;
    for (let i = 0; i < 3; i++) await expect(a.ask()).rejects.toThrow('Unauthorized');
    expect(a.lines).toEqual([]);
    expect(a.metrics).toHaveLength(3);
    expect(a.metrics[0]).toEqual({
      _aws: {
        Timestamp: NOW,
        CloudWatchMetrics: [
          {
            Namespace: 'Rekey',
            Dimensions: [['service'], ['service', 'reason']],
            Metrics: [{ Name: 'requests_refused', Unit: 'Count' }],
          },
        ],
      },
      service: 'Rekey',
      reason: 'revoked',
      requests_refused: 1,
    });
  });

  it('are the only thing that is counted: who is allowed in leaves no line', async () => {
    const a = authorizer(facts());
    await a.ask();
    expect([...a.lines, ...a.metrics]).toEqual([]);
  });
});

describe('an answer that API Gateway keeps', () => {
  const keptEvent = (over: Parameters<typeof authorizerEvent>[0] = {}, header = 'x-api-key') => {
    const event = authorizerEvent({ headers: { 'x-api-key': [KEY] }, routesHash: HASH, ...over });
    Object.assign(event.stageVariables ?? {}, { rekeyCacheHeader: header });
    return event;
  };
  const arn = (rest: string) => `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/v1/${rest}`;

  it('is the whole truth about the key, the same for every route', async () => {
    const { dependencies } = authorizer(facts());
    const first = policyOf(await authorize(keptEvent({ resource: '/orders' }), dependencies));
    const second = policyOf(
      await authorize(keptEvent({ method: 'POST', resource: '/orders' }), dependencies),
    );
    expect(second).toEqual(first);
    expect(first.policyDocument.Statement).toEqual([
      {
        Effect: 'Allow',
        Action: 'execute-api:Invoke',
        Resource: expect.arrayContaining([arn('GET/orders'), arn('GET/orders/*'), arn('GET/whoami')]),
        Condition: { DateLessThan: { 'aws:CurrentTime': '2026-12-24T12:00:00Z' } },
      },
      { Effect: 'Deny', Action: 'execute-api:Invoke', Resource: [arn('GET/orders/*/?*')] },
    ]);
    expect(first.context).toMatchObject({
      key_id: facts().id,
      code: 'insufficient_scope',
      missing_scopes: '',
    });
  });

  it('notes the first use though this request is refused, since the next ones are not seen', async () => {
    const unused = authorizer(facts({ first_used_at: null }));
    await authorize(keptEvent({ method: 'POST', resource: '/orders' }), unused.dependencies);
    expect(unused.calls.join()).toContain('markFirstUse');

    const opensNothing = authorizer(facts({ first_used_at: null, scopes: ['users:read'] }));
    await authorize(
      { ...keptEvent({ resource: '/orders' }), stageVariables: { rekeyCacheHeader: 'x-api-key' } },
      opensNothing.dependencies,
    );
    expect(opensNothing.calls).toEqual(['getKey']);
  });

  it('refuses everything of an API whose routes are not known', async () => {
    const { dependencies } = authorizer(facts({ scopes: ['*:*'] }));
    const event = { ...keptEvent(), stageVariables: { rekeyCacheHeader: 'x-api-key' } };
    const { policyDocument } = policyOf(await authorize(event, dependencies));
    expect(policyDocument.Statement).toEqual([
      { Effect: 'Deny', Action: 'execute-api:Invoke', Resource: [arn('*')] },
    ]);
  });

  it('is given only for the header by which it is kept', async () => {
    const { dependencies, calls } = authorizer(facts());
    await expect(authorize(keptEvent({}, 'authorization'), dependencies)).rejects.toThrow('Unauthorized');
    const bearer = { headers: { authorization: [`Bearer ${KEY}`] } };
    await expect(authorize(keptEvent(bearer), dependencies)).rejects.toThrow('Unauthorized');
    await expect(authorize(keptEvent({}, 'cookie'), dependencies)).rejects.toThrow('Unauthorized');
    expect(calls).toEqual([]);
  });

  it('is none for a key that is revoked or expired', async () => {
    for (const change of [
      { revoked_at: '2026-11-24T11:00:00.000Z' },
      { expires_at: '2026-11-24T12:00:00.000Z' },
    ])
      await expect(authorize(keptEvent(), authorizer(facts(change)).dependencies)).rejects.toThrow(
        'Unauthorized',
      );
  });

  it('is refused where no policy is exact: such an API is not attached with caching', async () => {
    const clashing: RouteScopes = {
      'GET /a/{id}': ['orders:read'],
      'GET /a/{id}/x': ['orders:write'],
      'GET /a/{id}/y/x': ['orders:read'],
    };
    const { dependencies, lines } = authorizer(facts());
    const readRoutes = async () => clashing;
    await expect(authorize(keptEvent(), { ...dependencies, readRoutes })).rejects.toThrow('could not decide');
    expect(lines.at(-1)?.['message']).toContain(
      'no IAM policy refuses GET /a/{id}/x and allows GET /a/{id}/y/x',
    );
  });
});

describe('a key that must not be used', () => {
  const superseded = { rotated_at: '2026-11-20T12:00:00.000Z', expires_at: '2026-11-21T12:00:00.000Z' };
  const told = `tellMisuse ${id} api_key.reuse_detected GET /orders ${API_ID} ${id} null`;
  const elsewhere = { resource: '/orders', path: '/orders' };

  it('is refused as an unknown one, and told with where it was used', async () => {
    const { ask, calls } = authorizer(facts(superseded));
    await expect(ask(elsewhere)).rejects.toThrow(/^Unauthorized$/);
    expect(calls).toEqual(['getKey', told]);
  });

  it('is a trap that opens nothing, whatever its scopes say', async () => {
    for (const first_used_at of [null, '2026-11-20T12:00:00.000Z']) {
      const { ask, calls } = authorizer(facts({ honey: true, scopes: ['*:*'], first_used_at }));
      await expect(ask(elsewhere)).rejects.toThrow(/^Unauthorized$/);
      expect(calls).toEqual(['getKey', told.replace('reuse_detected', 'honey_used')]);
    }
  });

  it('is told nothing of when the secret is wrong, it is revoked, or it was told not long ago', async () => {
    for (const record of [
      facts({ ...superseded, digest: other.digest }),
      facts({ honey: true, digest: other.digest }),
      facts({ ...superseded, revoked_at: '2026-11-21T12:00:00.000Z' }),
      facts({ ...superseded, told_at: new Date(NOW - 60_000).toISOString() }),
    ]) {
      const { ask, calls } = authorizer(record);
      await expect(ask(elsewhere)).rejects.toThrow(/^Unauthorized$/);
      expect(calls).toEqual(['getKey']);
    }
  });

  it('is refused after a second at most, also when nobody can be told', async () => {
    const { ask, tellingTakes, lines, metrics } = authorizer(facts(superseded));
    tellingTakes(() => new Promise(() => undefined));
    const begun = performance.now();
    await expect(ask(elsewhere)).rejects.toThrow(/^Unauthorized$/);
    expect(performance.now() - begun).toBeLessThan(3_000);

    tellingTakes(() => Promise.reject(new TypeError('no table')));
    await expect(ask(elsewhere)).rejects.toThrow(/^Unauthorized$/);
    expect(lines.at(-1)).toMatchObject({ event: 'misuse_not_told', key_id: id, error: 'TypeError' });
    expect(metrics.map(({ reason }) => reason)).toEqual(['expired', 'expired']);
  });
});
