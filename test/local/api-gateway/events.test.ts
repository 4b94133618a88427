import { afterEach, describe, expect, it } from '@jest/globals';
import { API, policy, serveOrders } from './orders-api.ts';

let api: Awaited<ReturnType<typeof serveOrders>>;
afterEach(() => api.close());

const serve = async (options: Parameters<typeof serveOrders>[0] = {}) => {
  api = await serveOrders(
    {
      routes: { 'ANY /orders': 'orders', 'ANY /orders/{id}': 'orders', 'ANY /files/{proxy+}': 'orders' },
      ...options,
    },
    {
      orders: () => ({ statusCode: 200 }),
      authorizer: (event) => ({
        principalId: 'p',
        policyDocument: policy(event),
        context: { n: 1, yes: true, s: 'x' },
      }),
    },
  );
};

describe('the event of an integration', () => {
  it('is payload format 1.0, field by field', async () => {
    await serve({ stage: { Variables: { rekeyRoutes: 'abc' } } });
    await api.send(
      `POST /v1/orders/42?a=1&a=2&b HTTP/1.1\r\nHost: example.test\r\nUser-Agent: curl/8\r\nContent-Type: text/plain\r\nX-Two: one\r\nX-Two: two\r\nContent-Length: 5\r\n\r\nhello`,
    );
    const trace = expect.stringMatching(/^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$/);
    expect(api.event()).toEqual({
      resource: '/orders/{id}',
      path: '/orders/42',
      httpMethod: 'POST',
      headers: {
        Host: 'example.test',
        'User-Agent': 'curl/8',
        'Content-Type': 'text/plain',
        'X-Two': 'two',
        'X-Amzn-Trace-Id': trace,
        'X-Forwarded-For': '127.0.0.1',
        'X-Forwarded-Port': String(api.port),
        'X-Forwarded-Proto': 'http',
      },
      multiValueHeaders: {
        Host: ['example.test'],
        'User-Agent': ['curl/8'],
        'Content-Type': ['text/plain'],
        'X-Two': ['one', 'two'],
        'X-Amzn-Trace-Id': [trace],
        'X-Forwarded-For': ['127.0.0.1'],
        'X-Forwarded-Port': [String(api.port)],
        'X-Forwarded-Proto': ['http'],
      },
      queryStringParameters: { a: '2', b: '' },
      multiValueQueryStringParameters: { a: ['1', '2'], b: [''] },
      pathParameters: { id: '42' },
      stageVariables: { rekeyRoutes: 'abc' },
      requestContext: {
        accountId: '000000000000',
        apiId: API,
        deploymentId: 'deployment',
        domainName: `${API}.execute-api.us-east-1.amazonaws.com`,
        domainPrefix: API,
        extendedRequestId: expect.stringMatching(/^[\w-]{15}=$/),
        httpMethod: 'POST',
        identity: {
          accessKey: null,
          accountId: null,
          caller: null,
          cognitoAuthenticationProvider: null,
          cognitoAuthenticationType: null,
          cognitoIdentityId: null,
          cognitoIdentityPoolId: null,
          principalOrgId: null,
          sourceIp: '127.0.0.1',
          user: null,
          userAgent: 'curl/8',
          userArn: null,
        },
        path: '/v1/orders/42',
        protocol: 'HTTP/1.1',
        requestId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
        requestTime: '24/Nov/2026:03:36:50 +0000',
        requestTimeEpoch: Date.UTC(2026, 10, 24, 3, 36, 50, 7),
        resourceId: 'Resource/orders/{id}',
        resourcePath: '/orders/{id}',
        stage: 'v1',
      },
      body: 'hello',
      isBase64Encoded: false,
    });
  });
  it('has null where there are no parameters, no variables and no body', async () => {
    await serve();
    await api.get('/orders');
    expect(api.event()).toMatchObject({
      queryStringParameters: null,
      multiValueQueryStringParameters: null,
      pathParameters: null,
      stageVariables: null,
      body: null,
    });
  });
  it('has path and path parameters as sent, and query parameters decoded like a form', async () => {
    await serve();
    await api.send(
      'GET /v1/files/a%2Fb/c//d+e/?q=a%2Bb+c&u=%C3%A4&x;y=2&=e&%zz=%ff&__proto__=z HTTP/1.1\r\nHost: h\r\n\r\n',
    );
    const { path, pathParameters, queryStringParameters } = api.event();
    expect([path, pathParameters]).toEqual(['/files/a%2Fb/c//d+e/', { proxy: 'a%2Fb/c//d+e' }]);
    expect(Object.entries(queryStringParameters!)).toEqual(
      expect.arrayContaining([
        ['q', 'a+b c'],
        ['u', 'ä'],
        ['x', ''],
        ['y', '2'],
        ['', 'e'],
        ['%zz', '\u{FFFD}'],
        ['__proto__', 'z'],
      ]),
    );
  });
  it('tells the path of the context with the slashes after the stage, the path of the event without', async () => {
    await serve();
    await api.send('GET //v1//orders HTTP/1.1\r\nHost: h\r\n\r\n');
    const { path, requestContext } = api.event();
    expect([path, requestContext.path]).toEqual(['/orders', '/v1//orders']);
  });
  it('goes on with the trace of the caller, and its X-Forwarded-For', async () => {
    await serve();
    const root = `1-5759e988-${'a'.repeat(24)}`;
    const response = await api.get('/orders', {
      headers: { 'x-amzn-trace-id': `Root=${root};Sampled=1`, 'x-forwarded-for': '10.0.0.1' },
    });
    expect(api.event().headers).toMatchObject({
      'X-Amzn-Trace-Id': `Root=${root}`,
      'X-Forwarded-For': '10.0.0.1, 127.0.0.1',
    });
    expect(response.headers.get('x-amzn-trace-id')).toContain(`Root=${root};`);
  });
  it('lacks the headers that API Gateway drops on the way to a function', async () => {
    await serve();
    await api.send(
      'POST /v1/orders HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-MD5: x\r\nMax-Forwards: 1\r\nProxy-Authenticate: x\r\nServer: x\r\nTE: trailers\r\nWWW-Authenticate: x\r\nContent-Length: 2\r\nVia: kept\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x\r\n\r\nhi',
    );
    expect(Object.keys(api.event().headers)).toEqual([
      'Host',
      'Via',
      'X-Amzn-Trace-Id',
      'X-Forwarded-For',
      'X-Forwarded-Port',
      'X-Forwarded-Proto',
    ]);
  });
  it('has the authorizer’s context as text, its principalId and its latency as a number', async () => {
    await serve({ authorizer: {} });
    await api.get('/orders');
    expect(api.event().requestContext.authorizer).toEqual({
      n: '1',
      yes: 'true',
      s: 'x',
      principalId: 'p',
      integrationLatency: expect.any(Number),
    });
  });
});

