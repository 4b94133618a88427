import { afterEach, describe, expect, it } from '@jest/globals';
import { describeApis } from '../../../local/api-gateway-v2/index.ts';
import { failure } from '../api-gateway/orders-api.ts';
import { ARN, allow, deny, type Event, serveShipments, shipmentsApi } from './shipments-api.ts';

let api: Awaited<ReturnType<typeof serveShipments>>;
afterEach(() => api?.close());

const ok = () => ({ statusCode: 200, body: 'done' });
const withKey = (key: string, more: RequestInit = {}) => ({ ...more, headers: { 'x-api-key': key } });

describe('routes of an HTTP API', () => {
  const routes = {
    'GET /shipments': 'list',
    'GET /shipments/{id}': 'get',
    'GET /shipments/next': 'next',
    'ANY /shipments/next': 'any',
    'GET /files/{path+}': 'files',
  };
  const functions = Object.fromEntries(
    ['list', 'get', 'next', 'any', 'files', 'rest'].map((name) => [
      name,
      () => ({ statusCode: 200, body: name }),
    ]),
  );
  const answerTo = async (path: string, method = 'GET') => {
    const response = await api.get(path, { method });
    return response.status === 200 ? response.text() : [response.status, await response.text()];
  };

  it('are picked by how exactly they match, and nothing else is there', async () => {
    api = await serveShipments({ routes }, functions);
    expect(await answerTo('/shipments')).toBe('list');
    expect(await answerTo('/shipments/1')).toBe('get');
    expect(await answerTo('/shipments/next')).toBe('next');
    expect(await answerTo('/shipments/next', 'PUT')).toBe('any');
    expect(await answerTo('/files/a/b')).toBe('files');
    expect(api.event('files').pathParameters).toEqual({ path: 'a/b' });
    const notFound = [404, '{"message":"Not Found"}'];
    for (const path of [
      '/',
      '/files',
      '/Shipments',
      '/shipments/',
      '//shipments',
      '/shipments//',
      '/ship%6Dents',
    ])
      expect([path, await answerTo(path)]).toEqual([path, notFound]);
    expect(await answerTo('/shipments', 'POST')).toEqual(notFound);
    expect(await answerTo('/shipments', 'HEAD')).toEqual([404, '']);
  });

  it('leave the rest to $default', async () => {
    api = await serveShipments({ routes: { ...routes, $default: 'rest' } }, functions);
    expect(await answerTo('/shipments', 'POST')).toBe('rest');
    expect(await answerTo('/other/')).toBe('rest');
    expect(api.event('rest')).toMatchObject({ routeKey: '$default', rawPath: '/other/' });
  });

  it('are behind the stage, where it has a name', async () => {
    api = await serveShipments(
      { routes, stages: [{ StageName: 'v2', StageVariables: { a: 'b' } }] },
      functions,
    );
    expect(await answerTo('/shipments')).toBe('list');
    expect(api.event('list')).toMatchObject({
      rawPath: '/v2/shipments',
      stageVariables: { a: 'b' },
      requestContext: { stage: 'v2', http: { path: '/v2/shipments' } },
    });
    expect((await fetch(`http://127.0.0.1:${api.port}/shipments`)).status).toBe(404);
  });
});

