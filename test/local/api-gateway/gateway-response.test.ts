import { afterEach, describe, expect, it } from '@jest/globals';
import { type ApiOptions, failure, policy, serveOrders } from './orders-api.ts';

let api: Awaited<ReturnType<typeof serveOrders>>;
afterEach(() => api.close());

const serve = async (gatewayResponses: ApiOptions['gatewayResponses'], options: ApiOptions = {}) => {
  api = await serveOrders(
    { routes: { 'GET /orders/{id}': 'orders' }, gatewayResponses, ...options },
    { orders: () => failure('broken'), authorizer: () => failure('Unauthorized') },
  );
};
const json = (template: string) => ({ ResponseTemplates: { 'application/json': template } });

describe('a gateway response', () => {
  it('has the status, headers and body of the template', async () => {
    await serve({
      MISSING_AUTHENTICATION_TOKEN: {
        StatusCode: '404',
        ResponseParameters: {
          'gatewayresponse.header.Content-Type': "'application/problem+json'",
          'gatewayresponse.header.WWW-Authenticate': '\'Bearer error="invalid_token"\'',
        },
        ...json('{"status":404,"request_id":"$context.requestId"}'),
      },
    });
    const response = await api.get('/nothing');
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    expect(await response.json()).toEqual({
      status: 404,
      request_id: response.headers.get('x-amzn-requestid'),
    });
    expect(response.headers.get('x-amz-apigw-id')).toMatch(/=$/);
  });
  it('knows context, error, stage variables and request parameters; what has no value is empty', async () => {
    await serve(
      {
        UNAUTHORIZED: json(
          [
            '$context.error.message',
            '$context.error.messageString',
            '$context.error.responseType',
            '$context.stage.',
            '$context.identity.sourceIp',
            '$context.resourcePath',
            '$stageVariables.colour',
            '$method.request.path.id',
            '$method.request.querystring.q',
            '$method.request.header.X-Mine',
            '[$context.authorizer.key_id]',
            '[$context.nothing.at.all]',
            '[$context.identity]',
            '[$stageVariables.none]',
            '[$context.constructor.name]',
            '$5.00 $contextual $other.x',
          ].join('\n'),
        ),
      },
      { authorizer: {}, stage: { Variables: { colour: 'red' } } },
    );
    const response = await api.get('/orders/42?q=1', { headers: { 'x-mine': 'yours' } });
    expect((await response.text()).split('\n')).toEqual([
      'Unauthorized',
      '"Unauthorized"',
      'UNAUTHORIZED',
      'v1.',
      '127.0.0.1',
      '/orders/{id}',
      'red',
      '42',
      '1',
      'yours',
      '[]',
      '[]',
      '[]',
      '[]',
      '[]',
      '$5.00 $contextual $other.x',
    ]);
  });
  it('puts values in as they are: nothing is escaped, nothing in them is replaced again', async () => {
    await serve({ MISSING_AUTHENTICATION_TOKEN: json('{"q":"$method.request.querystring.q"}') });
    const response = await api.get(`/nothing?q=${encodeURIComponent('","admin":"$context.apiId$&')}`);
    expect(await response.text()).toBe('{"q":"","admin":"$context.apiId$&"}');
  });
  it('takes header values from the request, and leaves a header out that has none', async () => {
    await serve({
      MISSING_AUTHENTICATION_TOKEN: {
        ResponseParameters: {
          'gatewayresponse.header.x-origin': 'method.request.header.Origin',
          'gatewayresponse.header.x-q': 'method.request.querystring.q',
        },
      },
    });
    const response = await api.get('/nothing', { headers: { origin: 'https://a.test' } });
    expect(response.headers.get('x-origin')).toBe('https://a.test');
    expect(response.headers.has('x-q')).toBe(false);
  });
  it('can’t be given a second header through a value of the request', async () => {
    await serve({
      MISSING_AUTHENTICATION_TOKEN: {
        ResponseParameters: { 'gatewayresponse.header.x-q': 'method.request.querystring.q' },
      },
    });
    const response = await api.get('/nothing?q=a%0d%0aset-cookie:%20b=1').catch(() => undefined);
    expect(response?.headers.has('set-cookie')).not.toBe(true);
    expect(response?.status).toBe(403);
  });
  it('follows the first type of Accept when there is a template for it, else application/json', async () => {
    await serve({
      MISSING_AUTHENTICATION_TOKEN: {
        ResponseTemplates: { 'application/json': '{}', 'text/plain': 'plain' },
      },
    });
    const told = async (accept: string) => {
      const response = await api.get('/nothing', { headers: { accept } });
      return [response.headers.get('content-type'), await response.text()];
    };
    expect(await told('text/plain;q=0.9, application/json')).toEqual(['text/plain', 'plain']);
    expect(await told('text/html, text/plain')).toEqual(['application/json', '{}']);
    expect(await told('*/*')).toEqual(['application/json', '{}']);
  });
  it('falls back to DEFAULT_4XX and DEFAULT_5XX, status included', async () => {
    await serve({
      DEFAULT_4XX: { StatusCode: '418', ...json('4xx $context.error.responseType') },
      DEFAULT_5XX: json('5xx $context.error.responseType'),
    });
    const unknown = await api.get('/nothing');
    expect([unknown.status, await unknown.text()]).toEqual([418, '4xx MISSING_AUTHENTICATION_TOKEN']);
    const failed = await api.get('/orders/42');
    expect([failed.status, await failed.text()]).toEqual([502, '5xx INTEGRATION_FAILURE']);
  });
  it('of its own takes only the status from the fallback', async () => {
    await serve({
      DEFAULT_4XX: { StatusCode: '418', ...json('4xx') },
      MISSING_AUTHENTICATION_TOKEN: json('own'),
    });
    const response = await api.get('/nothing');
    expect([response.status, await response.text()]).toEqual([418, 'own']);
  });
  it('has AWS’s own body where none is given, with Message in a capital for ACCESS_DENIED', async () => {
    await serve({ ACCESS_DENIED: { StatusCode: '404' } }, { authorizer: {} });
    await api.close();
    api = await serveOrders(
      { authorizer: {}, gatewayResponses: { ACCESS_DENIED: { StatusCode: '404' } } },
      { authorizer: (event) => ({ principalId: 'p', policyDocument: policy(event, 'Deny') }) },
    );
    const response = await api.get('/orders');
    expect(response.status).toBe(404);
    expect(Object.keys((await response.json()) as object)).toEqual(['Message']);
  });
  it('has no x-amzn-trace-id, which only answers of functions have', async () => {
    await serve({});
    expect((await api.get('/nothing')).headers.has('x-amzn-trace-id')).toBe(false);
  });
});
