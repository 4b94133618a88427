import { CfnOutput, Duration } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { ProtectedHttpApi, ProtectedRestApi, type RekeyReference } from '../../infra/cdk.ts';
import { ExampleStack, type ExampleStackProps } from '../example-stack.ts';

export interface CatalogStackProps extends ExampleStackProps {
  rekey: RekeyReference;
}

/** A catalog that is read so often that API Gateway keeps the authorizer's answers, as a REST and as an HTTP API. */
export class CatalogStack extends ExampleStack {
  constructor(scope: Construct, id: string, { rekey, ...props }: CatalogStackProps) {
    super(scope, id, props);
    const handler = this.lambda(
      'Products',
      new URL('products.ts', import.meta.url),
      'Shows and changes products',
    );

    const kept = { rekey, description: 'Catalog', cacheTtl: Duration.minutes(5), ...this.logs };
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
