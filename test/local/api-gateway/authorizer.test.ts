import { afterEach, describe, expect, it } from '@jest/globals';
import { API, type ApiOptions, type Event, failure, functionArn, policy, serveOrders } from './orders-api.ts';

let api: Awaited<ReturnType<typeof serveOrders>>;
afterEach(() => api.close());

const allow = (event: Event) => ({
  principalId: 'p',
  policyDocument: policy(event),
  context: { key_id: 'key_1' },
});
const calls = () => api.events.filter(({ name }) => name === 'authorizer').length;
const invoked = () => api.events.some(({ name }) => name === 'orders');

async function serve(
  answer: (event: Event) => unknown,
  authorizer: Record<string, unknown> = {},
  options: ApiOptions = {},
  more: Parameters<typeof serveOrders>[2] = {},
) {
  api = await serveOrders(
    { routes: { 'ANY /orders': 'orders', 'GET /orders/{id}': 'orders' }, authorizer, ...options },
    { authorizer: answer, orders: () => ({ statusCode: 200, body: 'orders' }) },
    more,
  );
}

const told = async (path = '/orders', init?: RequestInit) => {
  const response = await api.get(path, init);
  return [response.status, response.headers.get('x-amzn-errortype'), await response.text()];
};
const nothing = [500, 'AuthorizerConfigurationException', '{"message":null}'];

describe('an authorizer without a cache', () => {
  it('lets a request pass that its policy allows', async () => {
    await serve(allow);
    expect(await told()).toEqual([200, null, 'orders']);
  });
  it('is asked every time, and without its identity sources too', async () => {
    await serve(allow, { IdentitySource: 'method.request.header.Authorization' });
    await told();
    await told();
    expect(calls()).toBe(2);
  });
  it('refuses with 401 when it fails with exactly Unauthorized, or answers that', async () => {
    await serve(() => failure('Unauthorized'));
    expect(await told()).toEqual([401, 'UnauthorizedException', '{"message":"Unauthorized"}']);
    await api.close();
    await serve(() => ({ errorMessage: 'Unauthorized' }));
    expect(await told()).toEqual([401, 'UnauthorizedException', '{"message":"Unauthorized"}']);
  });
  it.each(['unauthorized', 'Unauthorized.', 'Error: Unauthorized', ''])(
    'answers 500 when it fails with "%s"',
    async (text) => {
      await serve(() => failure(text));
      expect(await told()).toEqual([500, 'AuthorizerFailureException', '{"message":null}']);
      expect(invoked()).toBe(false);
    },
  );
  it('answers 500 when it can’t be invoked at all', async () => {
    await serve(() => {
      throw new Error('connection refused');
    });
    expect(await told()).toEqual([500, 'AuthorizerFailureException', '{"message":null}']);
  });
  it.each<[string, (event: Event) => unknown]>([
    ['nothing', () => null],
    ['a text', () => 'Allow'],
    ['a list', () => []],
    ['a boolean of HTTP APIs', () => ({ isAuthorized: true })],
    ['no principalId', (event) => ({ policyDocument: policy(event) })],
    ['an empty principalId', (event) => ({ principalId: '', policyDocument: policy(event) })],
    ['a principalId that is a number', (event) => ({ principalId: 1, policyDocument: policy(event) })],
    ['no policy', () => ({ principalId: 'p' })],
    ['a policy without statements', () => ({ principalId: 'p', policyDocument: { Statement: [] } })],
    [
      'a statement with another effect',
      (event) => ({ principalId: 'p', policyDocument: policy(event, 'allow' as 'Allow') }),
    ],
    [
      'a statement without a resource',
      () => ({ principalId: 'p', policyDocument: { Statement: [{ Effect: 'Allow', Action: '*' }] } }),
    ],
    [
      'a resource of 513 characters',
      (event) => ({ principalId: 'p', policyDocument: policy(event, 'Allow', '*'.repeat(513)) }),
    ],
    ['a list in the context', (event) => ({ ...allow(event), context: { scopes: ['a:b'] } })],
    ['an object in the context', (event) => ({ ...allow(event), context: { a: {} } })],
    ['null in the context', (event) => ({ ...allow(event), context: { a: null } })],
    ['a context that is no object', (event) => ({ ...allow(event), context: 'a' })],
  ])('answers 500 when it says %s', async (_, answer) => {
    await serve(answer);
    expect(await told()).toEqual(nothing);
    expect(invoked()).toBe(false);
  });
  it('answers 500 when API Gateway may not invoke it, and does not invoke it', async () => {
    const asked: string[][] = [];
    await serve(allow, {}, {}, { mayInvoke: (...question) => asked.push(question) === 0 });
    expect(await told()).toEqual(nothing);
    expect(asked).toEqual([
      [functionArn('authorizer'), `arn:aws:execute-api:us-east-1:000000000000:${API}/authorizers/auth`],
    ]);
    expect(api.events).toEqual([]);
  });
});

