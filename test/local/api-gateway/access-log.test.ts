import { afterEach, describe, expect, it } from '@jest/globals';
import { policy, serveOrders } from './orders-api.ts';

let api: Awaited<ReturnType<typeof serveOrders>>;
afterEach(() => api.close());

const serve = async (Format: unknown) => {
  api = await serveOrders(
    {
      routes: { 'GET /orders/{id}': 'orders' },
      authorizer: {},
      stage: { AccessLogSetting: { DestinationArn: 'arn:aws:logs:::x', Format } },
    },
    {
      orders: () => ({ statusCode: 200, body: 'four' }),
      authorizer: (event) => ({
        principalId: 'p',
        policyDocument: policy(event, event.path.endsWith('no') ? 'Deny' : 'Allow'),
        context: { key_id: 'key_1' },
      }),
    },
  );
};

describe('the access log', () => {
  const format = JSON.stringify({
    id: '$context.requestId',
    status: '$context.status',
    length: '$context.responseLength',
    route: '$context.httpMethod $context.resourcePath',
    key: '$context.authorizer.key_id',
    error: '$context.error.responseType',
    integration: '$context.integration.status',
    agent: '$context.identity.userAgent',
    latency: '$context.responseLatency',
  });

  it('has a line for each request in the stage’s format; what has no value is a dash', async () => {
    await serve(format);
    const response = await api.get('/orders/42', { headers: { 'user-agent': 'curl' } });
    expect(api.log).toEqual([
      {
        api: 'orders',
        id: response.headers.get('x-amzn-requestid'),
        status: '200',
        length: '4',
        route: 'GET /orders/{id}',
        key: 'key_1',
        error: '-',
        integration: '200',
        agent: 'curl',
        latency: expect.stringMatching(/^\d+$/),
      },
    ]);
  });
  it('says who was refused and why', async () => {
    await serve(format);
    await api.get('/orders/no');
    expect(api.log[0]).toMatchObject({
      key: 'key_1',
      error: 'ACCESS_DENIED',
      integration: '-',
      failure: expect.stringContaining('explicit deny'),
    });
  });
  it('is not broken by what a client sends', async () => {
    await serve(format);
    await api.get('/orders/42', { headers: { 'user-agent': 'a","status":"999' } });
    expect(api.log[0]).toMatchObject({ agent: 'a","status":"999', status: '200' });
  });
  it('takes a format in plain text as one message', async () => {
    await serve('$context.identity.sourceIp [$context.requestTime] $context.httpMethod $context.nothing');
    await api.get('/orders/42');
    expect(api.log[0]).toEqual({ api: 'orders', message: '127.0.0.1 [24/Nov/2026:03:36:50 +0000] GET -' });
  });
  it('has no header, query or body of a request that did not ask for them', async () => {
    await serve(format);
    await api.get('/orders/42?key=rk_live_secret', { headers: { 'x-api-key': 'rk_live_secret' } });
    await api.get('/nothing?key=rk_live_secret', { headers: { authorization: 'Bearer rk_live_secret' } });
    expect(JSON.stringify(api.log)).not.toContain('rk_live_secret');
    expect(api.log).toHaveLength(2);
  });
});
