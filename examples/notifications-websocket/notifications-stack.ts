import { CfnOutput } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { ProtectedWebSocketApi, type RekeyReference } from '../../infra/cdk.ts';
import { ExampleStack, type ExampleStackProps } from '../example-stack.ts';

export interface NotificationsStackProps extends ExampleStackProps {
  rekey: RekeyReference;
}

/** A WebSocket API of a product team. */
export class NotificationsStack extends ExampleStack {
  constructor(scope: Construct, id: string, { rekey, ...props }: NotificationsStackProps) {
    super(scope, id, props);
    const api = new ProtectedWebSocketApi(this, 'Api', { rekey, description: 'Notifications', ...this.logs });
    api.addRoute('$connect', {
      scopes: ['notifications:read'],
      handler: this.lambda('Connect', new URL('connect.ts', import.meta.url), 'Lets a connection be opened'),
    });
    api.addRoute('publish', {
      scopes: ['notifications:write'],
      handler: this.lambda('Publish', new URL('publish.ts', import.meta.url), 'Takes a notification'),
    });

    new CfnOutput(this, 'NotificationsApiUrl', { value: api.url });
  }
}