describe('the policy', () => {
  const explicit = 'with an explicit deny in an identity-based policy';
  const implicit = 'because no identity-based policy allows the execute-api:Invoke action';
  const denied = (reason: string) => [
    403,
    'AccessDeniedException',
    `{"Message":"User is not authorized to access this resource ${reason}"}`,
  ];
  const base = `arn:aws:execute-api:us-east-1:000000000000:${API}`;

  it('that denies refuses with 403', async () => {
    await serve((event) => ({ principalId: 'p', policyDocument: policy(event, 'Deny') }));
    expect(await told()).toEqual(denied(explicit));
    expect(invoked()).toBe(false);
  });
  it('that denies wins over one that allows', async () => {
    await serve((event) => ({
      principalId: 'p',
      policyDocument: {
        Version: '2012-10-17',
        Statement: [...policy(event).Statement, ...policy(event, 'Deny').Statement],
      },
    }));
    expect(await told()).toEqual(denied(explicit));
  });
  it.each([
    ['another method', `${base}/v1/POST/orders`],
    ['another path', `${base}/v1/GET/order`],
    ['another stage', `${base}/v2/GET/orders`],
    ['another API', 'arn:aws:execute-api:us-east-1:000000000000:zzzzzzzzzz/v1/GET/orders'],
  ])('for %s allows nothing here', async (_, resource) => {
    await serve((event) => ({ principalId: 'p', policyDocument: policy(event, 'Allow', resource) }));
    expect(await told()).toEqual(denied(implicit));
    expect(invoked()).toBe(false);
  });
  it('for another action allows nothing', async () => {
    await serve((event) => ({
      principalId: 'p',
      policyDocument: {
        Version: '2012-10-17',
        Statement: { Effect: 'Allow', Action: 'execute-api:ManageConnections', Resource: event.methodArn },
      },
    }));
    expect(await told()).toEqual(denied(implicit));
  });
  it('may have wildcards, which cross slashes', async () => {
    await serve((event) => ({ principalId: 'p', policyDocument: policy(event, 'Allow', `${base}/*/GET/*`) }));
    expect((await told('/orders/42'))[0]).toBe(200);
    expect((await told('/orders', { method: 'POST' }))[0]).toBe(403);
  });
  it('leaves the context in place for the gateway response, though it denies', async () => {
    await serve(
      (event) => ({
        principalId: 'p',
        policyDocument: policy(event, 'Deny'),
        context: { code: 'insufficient_scope', n: 7 },
      }),
      {},
      {
        gatewayResponses: {
          ACCESS_DENIED: {
            ResponseTemplates: {
              'application/json':
                '$context.authorizer.code $context.authorizer.n $context.authorizer.principalId|$context.authorizer.other|',
            },
          },
        },
      },
    );
    expect((await told())[2]).toBe('insufficient_scope 7 p||');
  });
  it('that can’t be evaluated is a fault, not a permission', async () => {
    await serve(allow, {}, {}, { evaluate: () => Promise.reject(new Error('no')) });
    expect(await told()).toEqual(nothing);
  });
});

