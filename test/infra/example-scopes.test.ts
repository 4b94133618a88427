import { describe, expect, it } from '@jest/globals';
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { demandSameScopes, routesIn } from 'rekey/testing';
import { handler as connect } from '../../examples/notifications-websocket/connect.ts';
import { NotificationsStack } from '../../examples/notifications-websocket/notifications-stack.ts';
import { handler as publish } from '../../examples/notifications-websocket/publish.ts';
import { handler as listOrders } from '../../examples/orders/list-orders.ts';
import { OrdersStack } from '../../examples/orders/orders-stack.ts';
import { handler as placeOrder } from '../../examples/orders/place-order.ts';
import { handler as refundOrder } from '../../examples/orders/refund-order.ts';
import { handler as sendParcel } from '../../examples/shipments-http/send-parcel.ts';
import { ShipmentsStack } from '../../examples/shipments-http/shipments-stack.ts';
import { importRekey } from '../../infra/cdk.ts';
import { appForTemplates } from './synthesize.ts';

const mode = 'development';
const rekey = importRekey();
const declaredBy = (make: (app: ReturnType<typeof appForTemplates>) => Stack) =>
  routesIn(Template.fromStack(make(appForTemplates())).toJSON());

describe('the handlers of the examples ask for what their routes need', () => {
  it('Orders', async () => {
    const routes = declaredBy((app) => new OrdersStack(app, 'Orders', { rekey, mode }));
    expect(Object.keys(routes)).toHaveLength(3);
    await demandSameScopes(routes, {
      'GET /orders': listOrders,
      'POST /orders': placeOrder,
      'POST /orders/{id}/refund': refundOrder,
    });
  });

  it('Shipments', async () => {
    const routes = declaredBy(
      (app) => new ShipmentsStack(app, 'Shipments', { rekeyStackName: 'Rekey', mode }),
    );
    await demandSameScopes(routes, { 'POST /shipments': sendParcel });
  });

  it('Notifications', async () => {
    const routes = declaredBy((app) => new NotificationsStack(app, 'Notifications', { rekey, mode }));
    await demandSameScopes(routes, { $connect: connect, publish });
  });
});
