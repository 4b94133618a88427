import { CfnOutput } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { ProtectedRestApi } from '../../infra/protected-rest-api.ts';
import type { RekeyReference } from '../../infra/rekey-reference.ts';
import { ExampleStack, type ExampleStackProps } from '../example-stack.ts';

export interface OrdersStackProps extends ExampleStackProps {
  rekey: RekeyReference;
}

/** An API of a product team. It knows of Rekey two ARNs, and of keys nothing but the scopes its routes need. */
export class OrdersStack extends ExampleStack {
  readonly url: string;

  constructor(scope: Construct, id: string, { rekey, ...props }: OrdersStackProps) {
    super(scope, id, props);
    const api = new ProtectedRestApi(this, 'Api', {
      rekey,
      description: 'Orders',
      scopes: {
        'orders:read': 'Read orders',
        'orders:write': 'Place orders',
        'orders:refund': 'Give the money for an order back',
      },
      ...this.logs,
    });
    api.addRoute('GET /orders', {
      scopes: ['orders:read'],
      handler: this.lambda('ListOrders', new URL('list-orders.ts', import.meta.url), 'Lists orders'),
    });
    api.addRoute('POST /orders', {
      scopes: ['orders:write'],
      handler: this.lambda('PlaceOrder', new URL('place-order.ts', import.meta.url), 'Places an order'),
    });
    api.addRoute('POST /orders/{id}/refund', {
      scopes: ['orders:refund'],
      handler: this.lambda('RefundOrder', new URL('refund-order.ts', import.meta.url), 'Refunds an order'),
    });

    this.url = api.url;
    new CfnOutput(this, 'OrdersApiUrl', { value: api.url });
  }
}
