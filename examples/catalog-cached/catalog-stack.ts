import { fileURLToPath } from 'node:url';
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { ProtectedHttpApi, ProtectedRestApi, type RekeyReference } from '../../infra/cdk.ts';
import { TypeScriptFunction } from '../../infra/typescript-function.ts';

export interface CatalogStackProps extends StackProps {
  rekey: RekeyReference;
  mode: 'production' | 'development';
}

/** A catalog that is read so often that API Gateway keeps the authorizer's answers, as a REST and as an HTTP API. */
export class CatalogStack extends Stack {
  constructor(scope: Construct, id: string, { rekey, mode, ...props }: CatalogStackProps) {
    super(scope, id, props);
    const logs = {
      logRetention: RetentionDays.ONE_MONTH,
      logRemoval: mode === 'production' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    };
    const handler = new TypeScriptFunction(this, 'Products', {
      ...logs,
      description: 'Shows and changes products',
      entry: fileURLToPath(new URL('products.ts', import.meta.url)),
      memorySize: 256,
    });

    const kept = { rekey, description: 'Catalog', cacheTtl: Duration.minutes(5), ...logs };
    const rest = new ProtectedRestApi(this, 'RestApi', kept);
    const http = new ProtectedHttpApi(this, 'HttpApi', kept);
    for (const api of [rest, http]) {
      api.addRoute('GET /products', { scopes: ['catalog:read'], handler });
      api.addRoute('GET /products/{id}', { scopes: ['catalog:read'], handler });
      api.addRoute('PUT /products/{id}', { scopes: ['catalog:write'], handler });
      // `*` of IAM crosses slashes, so what a key may do to a product must not become what it may do to its prices.
      api.addRoute('GET /products/{id}/prices', { scopes: ['catalog:prices'], handler });
      api.addRoute('GET /files/{path+}', {
        anyOf: [['catalog:files'], ['catalog:read', 'catalog:write']],
        handler,
      });
    }

    new CfnOutput(this, 'CatalogRestApiUrl', { value: rest.url });
    new CfnOutput(this, 'CatalogHttpApiUrl', { value: http.url });
  }
}
