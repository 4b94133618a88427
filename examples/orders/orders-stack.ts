import { fileURLToPath } from 'node:url';
import { CfnOutput, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { ProtectedRestApi } from '../../infra/protected-rest-api.ts';
import type { RekeyReference } from '../../infra/rekey-reference.ts';
import { TypeScriptFunction } from '../../infra/typescript-function.ts';

export interface OrdersStackProps extends StackProps {
  rekey: RekeyReference;
  mode: 'production' | 'development';
}

/** An API of a product team. It knows of Rekey two ARNs, and of keys nothing but the scopes its routes need. */
export class OrdersStack extends Stack {
  readonly url: string;

  constructor(scope: Construct, id: string, { rekey, mode, ...props }: OrdersStackProps) {
    super(scope, id, props);
    const logs = {
      logRetention: RetentionDays.ONE_MONTH,
      logRemoval: mode === 'production' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    };
    const lambda = (functionId: string, file: string, description: string) =>
      new TypeScriptFunction(this, functionId, {
        ...logs,
        description,
        entry: fileURLToPath(new URL(file, import.meta.url)),
        memorySize: 256,
      });

    const api = new ProtectedRestApi(this, 'Api', {
      rekey,
      description: 'Orders',
      scopes: {
        'orders:read': 'Read orders',
        'orders:write': 'Place orders',
        'orders:refund': 'Give the money for an order back',
      },
      ...logs,
    });
    api.addRoute('GET /orders', {
      scopes: ['orders:read'],
      handler: lambda('ListOrders', 'list-orders.ts', 'Lists orders'),
    });
    api.addRoute('POST /orders', {
      scopes: ['orders:write'],
      handler: lambda('PlaceOrder', 'place-order.ts', 'Places an order'),
    });
    api.addRoute('POST /orders/{id}/refund', {
      scopes: ['orders:refund'],
      handler: lambda('RefundOrder', 'refund-order.ts', 'Refunds an order'),
    });

    this.url = api.url;
    new CfnOutput(this, 'OrdersApiUrl', { value: api.url });
  }
}
