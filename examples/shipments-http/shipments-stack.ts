import { CfnOutput } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { lookUpRekey, ProtectedHttpApi } from '../../infra/cdk.ts';
import { ExampleStack, type ExampleStackProps } from '../example-stack.ts';

export interface ShipmentsStackProps extends ExampleStackProps {
  /** The name of the product's stack. */
  rekeyStackName: string;
}

/** An HTTP API of a product team, which finds Rekey by its SSM parameters. */
export class ShipmentsStack extends ExampleStack {
  constructor(scope: Construct, id: string, { rekeyStackName, ...props }: ShipmentsStackProps) {
    super(scope, id, props);
    const api = new ProtectedHttpApi(this, 'Api', {
      rekey: lookUpRekey(this, rekeyStackName),
      description: 'Shipments',
      // No route needs it, so that it has to be said: a handler asks for it.
      scopes: { 'shipments:write': 'Send parcels' },
      ...this.logs,
    });
    const shipments = this.lambda(
      'Shipments',
      new URL('shipments.ts', import.meta.url),
      'Lists and shows shipments',
    );
    api.addRoute('GET /shipments', { scopes: ['shipments:read'], handler: shipments });
    api.addRoute('GET /shipments/{id}', {
      anyOf: [['shipments:read'], ['orders:read', 'shipments:track']],
      handler: shipments,
    });
    // The gateway of an HTTP API can't say which scope is missing; this handler does.
    api.addRoute('POST /shipments', {
      authenticated: true,
      handler: this.lambda('SendParcel', new URL('send-parcel.ts', import.meta.url), 'Sends a parcel'),
    });
    api.addRoute('GET /health', {
      public: true,
      handler: this.lambda('Health', new URL('health.ts', import.meta.url), 'Says that it runs'),
    });

    new CfnOutput(this, 'ShipmentsApiUrl', { value: api.url });
  }
}