describe('the event of a REQUEST authorizer', () => {
  it('has type and methodArn, empty maps instead of null, and neither body nor authorizer', async () => {
    await serve({ authorizer: {} });
    await api.get('/orders', { method: 'POST', body: 'secret' });
    const event = api.event('authorizer');
    expect(Object.keys(event).sort()).toEqual([
      'headers',
      'httpMethod',
      'methodArn',
      'multiValueHeaders',
      'multiValueQueryStringParameters',
      'path',
      'pathParameters',
      'queryStringParameters',
      'requestContext',
      'resource',
      'stageVariables',
      'type',
    ]);
    expect(event).toMatchObject({
      type: 'REQUEST',
      methodArn: `arn:aws:execute-api:us-east-1:000000000000:${API}/v1/POST/orders`,
      resource: '/orders',
    });
    const { pathParameters, queryStringParameters, multiValueQueryStringParameters, stageVariables } = event;
    expect([pathParameters, queryStringParameters, multiValueQueryStringParameters, stageVariables]).toEqual([
      {},
      {},
      {},
      {},
    ]);
    expect(event.requestContext).not.toHaveProperty('authorizer');
  });
  it('names the method and path of the request in the ARN, not those of the route', async () => {
    await serve({ authorizer: {}, routes: { 'ANY /orders/{id}': 'orders' } });
    await api.get('/orders/4%2F2/', { method: 'PATCH' });
    expect(api.event('authorizer').methodArn).toMatch(/\/v1\/PATCH\/orders\/4%2F2\/$/);
    expect(api.event('authorizer').resource).toBe('/orders/{id}');
  });
});