describe('an authorizer with a cache', () => {
  const cached = { AuthorizerResultTtlInSeconds: 300, IdentitySource: 'method.request.header.X-Api-Key' };
  const key = (value: string) => ({ headers: { 'x-api-key': value } });

  it('is asked once for the same identity, until its time is over by the stack’s clock', async () => {
    let now = 1_000_000;
    await serve(allow, cached, {}, { now: () => now });
    await told('/orders', key('a'));
    now += 299_999;
    expect((await told('/orders', key('a')))[0]).toBe(200);
    expect(calls()).toBe(1);
    now += 1;
    await told('/orders', key('a'));
    expect(calls()).toBe(2);
  });
  it('is asked again for another identity, and for two values of the header', async () => {
    await serve(allow, cached);
    await told('/orders', key('a'));
    await told('/orders', key('b'));
    await api.send('GET /v1/orders HTTP/1.1\r\nHost: h\r\nx-api-key: b\r\nX-Api-Key: a\r\n\r\n');
    expect(calls()).toBe(3);
  });
  it('is not asked without an identity source: that is a 401', async () => {
    await serve(allow, {
      ...cached,
      IdentitySource: 'method.request.header.X-Api-Key, method.request.querystring.q',
    });
    for (const [path, init] of [
      ['/orders', key('a')],
      ['/orders?q=1', {}],
      ['/orders?q=', key('a')],
      ['/orders?q=1', key('')],
    ] as const) {
      expect((await told(path, init))[0]).toBe(401);
    }
    expect(calls()).toBe(0);
    expect((await told('/orders?q=1', key('a')))[0]).toBe(200);
  });
  it('keeps the policy, which is asked about each method anew', async () => {
    await serve(allow, cached);
    expect((await told('/orders', key('a')))[0]).toBe(200);
    expect((await told('/orders/42', key('a')))[0]).toBe(403);
    expect(calls()).toBe(1);
  });
  it('keeps a refusal too', async () => {
    let effect: 'Allow' | 'Deny' = 'Deny';
    await serve((event) => ({ principalId: 'p', policyDocument: policy(event, effect) }), cached);
    expect((await told('/orders', key('a')))[0]).toBe(403);
    effect = 'Allow';
    expect((await told('/orders', key('a')))[0]).toBe(403);
    expect(calls()).toBe(1);
  });
  it('keeps no error and no 401', async () => {
    let answer: (event: Event) => unknown = () => failure('Unauthorized');
    await serve((event) => answer(event), cached);
    expect((await told('/orders', key('a')))[0]).toBe(401);
    answer = () => failure('broken');
    expect((await told('/orders', key('a')))[0]).toBe(500);
    answer = allow;
    expect((await told('/orders', key('a')))[0]).toBe(200);
    expect(calls()).toBe(3);
  });
  it('can have stage variables and context in its key', async () => {
    await serve(
      (event) => ({ ...allow(event), policyDocument: policy(event, 'Allow', '*') }),
      {
        ...cached,
        IdentitySource: 'method.request.header.X-Api-Key,context.httpMethod,context.path,stageVariables.v',
      },
      { stage: { Variables: { v: '1' } } },
    );
    await told('/orders', key('a'));
    await told('/orders', key('a'));
    await told('/orders/42', key('a'));
    await told('/orders', { method: 'POST', ...key('a') });
    expect(calls()).toBe(3);
  });
});

describe('a method ARN', () => {
  it('of more than 1,600 bytes is too long for an authorizer', async () => {
    await serve(allow);
    expect(await told(`/orders/${'a'.repeat(1_600)}`)).toEqual([
      414,
      'RequestURITooLongException',
      '{"message":"Request URI too long"}',
    ]);
    expect(calls()).toBe(0);
  });
});
