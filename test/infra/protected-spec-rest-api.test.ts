import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { parse } from 'yaml';
import { importRekey, ProtectedSpecRestApi, type ProtectedSpecRestApiProps } from '../../infra/cdk.ts';
import { routesHash } from '../../lib/routes.ts';
import { appForTemplates, handlerIn, ofType, resourcesOf } from './synthesize.ts';

const routes = {
  'GET /invoices': ['invoices:read'],
  'POST /invoices': ['invoices:write', 'customers:read'],
  'GET /invoices/{id}': [['invoices:read'], ['audit:read']],
  'GET /health': [],
};

describe('a REST API made from an OpenAPI document', () => {
  let stack: Stack;
  let handler: LambdaFunction;
  // biome-ignore lint/suspicious/noExplicitAny: a document is JSON of any shape
  let document: any;
  beforeEach(() => {
    stack = new Stack(appForTemplates(), 'Shop');
    handler = handlerIn(stack);
    document = parse(readFileSync('examples/invoices-openapi/invoices.yaml', 'utf8'));
  });
  const make = (more: Partial<ProtectedSpecRestApiProps> = {}) => {
    const handlers = Object.fromEntries(
      ['listInvoices', 'sendInvoice', 'showInvoice', 'health'].map((id) => [id, handler]),
    );
    return new ProtectedSpecRestApi(stack, 'Api', { rekey: importRekey(), document, handlers, ...more });
  };
  const propertiesOf = (type: string) =>
    ofType(resourcesOf(Template.fromStack(stack)), type).map(([, { Properties }]) => Properties);

  it('registers what the document says, and names it in its stage', () => {
    make({ cacheTtl: Duration.minutes(1) });
    const [registration] = propertiesOf('Custom::RekeyRoutes');
    expect(JSON.parse(registration.Routes)).toEqual(routes);
    expect(propertiesOf('AWS::ApiGateway::Stage')[0].Variables).toEqual({
      rekeyRoutes: routesHash(routes),
      rekeyCacheHeader: 'x-api-key',
    });
    const { rekey } = propertiesOf('AWS::ApiGateway::RestApi')[0].Body.components.securitySchemes;
    expect(rekey['x-amazon-apigateway-authorizer']).toMatchObject({
      authorizerResultTtlInSeconds: 60,
      identitySource: 'method.request.header.x-api-key',
    });
  });

  it('lets its authorizers call the product, and each operation its own handler', () => {
    make();
    const sources = propertiesOf('AWS::Lambda::Permission').map(({ SourceArn }) =>
      SourceArn['Fn::Join'][1].at(-1),
    );
    expect(sources.toSorted()).toEqual([
      '/authorizers/*',
      '/v1/GET/health',
      '/v1/GET/invoices',
      '/v1/GET/invoices/*',
      '/v1/POST/invoices',
    ]);
  });

  it('does not synthesize with an operation that does not say who may call it, or that nothing runs', () => {
    document.security = undefined;
    expect(() => make()).toThrow('GET /invoices has no security');
    document.security = [{ rekey: ['invoices:read'] }];
    expect(() => new ProtectedSpecRestApi(stack, 'B', { rekey: importRekey(), document })).toThrow(
      /^GET \/invoices has nothing that answers it.*\nPOST \/invoices has nothing/,
    );
    expect(
      () =>
        new ProtectedSpecRestApi(stack, 'C', { rekey: importRekey(), document, handlers: { list: handler } }),
    ).toThrow('has nothing that answers it');
  });

  it('takes an operation with an integration of its own, and no handler for none', () => {
    const integration = { type: 'mock' };
    document.paths = { '/a': { get: { 'x-amazon-apigateway-integration': integration } } };
    make({ handlers: {} });
    expect(propertiesOf('AWS::ApiGateway::RestApi')[0].Body.paths['/a'].get).toMatchObject({
      'x-amazon-apigateway-integration': integration,
      security: [{ rekey: [] }],
    });
    expect(
      () =>
        new ProtectedSpecRestApi(stack, 'B', { rekey: importRekey(), document, handlers: { b: handler } }),
    ).toThrow('no operation that needs a handler has the operationId b');
  });
});
