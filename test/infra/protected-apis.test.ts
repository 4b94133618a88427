import { beforeEach, describe, expect, it } from '@jest/globals';
import { Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { importRekey, lookUpRekey, ProtectedHttpApi, ProtectedWebSocketApi } from '../../infra/cdk.ts';
import { routesHash } from '../../lib/routes.ts';
import { appForTemplates, handlerIn, ofType, resourcesOf } from './synthesize.ts';

let stack: Stack;
let handler: LambdaFunction;
beforeEach(() => {
  stack = new Stack(appForTemplates(), 'Shop');
  handler = handlerIn(stack);
});
const propertiesOf = (kind: string) =>
  ofType(resourcesOf(Template.fromStack(stack)), kind).map(([, { Properties }]) => Properties);
const routes = () =>
  Object.fromEntries(
    propertiesOf('AWS::ApiGatewayV2::Route').map(({ RouteKey, AuthorizationType }) => [
      RouteKey,
      AuthorizationType,
    ]),
  );
const http = () => new ProtectedHttpApi(stack, 'Api', { rekey: importRekey() });
const webSocket = () => new ProtectedWebSocketApi(stack, 'Api', { rekey: importRekey() });

describe('a protected HTTP API', () => {
  it('asks the authorizer on every route that is not public', () => {
    const api = http();
    api.addRoute('GET /a', { scopes: ['a:read'], handler });
    api.addRoute('ANY /{path+}', { anyOf: [['a:read'], ['b:read']], handler });
    api.addRoute('GET /me', { authenticated: true, handler });
    api.addRoute('GET /health', { public: true, handler });
    expect(routes()).toEqual({
      'GET /a': 'CUSTOM',
      'ANY /{path+}': 'CUSTOM',
      'GET /me': 'CUSTOM',
      'GET /health': 'NONE',
    });
  });

  it('keeps no answer, takes IAM policies only, and leaves no request to API Gateway', () => {
    http().addRoute('GET /a', { scopes: ['a:read'], handler });
    expect(propertiesOf('AWS::ApiGatewayV2::Authorizer')).toEqual([
      expect.objectContaining({
        AuthorizerPayloadFormatVersion: '2.0',
        AuthorizerResultTtlInSeconds: 0,
        EnableSimpleResponses: false,
        IdentitySource: [],
      }),
    ]);
  });

  it('names its routes in the stage by their hash, after they are registered', () => {
    http().addRoute('GET /a', { scopes: ['a:read'], handler });
    const hash = routesHash({ 'GET /a': ['a:read'] });
    const all = resourcesOf(Template.fromStack(stack));
    const [[, stage]] = ofType(all, 'AWS::ApiGatewayV2::Stage') as [[string, (typeof all)[string]]];
    const [[id, registration]] = ofType(all, 'Custom::RekeyRoutes') as [[string, (typeof all)[string]]];
    expect(stage.Properties.StageVariables).toEqual({ rekeyRoutes: hash });
    expect(registration.Properties).toMatchObject({ Hash: hash, Routes: '{"GET /a":["a:read"]}' });
    expect(stage.DependsOn).toContain(id);
  });

  it.each([
    ['nothing', {}],
    ['no scopes', { scopes: [] }],
    ['an alternative of nothing', { anyOf: [['a:read'], []] }],
    ['two things', { scopes: ['a:read'], public: true }],
    ['public: false', { public: false }],
    ['a wildcard', { scopes: ['a:*'] }],
  ])('does not take a route that says %s, and names it', (_, access) => {
    expect(() => http().addRoute('GET /a', { ...access, handler } as never)).toThrow('"GET /a"');
  });

  it.each(['$default', 'GET', 'GET a', 'LIST /a', 'GET /a?b'])('does not take %s for a route', (route) => {
    expect(() => http().addRoute(route, { scopes: ['a:read'], handler })).toThrow(JSON.stringify(route));
  });

  it('gives no permission for a function of another account, which only that account can', () => {
    const rekey = { ...importRekey(), ofAnotherAccount: true };
    new ProtectedHttpApi(stack, 'Api', { rekey }).addRoute('GET /a', { scopes: ['a:read'], handler });
    const functions = propertiesOf('AWS::Lambda::Permission').map(({ FunctionName }) => FunctionName);
    expect(JSON.stringify(functions)).not.toContain('AuthorizerFunctionArn');
  });

  it('keeps answers by one header where it is asked to, and tells the authorizer', () => {
    const api = new ProtectedHttpApi(stack, 'Api', {
      rekey: importRekey(),
      cacheTtl: Duration.minutes(5),
      cacheHeader: 'authorization',
    });
    api.addRoute('GET /a', { scopes: ['a:read'], handler });
    expect(propertiesOf('AWS::ApiGatewayV2::Authorizer')).toEqual([
      expect.objectContaining({
        AuthorizerResultTtlInSeconds: 300,
        EnableSimpleResponses: false,
        IdentitySource: ['$request.header.authorization'],
      }),
    ]);
    expect(propertiesOf('AWS::ApiGatewayV2::Stage')[0].StageVariables).toMatchObject({
      rekeyCacheHeader: 'authorization',
    });
  });

  it('finds Rekey by its SSM parameters', () => {
    const api = new ProtectedHttpApi(stack, 'Api', { rekey: lookUpRekey(stack, 'Keys') });
    api.addRoute('GET /a', { scopes: ['a:read'], handler });
    const parameters = Object.values(Template.fromStack(stack).toJSON()['Parameters'] as object);
    expect(parameters.map(({ Default }) => Default)).toEqual(
      expect.arrayContaining([
        '/rekey/Keys/authorizer-function-arn',
        '/rekey/Keys/register-routes-function-arn',
      ]),
    );
  });
});

describe('a protected WebSocket API', () => {
  it('asks the authorizer at $connect, and registers what messages need', () => {
    const api = webSocket();
    api.addRoute('publish', { scopes: ['n:write'], handler });
    api.addRoute('$connect', { scopes: ['n:read'], handler });
    api.onDisconnect(handler);
    expect(routes()).toEqual({ publish: 'NONE', $connect: 'CUSTOM', $disconnect: 'NONE' });
    expect(JSON.parse(propertiesOf('Custom::RekeyRoutes')[0].Routes)).toEqual({
      publish: ['n:write'],
      $connect: ['n:read'],
    });
  });

  it('keeps no answers, whatever it is told', () => {
    const kept = { rekey: importRekey(), cacheTtl: Duration.minutes(5) };
    expect(() => new ProtectedWebSocketApi(stack, 'Api', kept)).toThrow(
      'Shop/Api: a WebSocket API has no cacheTtl',
    );
  });

  it('does not synthesize without $connect, which everybody could open', () => {
    webSocket().addRoute('publish', { scopes: ['n:write'], handler });
    expect(() => Template.fromStack(stack)).toThrow('needs the route $connect');
  });

  it('does not take a route that says nothing, and names it', () => {
    expect(() => webSocket().addRoute('publish', { handler } as never)).toThrow('"publish"');
  });
});
