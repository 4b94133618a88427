import { describe, expect, it } from '@jest/globals';
import {
  type OpenApiDocument,
  type ProtectOptions,
  protectOpenApi,
} from '../../../lib/protect-openapi/index.ts';
import { routesHash } from '../../../lib/routes.ts';

const URI = 'arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:…/invocations';
const integration = { 'x-amazon-apigateway-integration': { type: 'aws_proxy' } };

const documentOf = (operations: Record<string, unknown>, more: OpenApiDocument = {}): OpenApiDocument => {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [route, operation] of Object.entries(operations)) {
    const [method = '', path = ''] = route.split(' ');
    paths[path] = { ...paths[path], [method]: operation };
  }
  return { openapi: '3.0.3', info: { title: 't', version: '1' }, paths, ...more };
};
const protect = (document: OpenApiDocument, options: Partial<ProtectOptions> = {}) =>
  protectOpenApi(document, { api: 'rest', authorizerUri: URI, ...options });
const routesOf = (operations: Record<string, unknown>, more?: OpenApiDocument) =>
  protect(documentOf(operations, more)).routes;
// biome-ignore lint/suspicious/noExplicitAny: a document is JSON of any shape
const anyOf = (value: unknown): any => value;

describe('the security of an operation', () => {
  it.each([
    ['one scope', [{ rekey: ['a:read'] }], ['a:read']],
    ['all of several', [{ rekey: ['a:read', 'b:read'] }], ['a:read', 'b:read']],
    [
      'one of several',
      [{ rekey: ['a:read'] }, { rekey: ['b:read', 'c:read'] }],
      [['a:read'], ['b:read', 'c:read']],
    ],
    ['any valid key', [{ rekey: [] }], [[]]],
    ['any valid key, or one with a scope, which is the same', [{ rekey: ['a:read'] }, { rekey: [] }], [[]]],
    ['nothing, on purpose', [], []],
  ])('may be %s', (_, security, needed) => {
    expect(routesOf({ 'get /a': { security } })).toEqual({ 'GET /a': needed });
  });

  it('is that of the document where it says nothing itself', () => {
    expect(
      routesOf(
        { 'get /a': {}, 'put /a': { security: [{ rekey: ['a:write'] }] }, 'get /b': { security: [] } },
        {
          security: [{ rekey: ['a:read'] }],
        },
      ),
    ).toEqual({ 'GET /a': ['a:read'], 'PUT /a': ['a:write'], 'GET /b': [] });
  });

  it('is declared for ANY by the extension of API Gateway, and for parts of a path', () => {
    const security = [{ rekey: ['a:read'] }];
    expect(
      routesOf({
        'x-amazon-apigateway-any-method /a/{path+}': { security },
        'patch /a/{id}/b': { security },
      }),
    ).toEqual({ 'ANY /a/{path+}': ['a:read'], 'PATCH /a/{id}/b': ['a:read'] });
  });

  it.each([
    ['missing', undefined, 'GET /a has no security'],
    ['null', null, 'GET /a has no security'],
    ['optional', [{ rekey: ['a:read'] }, {}], 'GET /a has a requirement that asks for nothing'],
    ['of another scheme', [{ oauth: ['a:read'] }], 'GET /a asks for oauth'],
    ['of two schemes at once', [{ rekey: ['a:read'], oauth: [] }], 'GET /a asks for rekey and oauth'],
    ['a wildcard', [{ rekey: ['a:*'] }], 'Route "GET /a" must need scopes like orders:write'],
    ['no list', [{ rekey: 'a:read' }], 'GET /a must have a list of scopes under rekey'],
    ['no list of requirements', { rekey: ['a:read'] }, 'GET /a has no security'],
  ])('may not be %s', (_, security, message) => {
    expect(() => routesOf({ 'get /a': { security } })).toThrow(message);
  });

  it('is missing where only the document says that all is public', () => {
    expect(() => routesOf({ 'get /a': {} }, { security: [] })).toThrow('GET /a has no security');
  });

  it('is missing of every operation that is named, at once', () => {
    expect(() => routesOf({ 'get /a': {}, 'put /b/{id}': {}, 'get /c': { security: [] } })).toThrow(
      /^GET \/a has no security.*\nPUT \/b\/\{id\} has no security.*$/,
    );
  });
});