describe('the event of payload 2.0', () => {
  it('has names in lower case, and joins what came twice', async () => {
    api = await serveShipments({ routes: { 'POST /shipments': 'shipments' } }, { shipments: ok });
    await api.send(
      'POST /shipments?a=1&a=2&b=%20x HTTP/1.1\r\nHost: h\r\nX-Api-Key: one\r\nx-api-key: two\r\nCookie: c=1; d=2\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    );
    expect(api.event()).toMatchObject({
      version: '2.0',
      routeKey: 'POST /shipments',
      rawQueryString: 'a=1&a=2&b=%20x',
      cookies: ['c=1', 'd=2'],
      headers: { 'x-api-key': 'one,two', host: 'h' },
      queryStringParameters: { a: '1,2', b: ' x' },
      requestContext: {
        http: { method: 'POST', path: '/shipments', protocol: 'HTTP/1.1' },
        stage: '$default',
      },
      body: '{}',
      isBase64Encoded: false,
    });
    expect(api.event()).not.toHaveProperty('multiValueHeaders');
    expect(api.event().headers).not.toHaveProperty('cookie');
  });

  it('has bytes as base64', async () => {
    api = await serveShipments({ routes: { 'POST /shipments': 'shipments' } }, { shipments: ok });
    const headers = { 'content-type': 'application/octet-stream' };
    await api.get('/shipments', { method: 'POST', body: Buffer.from([0, 255]), headers });
    expect(api.event()).toMatchObject({ body: 'AP8=', isBase64Encoded: true });
  });
});

describe('the answer of a function', () => {
  it.each([
    ['an object without statusCode', { a: 1 }, 200, '{"a":1}', 'application/json'],
    ['a text', 'hello', 200, 'hello', 'application/json'],
    ['a text for statusCode', { statusCode: '201', body: 'x' }, 201, 'x', 'text/plain;charset=utf-8'],
    [
      'base64',
      { statusCode: 200, body: 'aGk=', isBase64Encoded: true },
      200,
      'hi',
      'text/plain;charset=utf-8',
    ],
    ['nonsense', { statusCode: 'yes' }, 500, '{"message":"Internal Server Error"}', 'application/json'],
    [
      'a list for headers',
      { statusCode: 200, headers: ['a'] },
      500,
      '{"message":"Internal Server Error"}',
      'application/json',
    ],
    [
      'a broken header',
      { statusCode: 200, headers: { a: 'b\r\nc: d' } },
      500,
      '{"message":"Internal Server Error"}',
      'application/json',
    ],
    ['an error', failure('boom'), 500, '{"message":"Internal Server Error"}', 'application/json'],
  ])('that is %s', async (_, result, status, body, type) => {
    api = await serveShipments({}, { shipments: () => result });
    const response = await api.get('/shipments');
    expect([response.status, await response.text(), response.headers.get('content-type')]).toEqual([
      status,
      body,
      type,
    ]);
    expect(response.headers.get('apigw-requestid')).toMatch(/^[\w-]{15}=$/);
  });

  it('sets cookies, each in a header of its own', async () => {
    const answer = { statusCode: 200, cookies: ['a=1', 'b=2'], headers: { 'www-authenticate': 'Bearer' } };
    api = await serveShipments({}, { shipments: () => answer });
    const response = await api.get('/shipments');
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });

  it('that takes too long is a 503', async () => {
    api = await serveShipments(
      { integration: { TimeoutInMillis: 50 } },
      { shipments: () => new Promise(() => {}) },
    );
    const response = await api.get('/shipments');
    expect([response.status, await response.text()]).toEqual([503, '{"message":"Service Unavailable"}']);
  });
});

describe('the authorizer of an HTTP API', () => {
  const authorizer = {};

  it('gets payload 2.0, and its context reaches the function under lambda', async () => {
    api = await serveShipments({ authorizer }, { authorizer: (event) => allow(event), shipments: ok });
    expect((await api.get('/shipments?x=1', withKey('k'))).status).toBe(200);
    expect(api.event('authorizer')).toMatchObject({
      version: '2.0',
      type: 'REQUEST',
      routeArn: `${ARN}/$default/GET/shipments`,
      identitySource: null,
      routeKey: 'GET /shipments',
      headers: { 'x-api-key': 'k' },
      queryStringParameters: { x: '1' },
    });
    expect(api.event('authorizer')).not.toHaveProperty('body');
    expect(api.event().requestContext.authorizer).toEqual({
      lambda: { key_id: 'key_1', scopes: 'shipments:read' },
    });
  });

  it.each([
    ['denies', deny, 403, 'Forbidden'],
    ['allows another route', (event: Event) => allow(event, `${ARN}/$default/GET/other`), 403, 'Forbidden'],
    ['returns Unauthorized', () => ({ errorMessage: 'Unauthorized' }), 401, 'Unauthorized'],
    ['throws Unauthorized', () => failure('Unauthorized'), 500, 'Internal Server Error'],
    ['fails', () => failure('boom'), 500, 'Internal Server Error'],
    ['gives a simple response', () => ({ isAuthorized: true }), 500, 'Internal Server Error'],
    ['gives nothing', () => null, 500, 'Internal Server Error'],
  ])('that %s', async (_, decide, status, message) => {
    api = await serveShipments({ authorizer }, { authorizer: decide as never, shipments: ok });
    const response = await api.get('/shipments');
    expect([response.status, await response.json()]).toEqual([status, { message }]);
    expect(api.event()).toBeUndefined();
  });

  it('is not asked when an identity source is missing, also without a cache', async () => {
    api = await serveShipments(
      { authorizer: { IdentitySource: ['$request.header.X-Api-Key', '$request.querystring.q'] } },
      { authorizer: (event) => allow(event), shipments: ok },
    );
    for (const path of ['/shipments', '/shipments?q=']) {
      const response = await api.get(path, withKey('k'));
      expect([response.status, await response.json()]).toEqual([401, { message: 'Unauthorized' }]);
    }
    expect(api.asked()).toBe(0);
    expect((await api.get('/shipments?q=1', withKey('k'))).status).toBe(200);
    expect(api.event('authorizer').identitySource).toEqual(['k', '1']);
  });

  it('may be invoked only by permission', async () => {
    api = await serveShipments(
      { authorizer },
      { authorizer: (event) => allow(event), shipments: ok },
      { mayInvoke: (_, source) => !source.includes('/authorizers/') },
    );
    expect((await api.get('/shipments')).status).toBe(500);
    expect(api.events).toEqual([]);
  });
});

describe('what an authorizer said, kept', () => {
  const cached = {
    routes: {
      'GET /shipments': 'shipments',
      'POST /shipments': 'shipments',
      'GET /shipments/{id}': 'shipments',
    },
    authorizer: { AuthorizerResultTtlInSeconds: 300, IdentitySource: ['$request.header.x-api-key'] },
  };
  const reader = { shipments: ok, authorizer: (event: Event) => allow(event, `${ARN}/$default/GET/*`) };

  it('is asked again about every other route, and not the function', async () => {
    api = await serveShipments(cached, reader);
    expect((await api.get('/shipments', withKey('k'))).status).toBe(200);
    expect((await api.get('/shipments/1', withKey('k'))).status).toBe(200);
    expect((await api.get('/shipments', withKey('k', { method: 'POST' }))).status).toBe(403);
    expect(api.asked()).toBe(1);
    expect((await api.get('/shipments', withKey('other'))).status).toBe(200);
    expect(api.asked()).toBe(2);
    expect(api.event().requestContext.authorizer.lambda.key_id).toBe('key_1');
  });

  it('ends with the TTL, by the stack’s clock', async () => {
    api = await serveShipments(cached, reader);
    await api.get('/shipments', withKey('k'));
    api.clock.now += 299_999;
    await api.get('/shipments', withKey('k'));
    expect(api.asked()).toBe(1);
    api.clock.now += 1;
    await api.get('/shipments', withKey('k'));
    expect(api.asked()).toBe(2);
  });

  it('is a refusal too, but never an error', async () => {
    let calls = 0;
    const decide = (event: Event) => {
      calls += 1;
      return calls === 1 ? failure('boom') : calls === 2 ? { errorMessage: 'Unauthorized' } : deny(event);
    };
    api = await serveShipments(cached, { ...reader, authorizer: decide });
    const statuses = [];
    for (let time = 0; time < 4; time += 1) statuses.push((await api.get('/shipments', withKey('k'))).status);
    expect(statuses).toEqual([500, 401, 403, 403]);
    expect(calls).toBe(3);
  });

  it('is forgotten when the stage is flushed, and only that one', async () => {
    api = await serveShipments(
      { ...cached, stages: [{ StageName: '$default' }, { StageName: 'two' }] },
      {
        ...reader,
        authorizer: (event) => allow(event, `${ARN}/*`),
      },
    );
    await api.get('/shipments', withKey('k'));
    await api.get('/two/shipments', withKey('k'));
    expect(api.asked()).toBe(2);
    expect(api.flushAuthorizers('$default')).toBe(true);
    expect(api.flushAuthorizers('three')).toBe(false);
    await api.get('/two/shipments', withKey('k'));
    expect(api.asked()).toBe(2);
    await api.get('/shipments', withKey('k'));
    expect(api.asked()).toBe(3);
  });

  it('never meets another header of the same request', async () => {
    api = await serveShipments(cached, reader);
    await api.get('/shipments', withKey('k'));
    const answer = await api.send(
      'GET /shipments HTTP/1.1\r\nHost: h\r\nx-api-key: k\r\nx-api-key: other\r\nConnection: close\r\n\r\n',
    );
    expect(answer).toContain('200 OK');
    expect(api.asked()).toBe(2);
    expect(api.event('authorizer').headers['x-api-key']).toBe('k,other');
  });
});

describe('a template that has what is not known', () => {
  const refusal = (options: Parameters<typeof shipmentsApi>[0]) => () =>
    describeApis({ resources: shipmentsApi(options) } as never);
  it.each([
    ['simple responses', { authorizer: { EnableSimpleResponses: true } }, 'EnableSimpleResponses'],
    [
      'payload 1.0',
      { authorizer: { AuthorizerPayloadFormatVersion: '1.0' } },
      'AuthorizerPayloadFormatVersion',
    ],
    ['a cache without a source', { authorizer: { AuthorizerResultTtlInSeconds: 1 } }, 'IdentitySource'],
    ['a JWT authorizer', { authorizer: { AuthorizerType: 'JWT' } }, 'AuthorizerType'],
    ['an IAM route', { route: { AuthorizationType: 'AWS_IAM' } }, 'AuthorizationType AWS_IAM'],
    ['a route key', { routes: { 'LIST /x': 'x' } }, 'RouteKey LIST /x'],
    ['an unknown property', { route: { ModelSelectionExpression: 'x' } }, 'ModelSelectionExpression'],
  ])('is refused: %s', (_, options, message) => {
    expect(refusal(options)).toThrow(message);
  });
});
