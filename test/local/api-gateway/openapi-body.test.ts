import { describe, expect, it } from '@jest/globals';
import { describeRestApis } from '../../../local/api-gateway/index.ts';
import { described, functionArn, ordersApi, invocationUri as uri } from './orders-api.ts';

const operation = (more: object = {}) => ({
  'x-amazon-apigateway-integration': { type: 'aws_proxy', httpMethod: 'POST', uri: uri('orders'), ...more },
});
const authorizer = {
  type: 'request',
  authorizerUri: uri('authorizer'),
  authorizerResultTtlInSeconds: 300,
  identitySource: 'method.request.header.x-api-key',
};
const schemes = {
  rekey: { type: 'apiKey', 'x-amazon-apigateway-authorizer': authorizer },
  other: { type: 'apiKey' },
};

/** The API that is made of a document with these paths. */
const imported = (paths: object, more: object = {}) => {
  const resources = ordersApi({ routes: {} });
  Object.assign(resources[0]!.properties, {
    Body: { openapi: '3.0.3', paths, components: { securitySchemes: schemes }, ...more },
  });
  return describeRestApis({
    resources,
    ...described,
  })[0]!;
};

describe('a REST API with a Body', () => {
  it('has the operations of the document, each with its authorizer or with none', () => {
    const { resources } = imported({
      '/': { get: operation() },
      '/a/{id}': {
        parameters: [],
        put: { security: [{ rekey: [] }], ...operation({ timeoutInMillis: 1000 }) },
        'x-amazon-apigateway-any-method': { security: [], ...operation() },
      },
    });
    const methods = resources.flatMap(({ path, methods: of }) =>
      [...of.values()].map(({ httpMethod, functionArn: arn, timeoutMs, authorizer: by }) => [
        `${httpMethod} ${path}`,
        arn,
        timeoutMs,
        by,
      ]),
    );
    expect(methods).toEqual([
      ['GET /', functionArn('orders'), 29_000, undefined],
      [
        'PUT /a/{id}',
        functionArn('orders'),
        1000,
        {
          id: 'rekey',
          functionArn: functionArn('authorizer'),
          ttlSeconds: 300,
          identitySources: ['method.request.header.x-api-key'],
        },
      ],
      ['ANY /a/{id}', functionArn('orders'), 29_000, undefined],
    ]);
  });

  it('takes no notice of the security of the whole document, as API Gateway', () => {
    const { resources } = imported({ '/': { get: operation() } }, { security: [{ rekey: [] }] });
    expect(resources[0]?.methods.get('GET')).not.toHaveProperty('authorizer');
  });

  it('has the gateway responses of the document', () => {
    const { gatewayResponses } = imported(
      { '/': { get: operation() } },
      {
        'x-amazon-apigateway-gateway-responses': {
          THROTTLED: {
            statusCode: '503',
            responseParameters: { 'gatewayresponse.header.A': "'b'" },
            responseTemplates: { 'application/json': '{}' },
          },
        },
      },
    );
    expect(gatewayResponses.get('THROTTLED')).toEqual({
      status: 503,
      headers: [['A', "'b'"]],
      templates: new Map([['application/json', '{}']]),
    });
  });

  it.each<[string, object, object?]>([
    ['only a Body of OpenAPI 3.0', {}, { openapi: '3.1.0' }],
    ['x-amazon-apigateway-policy in the root', {}, { 'x-amazon-apigateway-policy': {} }],
    [
      'x-amazon-apigateway-request-validator in get /',
      { '/': { get: { ...operation(), 'x-amazon-apigateway-request-validator': 'all' } } },
    ],
    ['the security scheme other of get /', { '/': { get: { ...operation(), security: [{ other: [] }] } } }],
    [
      'only one authorizer for get /',
      { '/': { get: { ...operation(), security: [{ rekey: [] }, { other: [] }] } } },
    ],
    ['Integration.Credentials', { '/': { get: operation({ credentials: 'arn' }) } }],
    ['Integration.Type', { '/': { get: operation({ type: 'http' }) } }],
    ['Integration.Type', { '/': { get: {} } }],
  ])('is refused where the laptop does not know it: %s', (why, paths, more = {}) => {
    expect(() => imported(paths, more)).toThrow(why);
  });
});
