import { fileURLToPath } from 'node:url';
import { CfnOutput, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { ProtectedWebSocketApi, type RekeyReference } from '../../infra/cdk.ts';
import { TypeScriptFunction } from '../../infra/typescript-function.ts';

export interface NotificationsStackProps extends StackProps {
  rekey: RekeyReference;
  mode: 'production' | 'development';
}

/** A WebSocket API of a product team. */
export class NotificationsStack extends Stack {
  constructor(scope: Construct, id: string, { rekey, mode, ...props }: NotificationsStackProps) {
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

    const api = new ProtectedWebSocketApi(this, 'Api', { rekey, description: 'Notifications', ...logs });
    api.addRoute('$connect', {
      scopes: ['notifications:read'],
      handler: lambda('Connect', 'connect.ts', 'Lets a connection be opened'),
    });
    api.addRoute('publish', {
      scopes: ['notifications:write'],
      handler: lambda('Publish', 'publish.ts', 'Takes a notification'),
    });

    new CfnOutput(this, 'NotificationsApiUrl', { value: api.url });
  }
}
