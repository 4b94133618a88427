import { describe, expect, it } from '@jest/globals';
import type { APIGatewayProxyEvent, APIGatewayProxyResult, Context } from 'aws-lambda';
import { handler as listOrders } from '../../examples/orders/list-orders.ts';
import { handler as placeOrder } from '../../examples/orders/place-order.ts';
import { handler as refundOrder } from '../../examples/orders/refund-order.ts';

type Handler = (event: APIGatewayProxyEvent) => Promise<APIGatewayProxyResult>;

const place: Handler = (event) =>
  (
    placeOrder as unknown as (event: APIGatewayProxyEvent, context: Context) => Promise<APIGatewayProxyResult>
  )(event, {} as Context);

/** An event as API Gateway sends it after Rekey's authorizer allowed a key with these scopes. */
const event = (
  scopes: string | undefined,
  change: Partial<APIGatewayProxyEvent> = {},
): APIGatewayProxyEvent =>
  ({
    body: null,
    pathParameters: null,
    ...change,
    requestContext: {
      requestId: 'request-1',
      requestTimeEpoch: Date.parse('2026-11-24T12:00:00Z'),
      authorizer: scopes && {
        key_id: `key_${'0'.repeat(22)}`,
        owner_id: 'team-a',
        owner_access: 'own',
        environment: 'live',
        scopes,
      },
    },
  }) as unknown as APIGatewayProxyEvent;

const call = async (handler: Handler, sent: APIGatewayProxyEvent) => {
  const { statusCode, headers, body } = await handler(sent);
  return { status: statusCode, type: headers?.['content-type'], body: JSON.parse(body) };
};

describe('the Orders example', () => {
  it('lists orders for orders:read', async () => {
    const { status, body } = await call(listOrders, event('orders:read'));
    expect(status).toBe(200);
    expect(body.data[0]).toMatchObject({ id: 'order_1', owner_id: 'team-a' });
  });

  it('places an order for orders:write', async () => {
    const sent = event('orders:*', { body: JSON.stringify({ item: 'kettle', quantity: 2 }) });
    const { status, body } = await call(place, sent);
    expect(status).toBe(201);
    expect(body).toEqual({
      id: expect.stringMatching(/^order_[0-9a-f]{8}$/),
      item: 'kettle',
      quantity: 2,
      placed_at: '2026-11-24T12:00:00.000Z',
      owner_id: 'team-a',
    });
  });

  it('refunds an order for orders:refund', async () => {
    const sent = event('orders:refund', { pathParameters: { id: 'order_1' } });
    const { status, body } = await call(refundOrder, sent);
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: 'order_1', refunded_by: `key_${'0'.repeat(22)}` });
  });

  it('says which field of an order is wrong', async () => {
    for (const [body, pointer] of [
      ['not JSON', ''],
      ['null', '/item'],
      ['{}', '/item'],
      ['{"item":""}', '/item'],
      ['{"item":"kettle","quantity":0}', '/quantity'],
      ['{"item":"kettle","quantity":"2"}', '/quantity'],
    ] as const) {
      const answer = await call(place, event('orders:write', { body }));
      expect(answer).toMatchObject({ status: 400, type: 'application/problem+json' });
      expect(answer.body.errors[0].pointer).toBe(pointer);
    }
  });

  it('knows no order of another id', async () => {
    const sent = event('orders:refund', { pathParameters: { id: 'order_9' } });
    expect(await call(refundOrder, sent)).toMatchObject({ status: 404, type: 'application/problem+json' });
  });

  it.each([
    ['GET /orders, by the function', listOrders, 'orders:read'],
    ['POST /orders, by the middleware', place, 'orders:write'],
    ['POST /orders/{id}/refund, by the decorator', refundOrder, 'orders:refund'],
  ] as [string, Handler, string][])(
    'checks the scope again in the handler: %s',
    async (_, handler, scope) => {
      const body = JSON.stringify({ item: 'kettle' });
      const more = { body, pathParameters: { id: 'order_1' } };
      expect(await call(handler, event('customers:read', more))).toMatchObject({
        status: 403,
        type: 'application/problem+json',
        body: {
          type: 'urn:rekey:problem:insufficient_scope',
          missing_scopes: [scope],
          request_id: 'request-1',
        },
      });
      expect(await call(handler, event(undefined, more))).toMatchObject({
        status: 401,
        body: { type: 'urn:rekey:problem:invalid_token' },
      });
    },
  );
});
