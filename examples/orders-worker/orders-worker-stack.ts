import { CfnOutput, Duration } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { RekeyReference } from '../../infra/rekey-reference.ts';
import { RotatingApiKey } from '../../infra/rotating-api-key.ts';
import { ExampleStack, type ExampleStackProps } from '../example-stack.ts';

export interface OrdersWorkerStackProps extends ExampleStackProps {
  rekey: RekeyReference;
  ordersApiUrl: string;
}

/** A client of the Orders API. Its key is made with the stack, rotated every 30 days, and revoked with the stack. */
export class OrdersWorkerStack extends ExampleStack {
  constructor(scope: Construct, id: string, { rekey, ordersApiUrl, ...props }: OrdersWorkerStackProps) {
    super(scope, id, props);
    const key = new RotatingApiKey(this, 'OrdersKey', {
      rekey,
      scopes: ['orders:read'],
      owner: 'team-fulfilment',
      every: Duration.days(30),
    });
    const worker = this.lambda(
      'CountOrders',
      new URL('count-orders.ts', import.meta.url),
      'Counts the orders, as a client of the Orders API',
      { environment: { ORDERS_API_URL: ordersApiUrl, ORDERS_KEY_SECRET_ARN: key.secret.secretArn } },
    );
    key.grantRead(worker);

    new CfnOutput(this, 'CountOrdersFunctionName', { value: worker.functionName });
    new CfnOutput(this, 'OrdersKeySecretArn', { value: key.secret.secretArn });
  }
}
