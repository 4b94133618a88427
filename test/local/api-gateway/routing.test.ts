import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { matchResource } from '../../../local/api-gateway/routing.ts';
import { serveOrders } from './orders-api.ts';

const resource = (path: string) => ({ path, segments: path === '/' ? [] : path.slice(1).split('/') });
const match = (path: string, ...paths: string[]) => {
  const found = matchResource(paths.map(resource), path);
  return found && [found.resource.path, found.pathParameters];
};

describe('the resource for a path', () => {
  it('is the exact one before the one with a parameter before the greedy one', () => {
    const all = ['/{proxy+}', '/orders/{id}', '/orders/open'];
    expect(match('/orders/open', ...all)).toEqual(['/orders/open', {}]);
    expect(match('/orders/42', ...all)).toEqual(['/orders/{id}', { id: '42' }]);
    expect(match('/orders/42/lines', ...all)).toEqual(['/{proxy+}', { proxy: 'orders/42/lines' }]);
  });
  it('is looked for again with a parameter when the exact segment leads nowhere', () => {
    expect(match('/a/b/c', '/a/b/d', '/a/{x}/c')).toEqual(['/a/{x}/c', { x: 'b' }]);
  });
  it('does not mind a slash at the end', () => {
    expect(match('/orders/', '/orders')).toEqual(['/orders', {}]);
    expect(match('/orders/42/', '/{proxy+}')).toEqual(['/{proxy+}', { proxy: 'orders/42' }]);
  });
  it('keeps a double slash inside, which only a greedy parameter takes', () => {
    expect(match('/a//b', '/{proxy+}')).toEqual(['/{proxy+}', { proxy: 'a//b' }]);
    expect(match('/orders//refund', '/orders/{id}/refund')).toBeUndefined();
    expect(match('/orders//refund', '/orders/refund')).toBeUndefined();
  });
  it('is found by the path as sent: an encoded slash or letter is not the slash or letter', () => {
    expect(match('/orders/a%2Fb', '/orders/{id}')).toEqual(['/orders/{id}', { id: 'a%2Fb' }]);
    expect(match('/%6Frders', '/orders')).toBeUndefined();
    expect(match('/Orders', '/orders')).toBeUndefined();
  });
  it('is the root for the empty path, which a greedy parameter does not take', () => {
    expect(match('/', '/', '/{proxy+}')).toEqual(['/', {}]);
    expect(match('/', '/{proxy+}')).toBeUndefined();
  });
  it('gives a parameter of any name as a property of its own', () => {
    const found = match('/x', '/{__proto__}');
    expect(Object.keys(found?.[1] ?? {})).toEqual(['__proto__']);
  });
});

describe('a request', () => {
  let api: Awaited<ReturnType<typeof serveOrders>>;
  beforeAll(async () => {
    const echo = () => ({ statusCode: 200, body: 'orders' });
    api = await serveOrders(
      {
        routes: {
          'GET /orders': 'orders',
          'ANY /any': 'orders',
          'POST /any': 'posted',
          'HEAD /orders': 'head',
          'OPTIONS /orders': 'options',
        },
      },
      {
        orders: echo,
        posted: () => ({ statusCode: 201 }),
        head: () => ({ statusCode: 204, headers: { 'x-head': 'yes' } }),
        options: () => ({ statusCode: 204, headers: { allow: 'GET' } }),
      },
    );
  });
  afterAll(() => api.close());

  it('reaches its function below the stage', async () => {
    expect(await (await api.get('/orders')).text()).toBe('orders');
    expect(api.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1$/);
  });
  it('to another first segment than the stage is Forbidden, as an API that has no such stage', async () => {
    for (const path of ['/', '/orders', '/v2/orders', '/V1/orders', '/v1x']) {
      const response = await fetch(`http://127.0.0.1:${api.port}${path}`);
      expect([response.status, await response.text()]).toEqual([403, '{"message":"Forbidden"}']);
      expect(response.headers.get('x-amzn-errortype')).toBe('ForbiddenException');
    }
  });
  it('with an unknown path or method is a missing authentication token', async () => {
    for (const [method, path] of [
      ['GET', '/nothing'],
      ['POST', '/orders'],
      ['GET', ''],
    ]) {
      const response = await api.get(path!, { method });
      expect([response.status, await response.text()]).toEqual([
        403,
        '{"message":"Missing Authentication Token"}',
      ]);
      expect(response.headers.get('x-amzn-errortype')).toBe('MissingAuthenticationTokenException');
    }
  });
  it('with dots in its path is not the request without them', async () => {
    for (const path of ['/v1/x/../orders', '/v1/./orders', '/v1/%2e%2e/v1/orders', '/x/../v1/orders']) {
      const answer = await api.send(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 403/);
    }
  });
  it('with a method that AWS does not have is not served by ANY', async () => {
    expect(await api.send('PURGE /v1/any HTTP/1.1\r\nHost: h\r\n\r\n')).toContain(
      'Missing Authentication Token',
    );
  });
  it('with an unknown path and an Authorization header is taken for a bad AWS signature, the key not repeated', async () => {
    const response = await api.get('/nothing', { headers: { authorization: 'Bearer rk_live_secret' } });
    const body = await response.text();
    expect([response.status, response.headers.get('x-amzn-errortype')]).toEqual([
      403,
      'IncompleteSignatureException',
    ]);
    expect(body).toContain('Invalid key=value pair');
    expect(body).not.toContain('rk_live_secret');
  });
  it('goes to the exact method before ANY', async () => {
    expect((await api.get('/any', { method: 'POST' })).status).toBe(201);
    expect((await api.get('/any', { method: 'DELETE' })).status).toBe(200);
  });
  it('of method HEAD or OPTIONS is a method like any other', async () => {
    expect((await api.get('/orders', { method: 'HEAD' })).headers.get('x-head')).toBe('yes');
    expect((await api.get('/orders', { method: 'OPTIONS' })).headers.get('allow')).toBe('GET');
    expect((await api.get('/any', { method: 'HEAD' })).status).toBe(200);
  });
  it('with slashes before or after the stage is the same request', async () => {
    for (const path of ['//v1/orders', '/v1//orders', '/v1/orders/']) {
      const response = await fetch(`http://127.0.0.1:${api.port}${path}`);
      expect(response.status).toBe(200);
    }
  });
  it('with X-HTTP-Method-Override has that method for routes, authorizer and function', async () => {
    const response = await api.get('/any', { method: 'GET', headers: { 'x-http-method-override': 'POST' } });
    expect(response.status).toBe(201);
    expect(api.event('posted').httpMethod).toBe('POST');
    expect((await api.get('/orders', { headers: { 'x-http-method-override': 'DELETE' } })).status).toBe(403);
  });
});
