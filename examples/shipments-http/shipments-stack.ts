import { fileURLToPath } from 'node:url';
import { CfnOutput, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { lookUpRekey, ProtectedHttpApi } from '../../infra/cdk.ts';
import { TypeScriptFunction } from '../../infra/typescript-function.ts';

export interface ShipmentsStackProps extends StackProps {
  /** The name of the product's stack. */
  rekeyStackName: string;
  mode: 'production' | 'development';
}

/** An HTTP API of a product team, which finds Rekey by its SSM parameters. */
export class ShipmentsStack extends Stack {
  constructor(scope: Construct, id: string, { rekeyStackName, mode, ...props }: ShipmentsStackProps) {
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

    const api = new ProtectedHttpApi(this, 'Api', {
      rekey: lookUpRekey(this, rekeyStackName),
      description: 'Shipments',
      // No route needs it, so that it has to be said: a handler asks for it.
      scopes: { 'shipments:write': 'Send parcels' },
      ...logs,
    });
    const shipments = lambda('Shipments', 'shipments.ts', 'Lists and shows shipments');
    api.addRoute('GET /shipments', { scopes: ['shipments:read'], handler: shipments });
    api.addRoute('GET /shipments/{id}', {
      anyOf: [['shipments:read'], ['orders:read', 'shipments:track']],
      handler: shipments,
    });
    // The gateway of an HTTP API can't say which scope is missing; this handler does.
    api.addRoute('POST /shipments', {
      authenticated: true,
      handler: lambda('SendParcel', 'send-parcel.ts', 'Sends a parcel'),
    });
    api.addRoute('GET /health', {
      public: true,
      handler: lambda('Health', 'health.ts', 'Says that it runs'),
    });

    new CfnOutput(this, 'ShipmentsApiUrl', { value: api.url });
  }
}
