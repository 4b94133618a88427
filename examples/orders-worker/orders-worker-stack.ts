import { fileURLToPath } from 'node:url';
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { RekeyReference } from '../../infra/rekey-reference.ts';
import { RotatingApiKey } from '../../infra/rotating-api-key.ts';
import { TypeScriptFunction } from '../../infra/typescript-function.ts';

export interface OrdersWorkerStackProps extends StackProps {
  rekey: RekeyReference;
  ordersApiUrl: string;
  mode: 'production' | 'development';
}

/** A client of the Orders API. Its key is made with the stack, rotated every 30 days, and revoked with the stack. */
export class OrdersWorkerStack extends Stack {
  constructor(scope: Construct, id: string, { rekey, ordersApiUrl, mode, ...props }: OrdersWorkerStackProps) {
    super(scope, id, props);
    const key = new RotatingApiKey(this, 'OrdersKey', {
      rekey,
      scopes: ['orders:read'],
      owner: 'team-fulfilment',
      every: Duration.days(30),
    });
    const worker = new TypeScriptFunction(this, 'CountOrders', {
      description: 'Counts the orders, as a client of the Orders API',
      entry: fileURLToPath(new URL('count-orders.ts', import.meta.url)),
      environment: { ORDERS_API_URL: ordersApiUrl, ORDERS_KEY_SECRET_ARN: key.secret.secretArn },
      memorySize: 256,
      logRetention: RetentionDays.ONE_MONTH,
      logRemoval: mode === 'production' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    key.grantRead(worker);

    new CfnOutput(this, 'CountOrdersFunctionName', { value: worker.functionName });
    new CfnOutput(this, 'OrdersKeySecretArn', { value: key.secret.secretArn });
  }
}