describe('a protected document', () => {
  const operations = {
    'get /a': { security: [{ rekey: ['a:read'] }, { rekey: ['b:read'] }], ...integration },
    'get /health': { security: [], ...integration },
  };

  it('asks the authorizer on every operation that is not public', () => {
    const { document } = protect(documentOf(operations, { security: [{ rekey: ['a:read'] }] }));
    expect(document).not.toHaveProperty('security');
    expect(anyOf(document['paths'])).toEqual({
      '/a': { get: { security: [{ rekey: [] }], ...integration } },
      '/health': { get: { security: [], ...integration } },
    });
  });

  it('has the authorizer of a REST API, which keeps nothing', () => {
    const { document } = protect(
      documentOf(operations, {
        components: { schemas: { A: {} }, securitySchemes: { rekey: { description: 'd' } } },
      }),
    );
    expect(document['components']).toEqual({
      schemas: { A: {} },
      securitySchemes: {
        rekey: {
          description: 'd',
          type: 'apiKey',
          in: 'header',
          name: 'x-api-key',
          'x-amazon-apigateway-authtype': 'custom',
          'x-amazon-apigateway-authorizer': {
            type: 'request',
            authorizerUri: URI,
            authorizerResultTtlInSeconds: 0,
          },
        },
      },
    });
  });

  it('has the authorizer of an HTTP API, which never answers simply, and no gateway responses', () => {
    const { document } = protect(documentOf(operations), {
      api: 'http',
      cacheTtlSeconds: 60,
      cacheHeader: 'authorization',
      scheme: 'rekey',
    });
    expect(anyOf(document['components']).securitySchemes.rekey).toEqual({
      type: 'apiKey',
      in: 'header',
      name: 'authorization',
      'x-amazon-apigateway-authorizer': {
        type: 'request',
        authorizerUri: URI,
        authorizerResultTtlInSeconds: 60,
        identitySource: '$request.header.authorization',
        authorizerPayloadFormatVersion: '2.0',
        enableSimpleResponses: false,
      },
    });
    expect(document).not.toHaveProperty('x-amazon-apigateway-gateway-responses');
  });

  it('answers problem documents, but for what the document answers itself', () => {
    const own = { THROTTLED: { statusCode: '503' } };
    const { document } = protect(documentOf(operations, { 'x-amazon-apigateway-gateway-responses': own }));
    const responses = anyOf(document['x-amazon-apigateway-gateway-responses']);
    expect(responses.THROTTLED).toEqual(own.THROTTLED);
    expect(responses.UNAUTHORIZED.statusCode).toBe('401');
    expect(responses.ACCESS_DENIED.responseParameters['gatewayresponse.header.Content-Type']).toBe(
      "'application/problem+json'",
    );
    expect(responses.DEFAULT_4XX).not.toHaveProperty('statusCode');
  });

  it('comes with the routes to register, their hash and the variables of the stage', () => {
    const { routes, hash, stageVariables } = protect(documentOf(operations), { cacheTtlSeconds: 300 });
    expect(routes).toEqual({ 'GET /a': [['a:read'], ['b:read']], 'GET /health': [] });
    expect(hash).toBe(routesHash(routes));
    expect(stageVariables).toEqual({ rekeyRoutes: hash, rekeyCacheHeader: 'x-api-key' });
    expect(protect(documentOf(operations)).stageVariables).toEqual({ rekeyRoutes: hash });
  });

  it('leaves the one it was made from as it was', () => {
    const document = documentOf(operations, { security: [] });
    const before = structuredClone(document);
    protect(document);
    expect(document).toEqual(before);
  });

  it.each([
    ['Swagger 2', { swagger: '2.0', openapi: undefined }, {}, 'must be one of OpenAPI 3'],
    ['no operations', { paths: {} }, {}, 'There are no operations'],
    ['a path kept elsewhere', { paths: { '/a': { $ref: 'a.yaml' } } }, {}, '/a has $ref'],
    ['a method that API Gateway does not know', { paths: { '/a': { trace: {} } } }, {}, '/a has trace'],
    ['a TTL of two hours', {}, { cacheTtlSeconds: 7200 }, 'from 0 to 3600'],
  ])('is not made of %s', (_, more, options, message) => {
    expect(() => protect(documentOf(operations, more), options)).toThrow(message);
  });

  it('is not made with a cache where no policy is exact', () => {
    const clashing = documentOf({
      'get /a/{id}': { security: [{ rekey: ['a:read'] }] },
      'get /a/{id}/x': { security: [{ rekey: ['a:write'] }] },
      'get /a/{id}/y/x': { security: [{ rekey: ['a:read'] }] },
    });
    expect(() => protect(clashing, { cacheTtlSeconds: 60 })).toThrow('no IAM policy refuses GET /a/{id}/x');
    expect(() => protect(clashing)).not.toThrow();
  });
});
