import { afterEach, describe, expect, it } from '@jest/globals';
import { API, type ApiOptions, failure, functionArn, serveOrders } from './orders-api.ts';

let api: Awaited<ReturnType<typeof serveOrders>>;
afterEach(() => api.close());

async function answer(
  orders: () => unknown,
  options: ApiOptions = {},
  more: Parameters<typeof serveOrders>[2] = {},
) {
  api = await serveOrders(options, { orders }, more);
  return api.get('/orders');
}
const broken = '{"message":"Internal server error"}';

describe('a function’s answer', () => {
  it('becomes the response, with API Gateway’s own headers', async () => {
    const response = await answer(() => ({ statusCode: 201, headers: { 'X-Mine': 'a' }, body: 'ä' }));
    expect([response.status, await response.text()]).toEqual([201, 'ä']);
    expect(Object.fromEntries(response.headers)).toEqual({
      'content-length': '2',
      'content-type': 'application/json',
      connection: 'keep-alive',
      date: expect.any(String),
      'keep-alive': expect.any(String),
      'x-amz-apigw-id': api.event().requestContext.extendedRequestId,
      'x-amzn-requestid': api.event().requestContext.requestId,
      'x-amzn-trace-id': expect.stringMatching(/^Root=1-\w{8}-\w{24};Parent=\w{16};Sampled=0$/),
      'x-mine': 'a',
    });
  });
  it('may lack all but one of its fields', async () => {
    expect((await answer(() => ({ headers: { a: 'b' } }))).status).toBe(200);
    await api.close();
    expect((await answer(() => ({ statusCode: '201', headers: null, body: null }))).status).toBe(201);
  });
  it('may have a header more than once, and has both kinds of headers in one list', async () => {
    const response = await answer(() => ({
      headers: { 'X-Multi': 'solo', 'x-true': true, 'X-Same': 'a' },
      multiValueHeaders: { 'x-multi': ['one', 'two'], 'x-same': ['a'], 'Set-Cookie': ['a=1', 'b=2'] },
    }));
    expect(response.headers.get('x-multi')).toBe('one, two, solo');
    expect(response.headers.get('x-same')).toBe('a');
    expect(response.headers.get('x-true')).toBe('true');
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  });
  it('keeps the content type it names', async () => {
    const response = await answer(() => ({ headers: { 'content-type': 'application/problem+json' } }));
    expect(response.headers.get('content-type')).toBe('application/problem+json');
  });
  it('in base64 goes out as it is, since no media type is binary', async () => {
    const response = await answer(() => ({ statusCode: 200, body: 'dGVzdA==', isBase64Encoded: true }));
    expect(await response.text()).toBe('dGVzdA==');
  });
  it('loses the headers that API Gateway renames, WWW-Authenticate among them', async () => {
    const names = [
      'WWW-Authenticate',
      'Server',
      'Date',
      'Authorization',
      'User-Agent',
      'Content-MD5',
      'x-amzn-RequestId',
    ];
    const response = await answer(() => ({
      headers: Object.fromEntries(names.map((name) => [name, 'mine'])),
    }));
    for (const name of names) {
      expect(response.headers.get(`x-amzn-remapped-${name}`)).toBe('mine');
      expect(response.headers.get(name)).not.toBe('mine');
    }
  });
  it('loses the headers that API Gateway drops', async () => {
    const names = [
      'Host',
      'Via',
      'TE',
      'Trailer',
      'Upgrade',
      'Expect',
      'Proxy-Authenticate',
      'x-amz-apigw-id',
    ];
    const response = await answer(() => ({
      body: 'four',
      headers: {
        ...Object.fromEntries(names.map((name) => [name, 'mine'])),
        'Content-Length': '2',
        'Transfer-Encoding': 'chunked',
      },
    }));
    expect([...response.headers.values()]).not.toContain('mine');
    expect(await response.text()).toBe('four');
  });
  it.each<[string, unknown]>([
    ['nothing', null],
    ['a text', 'orders'],
    ['a list', []],
    ['an empty object', {}],
    ['another field', { statusCode: 200, extra: 1 }],
    ['a status that is no number', { statusCode: 'ok' }],
    ['a status of 99', { statusCode: 99 }],
    ['a status of 600', { statusCode: 600 }],
    ['an informational status', { statusCode: 101 }],
    ['a fraction of a status', { statusCode: 200.5 }],
    ['a body that is an object', { statusCode: 200, body: { a: 1 } }],
    ['headers that are a text', { headers: 'a: b' }],
    ['a header that is an object', { headers: { a: {} } }],
    ['a header with a line break', { headers: { a: 'b\r\nset-cookie: x=1' } }],
    ['a header with a space in its name', { headers: { 'a b': 'c' } }],
    ['a multi-value header that is no list', { multiValueHeaders: { a: 'b' } }],
    ['isBase64Encoded that is a text', { statusCode: 200, isBase64Encoded: 'yes' }],
  ])('that is %s is a bad gateway', async (_, payload) => {
    const response = await answer(() => payload);
    expect([response.status, await response.text()]).toEqual([502, broken]);
    expect(response.headers.get('x-amzn-errortype')).toBe('InternalServerErrorException');
  });
});

describe('a function', () => {
  it('that fails is a bad gateway, and what it said stays inside', async () => {
    const response = await answer(() => failure('the secret is 42'));
    expect([response.status, await response.text()]).toEqual([502, broken]);
  });
  it('that fails is a bad gateway, even if what it left behind looks like an answer', async () => {
    const response = await answer(() => ({
      functionError: 'Unhandled',
      payload: { statusCode: 200, body: 'a' },
    }));
    expect(response.status).toBe(502);
  });
  it('that can’t be invoked is a bad gateway', async () => {
    const response = await answer(() => {
      throw new Error('connection refused');
    });
    expect([response.status, await response.text()]).toEqual([502, broken]);
  });
  it('that takes longer than the integration’s time is a gateway time-out', async () => {
    const response = await answer(() => new Promise(() => {}), { integration: { TimeoutInMillis: 50 } });
    expect([response.status, await response.text()]).toEqual([
      504,
      '{"message":"Endpoint request timed out"}',
    ]);
  });
  it('that API Gateway may not invoke is not invoked: 500', async () => {
    const asked: string[][] = [];
    const response = await answer(
      () => ({ statusCode: 200 }),
      {},
      { mayInvoke: (...question) => asked.push(question) === 0 },
    );
    expect([response.status, await response.text()]).toEqual([500, broken]);
    expect(asked).toEqual([
      [functionArn('orders'), `arn:aws:execute-api:us-east-1:000000000000:${API}/v1/GET/orders`],
    ]);
    expect(api.events).toEqual([]);
  });
});
