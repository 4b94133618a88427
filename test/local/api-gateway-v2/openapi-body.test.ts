import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { describeApis } from '../../../local/api-gateway-v2/index.ts';
import { described, functionArn, invocationUri as uri } from '../api-gateway/orders-api.ts';
import { shipmentsApi } from './shipments-api.ts';

const operation = (more: object = {}) => ({
  'x-amazon-apigateway-integration': {
    ...{ type: 'aws_proxy', httpMethod: 'POST', uri: uri('shipments'), payloadFormatVersion: '2.0' },
    ...more,
  },
});
const scheme = (more: object = {}) => ({
  'x-amazon-apigateway-authorizer': {
    ...{ type: 'request', authorizerUri: uri('authorizer'), authorizerResultTtlInSeconds: 0 },
    ...{ authorizerPayloadFormatVersion: '2.0', enableSimpleResponses: false },
    ...more,
  },
});
const GUARDED = { security: [{ rekey: [] }] };
const document = (paths: object, rekey: object = scheme()) => ({
  ...{ openapi: '3.0.3', info: { title: 'Shipments' }, paths },
  components: { securitySchemes: { rekey, other: { type: 'apiKey' } } },
});

/** The API that is made of a document, and a stage. */
const imported = (Body: object, properties: object = {}) => {
  const [api, ...rest] = shipmentsApi({ routes: {} });
  api!.properties = { Body, ...properties };
  return describeApis({
    resources: [api!, ...rest],
    ...described,
  })[0]!;
};
const routesOf = ({ routes }: ReturnType<typeof imported>) =>
  routes.map(({ routeKey, authorizer }) => [routeKey, authorizer?.id]);

describe('an HTTP API with a Body', () => {
  it('has the operations of the document, each with its authorizer or with none', () => {
    const api = imported(
      document({
        '/': { get: operation() },
        '/a/{id}': {
          parameters: [],
          put: { ...GUARDED, ...operation({ timeoutInMillis: 1000 }) },
          'x-amazon-apigateway-any-method': { security: [], ...operation() },
        },
      }),
    );
    expect([api.name, api.protocol]).toEqual(['Shipments', 'HTTP']);
    expect(routesOf(api)).toEqual([
      ['GET /', undefined],
      ['PUT /a/{id}', 'rekey'],
      ['ANY /a/{id}', undefined],
    ]);
    expect(api.routes[1]).toMatchObject({
      functionArn: functionArn('shipments'),
      timeoutMs: 1000,
      segments: ['a', '{id}'],
      authorizer: { functionArn: functionArn('authorizer'), ttlSeconds: 0, identitySources: [] },
    });
  });

  it('keeps answers by the sources that the document names', () => {
    const kept = scheme({ authorizerResultTtlInSeconds: 300, identitySource: '$request.header.x-api-key' });
    const [route] = imported(document({ '/a': { get: { ...GUARDED, ...operation() } } }, kept)).routes;
    expect(route!.authorizer).toMatchObject({
      ttlSeconds: 300,
      identitySources: ['$request.header.x-api-key'],
    });
  });

  it('may be that of the SAM example', () => {
    const text = readFileSync('examples/sam/invoices.protected.json', 'utf8').replace(
      /\{\s*"Fn::Sub": "[^"]*\$\{(\w+)(?:\.Arn)?\}\/invocations"\s*\}/g,
      (_, name: string) => JSON.stringify(uri(name)),
    );
    expect(routesOf(imported(JSON.parse(text)))).toEqual([
      ['GET /invoices', 'rekey'],
      ['POST /invoices', 'rekey'],
      ['GET /invoices/{id}', 'rekey'],
      ['GET /health', undefined],
    ]);
  });

  const paths = { '/a': { get: { ...GUARDED, ...operation() } } };
  it.each<[string, object, RegExp]>([
    ['OpenAPI 3.1', { ...document(paths), openapi: '3.1.0' }, /OpenAPI 3\.0/],
    ['cors', { ...document(paths), 'x-amazon-apigateway-cors': {} }, /x-amazon-apigateway-cors in the root/],
    [
      'payload 1.0',
      document(paths, scheme({ authorizerPayloadFormatVersion: '1.0' })),
      /PayloadFormatVersion/,
    ],
    ['simple answers', document(paths, scheme({ enableSimpleResponses: true })), /EnableSimpleResponses/],
    ['a JWT', document(paths, scheme({ jwtConfiguration: {} })), /JwtConfiguration/],
    [
      'no authorizer for a scheme',
      document(paths, { type: 'apiKey' }),
      /has no x-amazon-apigateway-authorizer/,
    ],
    ['another integration', document({ '/a': { get: operation({ type: 'http_proxy' }) } }), /AWS_PROXY/],
    ['no integration', document({ '/a': { get: {} } }), /AWS_PROXY/],
    ['$default', document({ '/$default': { get: operation() } }), /\/\$default/],
  ])('is refused with %s', (_, body, message) => {
    expect(() => imported(body)).toThrow(message);
  });

  it('is no WebSocket API', () => {
    expect(() => imported(document(paths), { ProtocolType: 'WEBSOCKET' })).toThrow('for HTTP APIs only');
  });
});
