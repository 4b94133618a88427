import { beforeEach, describe, expect, it } from '@jest/globals';
import { type App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { ProtectedRestApi } from '../../infra/protected-rest-api.ts';
import type { CachingProps } from '../../infra/protection.ts';
import { importRekey } from '../../infra/rekey-reference.ts';
import type { RouteOptions } from '../../infra/route-access.ts';
import { operations } from '../../lib/operations/index.ts';
import { routesHash } from '../../lib/routes.ts';
import { documentsOf } from '../role-documents.ts';
import { appForTemplates, handlerIn, ofType, resourcesOf, synthesize } from './synthesize.ts';

const templates = synthesize({ canary: false });
const resourcesOfBoth = [templates.rekey, templates.orders].map(resourcesOf);

/** Of a template with one REST API: each route as `METHOD /path`, with its method. */
const methodsOf = (resources: (typeof resourcesOfBoth)[number]) => {
  const pathOf = (resource: { Ref?: string }): string => {
    const found = resource.Ref === undefined ? undefined : resources[resource.Ref];
    return found ? `${pathOf(found.Properties.ParentId)}/${found.Properties.PathPart}` : '';
  };
  return Object.fromEntries(
    ofType(resources, 'AWS::ApiGateway::Method').map(([, { Properties }]) => [
      `${Properties.HttpMethod} ${pathOf(Properties.ResourceId) || '/'}`,
      Properties,
    ]),
  );
};

const only = (resources: (typeof resourcesOfBoth)[number], type: string) => {
  const found = ofType(resources, type);
  expect(found).toHaveLength(1);
  return { id: found[0]![0], ...found[0]![1] };
};

describe('a protected REST API', () => {
  let app: App;
  let stack: Stack;
  let handler: LambdaFunction;
  const make = (id = 'Api') => new ProtectedRestApi(stack, id, { rekey: importRekey() });
  const resources = () => resourcesOf(Template.fromStack(stack));

  beforeEach(() => {
    app = appForTemplates();
    stack = new Stack(app, 'Shop');
    handler = handlerIn(stack);
  });

  it('asks the authorizer on every route that is not public', () => {
    const api = make();
    api.addRoute('GET /orders/{id}', { scopes: ['orders:read'], handler });
    api.addRoute('ANY /health', { public: true, handler });
    const all = resources();
    const methods = methodsOf(all);
    expect(methods['GET /orders/{id}']).toMatchObject({
      AuthorizationType: 'CUSTOM',
      AuthorizerId: { Ref: only(all, 'AWS::ApiGateway::Authorizer').id },
    });
    expect(methods['ANY /health']).toMatchObject({ AuthorizationType: 'NONE' });
    expect(methods['ANY /health']).not.toHaveProperty('AuthorizerId');
  });

  it('caches no answer of the authorizer, and leaves no request to API Gateway', () => {
    for (const each of resourcesOfBoth) {
      const { Properties } = only(each, 'AWS::ApiGateway::Authorizer');
      expect(Properties).toMatchObject({
        Type: 'REQUEST',
        AuthorizerResultTtlInSeconds: 0,
        IdentitySource: '',
      });
    }
  });

  describe('registers its stage', () => {
    const stageOf = (more: object) => {
      const api = new ProtectedRestApi(stack, 'Api', { rekey: importRekey(), ...more });
      api.addRoute('GET /', { scopes: ['orders:read'], handler });
      const all = resources();
      const [parts] = [only(all, 'Custom::RekeyRoutes').Properties.Stage['Fn::Join'][1]];
      const named = parts.map((part: string | { Ref?: string; 'Fn::GetAtt'?: string[] }) =>
        typeof part === 'string' ? part : (part.Ref ?? part['Fn::GetAtt']?.join('.')),
      );
      return { all, stage: JSON.parse(named.join('')) };
    };

    it('with the seconds for which answers are kept', () => {
      const { all, stage } = stageOf({ cacheTtl: Duration.minutes(5) });
      expect(stage).toEqual({
        api_id: only(all, 'AWS::ApiGateway::RestApi').id,
        stage: 'v1',
        kind: 'rest',
        account: 'AWS::AccountId',
        region: 'AWS::Region',
        cache_ttl_seconds: 300,
      });
      expect(ofType(all, 'AWS::IAM::Role').map(([id]) => id)).not.toContain(
        expect.stringContaining('FlushRole'),
      );
    });

    it('with none, where nothing is kept', () => {
      expect(stageOf({}).stage.cache_ttl_seconds).toBe(0);
    });

    it('with a role that may flush this one cache, for the product of another account', () => {
      const rekey = {
        authorizerFunctionArn: 'arn:aws:lambda:eu-central-1:111111111111:function:Authorizer',
        registerRoutesFunctionArn: 'arn:aws:lambda:eu-central-1:111111111111:function:Register',
        ofAnotherAccount: true,
      };
      const { all, stage } = stageOf({ rekey, cacheTtl: Duration.minutes(5) });
      const [[id, role] = ['', { Properties: {} as Record<string, unknown> }]] = ofType(
        all,
        'AWS::IAM::Role',
      ).filter(([id]) => id.includes('FlushRole'));
      expect(stage.role_arn).toBe(`${id}.Arn`);
      expect(role.Properties.RoleName).toMatch(/^rekey-flush-[\w-]{1,50}$/);
      const api = only(all, 'AWS::ApiGateway::RestApi').id;
      expect(role.Properties.AssumeRolePolicyDocument).toMatchObject({
        Statement: [
          {
            Action: 'sts:AssumeRole',
            Principal: { AWS: { 'Fn::Join': ['', ['arn:', expect.anything(), ':iam::111111111111:root']] } },
            Condition: { StringEquals: { 'sts:ExternalId': { 'Fn::Join': ['', ['rekey-', { Ref: api }]] } } },
          },
        ],
      });
      expect(documentsOf(id, all).map(({ Statement }) => Statement)).toEqual([
        [
          {
            Effect: 'Allow',
            Action: 'apigateway:DELETE',
            Resource: {
              'Fn::Join': [
                '',
                [
                  'arn:',
                  { Ref: 'AWS::Partition' },
                  ':apigateway:',
                  { Ref: 'AWS::Region' },
                  '::/restapis/',
                  { Ref: api },
                  '/stages/v1/cache/authorizers',
                ],
              ],
            },
          },
        ],
      ]);
    });
  });

  describe('with cacheTtl', () => {
    const kept = (more: Partial<CachingProps> = {}) =>
      new ProtectedRestApi(stack, 'Api', { rekey: importRekey(), cacheTtl: Duration.minutes(5), ...more });

    it('keeps answers by one header, x-api-key, and tells the authorizer', () => {
      kept().addRoute('GET /orders', { scopes: ['orders:read'], handler });
      const all = resources();
      expect(only(all, 'AWS::ApiGateway::Authorizer').Properties).toMatchObject({
        AuthorizerResultTtlInSeconds: 300,
        IdentitySource: 'method.request.header.x-api-key',
      });
      expect(only(all, 'AWS::ApiGateway::Stage').Properties.Variables).toEqual({
        rekeyRoutes: routesHash({ 'GET /orders': ['orders:read'] }),
        rekeyCacheHeader: 'x-api-key',
      });
    });

    it('is deployed anew when that changes, since a stage serves what was deployed', () => {
      const deployments = [undefined, Duration.minutes(5), Duration.minutes(6)].map((cacheTtl) => {
        const other = new Stack(appForTemplates(), 'Shop');
        const api = new ProtectedRestApi(other, 'Api', {
          rekey: importRekey(),
          ...(cacheTtl && { cacheTtl }),
        });
        const of = LambdaFunction.fromFunctionName(other, 'Handler', 'handler');
        api.addRoute('GET /orders', { scopes: ['orders:read'], handler: of });
        return only(resourcesOf(Template.fromStack(other)), 'AWS::ApiGateway::Deployment').id;
      });
      expect(new Set(deployments).size).toBe(3);
    });

    it('does not synthesize where no policy is exact, and names the routes', () => {
      const api = kept();
      api.addRoute('GET /a/{id}', { scopes: ['a:read'], handler });
      api.addRoute('GET /a/{id}/x', { scopes: ['a:write'], handler });
      api.addRoute('GET /a/{id}/y/x', { scopes: ['a:read'], handler });
      expect(() => Template.fromStack(stack)).toThrow(
        /Shop\/Api\/Routes: .*no IAM policy refuses GET \/a\/\{id\}\/x and allows GET \/a\/\{id\}\/y\/x/,
      );
    });

    it('takes the same routes without it', () => {
      const api = make();
      api.addRoute('GET /a/{id}', { scopes: ['a:read'], handler });
      api.addRoute('GET /a/{id}/x', { scopes: ['a:write'], handler });
      api.addRoute('GET /a/{id}/y/x', { scopes: ['a:read'], handler });
      expect(() => Template.fromStack(stack)).not.toThrow();
    });

    it.each([Duration.seconds(3601), Duration.millis(1500)])('does not take %s', (cacheTtl) => {
      expect(() => kept({ cacheTtl })).toThrow('cacheTtl must be whole seconds, 3600 at most');
    });
  });

  it('lets its own authorizer, and no other, call the authorizer function', () => {
    make().addRoute('GET /', { scopes: ['orders:read'], handler });
    const all = resources();
    const [permission] = ofType(all, 'AWS::Lambda::Permission')
      .map(([, { Properties }]) => Properties)
      .filter(({ FunctionName }) => FunctionName['Fn::ImportValue'] === 'Rekey-AuthorizerFunctionArn');
    const source = JSON.stringify(permission.SourceArn);
    expect(source).toContain(JSON.stringify({ Ref: only(all, 'AWS::ApiGateway::RestApi').id }));
    expect(source).toContain(
      `"/authorizers/",${JSON.stringify({ Ref: only(all, 'AWS::ApiGateway::Authorizer').id })}`,
    );
  });

  it('names in its stage the table of routes that it registers before', () => {
    for (const each of resourcesOfBoth) {
      const stage = only(each, 'AWS::ApiGateway::Stage');
      const table = only(each, 'Custom::RekeyRoutes');
      const routes = JSON.parse(table.Properties.Routes);
      expect(stage.Properties.Variables).toEqual({ rekeyRoutes: routesHash(routes) });
      expect(table.Properties.Hash).toBe(routesHash(routes));
      expect(table.Properties.RestApiId).toEqual({ Ref: only(each, 'AWS::ApiGateway::RestApi').id });
      expect(stage.DependsOn).toContain(table.id);
      expect(Object.keys(methodsOf(each)).toSorted()).toEqual(Object.keys(routes).toSorted());
    }
  });

  it('registers the scopes that are written in the operations, once', () => {
    const [rekey] = resourcesOfBoth as [(typeof resourcesOfBoth)[number]];
    expect(JSON.parse(only(rekey, 'Custom::RekeyRoutes').Properties.Routes)).toEqual(
      Object.fromEntries(
        operations.map(({ method, path, scope, public: everybody }) => [
          `${method} ${path}`,
          everybody ? [] : scope ? [scope] : [[]],
        ]),
      ),
    );
  });

  it('keeps public routes in the table, with nothing needed', () => {
    make().addRoute('GET /health', { public: true, handler });
    expect(JSON.parse(only(resources(), 'Custom::RekeyRoutes').Properties.Routes)).toEqual({
      'GET /health': [],
    });
  });

  it('gives a route a limit of its own, beside that of the stage', () => {
    const throttle = { requestsPerSecond: 5, burst: 20 };
    make().addRoute('POST /leaks/{id}', { public: true, handler, throttle });
    const { MethodSettings } = only(resources(), 'AWS::ApiGateway::Stage').Properties;
    expect(MethodSettings).toHaveLength(2);
    expect(MethodSettings[1]).toEqual({
      HttpMethod: 'POST',
      ResourcePath: '/~1leaks~1{id}',
      ThrottlingRateLimit: 5,
      ThrottlingBurstLimit: 20,
      LoggingLevel: 'ERROR',
      DataTraceEnabled: false,
    });
  });

  it('asks the authorizer on a route for any valid key, with no scope needed', () => {
    make().addRoute('GET /whoami', { authenticated: true, handler });
    const all = resources();
    expect(methodsOf(all)['GET /whoami']).toMatchObject({ AuthorizationType: 'CUSTOM' });
    expect(JSON.parse(only(all, 'Custom::RekeyRoutes').Properties.Routes)).toEqual({ 'GET /whoami': [[]] });
  });

  it.each([
    ['nothing', {}],
    ['that it is not authenticated', { authenticated: false }],
    ['scopes and that any key will do', { scopes: ['orders:read'], authenticated: true }],
    ['that any key will do and that it is public', { authenticated: true, public: true }],
    ['no scope at all', { scopes: [] }],
    ['scopes and that it is public', { scopes: ['orders:read'], public: true }],
    ['that it is not public', { public: false }],
  ])('refuses a route that says %s, with its name', (_, access) => {
    const options = { ...access, handler } as unknown as RouteOptions;
    expect(() => make().addRoute('GET /orders', options)).toThrow(
      'Route "GET /orders" must say who may call it',
    );
  });

  it.each([
    ['GET orders', ['orders:read']],
    ['FETCH /orders', ['orders:read']],
    ['GET /orders', ['orders:*']],
    ['GET /orders', ['orders']],
  ])('refuses %s with %j, with its name', (route, scopes) => {
    expect(() => make().addRoute(route, { scopes, handler })).toThrow(JSON.stringify(route));
  });

  it('refuses a route that is declared twice, with its name', () => {
    const api = make();
    api.addRoute('GET /orders', { scopes: ['orders:read'], handler });
    expect(() => api.addRoute('GET /orders', { public: true, handler })).toThrow(
      '"GET /orders" is declared twice',
    );
  });

  it('is deployed again when its routes or its authorizer change, though not when only scopes do', () => {
    const deployment = (scope: string, more: string[] = [], rekey = importRekey()) => {
      app = appForTemplates();
      stack = new Stack(app, 'Shop');
      handler = new LambdaFunction(stack, 'Handler', {
        runtime: Runtime.NODEJS_24_X,
        handler: 'index.handler',
        code: Code.fromInline('0'),
      });
      const api = new ProtectedRestApi(stack, 'Api', { rekey });
      for (const route of ['GET /orders', ...more]) api.addRoute(route, { scopes: [scope], handler });
      const all = resources();
      return {
        id: only(all, 'AWS::ApiGateway::Deployment').id,
        variable: only(all, 'AWS::ApiGateway::Stage').Properties.Variables.rekeyRoutes,
      };
    };
    const before = deployment('orders:read');
    expect(deployment('orders:read')).toEqual(before);
    expect(deployment('orders:read', ['POST /orders']).id).not.toBe(before.id);
    // API Gateway serves what was deployed, so another authorizer must be deployed as well.
    expect(deployment('orders:read', [], importRekey('OtherRekey')).id).not.toBe(before.id);
    // The stage variable alone is a change of the stage, which API Gateway takes without a new deployment.
    const other = deployment('orders:list');
    expect(other.id).toBe(before.id);
    expect(other.variable).not.toBe(before.variable);
  });

  it('has a stage that throttles, traces and logs, without anything that the caller chose', () => {
    for (const each of resourcesOfBoth) {
      const { Properties } = only(each, 'AWS::ApiGateway::Stage');
      expect(Properties).toMatchObject({
        StageName: 'v1',
        TracingEnabled: true,
        MethodSettings: expect.arrayContaining([
          {
            HttpMethod: '*',
            ResourcePath: '/*',
            DataTraceEnabled: false,
            LoggingLevel: 'ERROR',
            ThrottlingRateLimit: 100,
            ThrottlingBurstLimit: 200,
          },
        ]),
      });
      for (const settings of Properties.MethodSettings)
        expect(settings).toMatchObject({ DataTraceEnabled: false, LoggingLevel: 'ERROR' });
      const format: string = Properties.AccessLogSetting.Format;
      expect(JSON.parse(format)).toMatchObject({
        request_id: '$context.requestId',
        status: '$context.status',
      });
      for (const chosen of [
        '$context.path',
        'header',
        'userAgent',
        'error.message',
        'querystring',
        '$input',
      ]) {
        expect(format).not.toContain(chosen);
      }
    }
  });
});

describe('what API Gateway answers by itself', () => {
  const responses = Object.fromEntries(
    ofType(resourcesOfBoth[0]!, 'AWS::ApiGateway::GatewayResponse').map(([, { Properties }]) => [
      Properties.ResponseType as string,
      Properties,
    ]),
  );
  const header = (type: string, name: string) =>
    responses[type].ResponseParameters[`gatewayresponse.header.${name}`];
  const fill = (type: string, values: Record<string, string>) =>
    JSON.parse(
      (responses[type].ResponseTemplates['application/json'] as string).replace(
        /\$context\.([\w.]+)/g,
        (_, name: string) => values[name] ?? '',
      ),
    );

  it('is the same for every protected API', () => {
    const bodies = resourcesOfBoth.map((each) =>
      ofType(each, 'AWS::ApiGateway::GatewayResponse').map(([, { Properties }]) => ({
        ...Properties,
        RestApiId: 'the API',
      })),
    );
    expect(bodies[1]).toEqual(bodies[0]);
  });

  it.each(Object.keys(responses))('%s is a problem document that nobody keeps', (type) => {
    expect(header(type, 'Content-Type')).toBe("'application/problem+json'");
    expect(header(type, 'Cache-Control')).toBe("'no-store'");
    const document = fill(type, { requestId: 'abc', 'authorizer.code': 'insufficient_scope' });
    expect(document).toMatchObject({
      type: expect.stringMatching(/^urn:rekey:problem:[a-z_]+$/),
      title: expect.any(String),
      detail: expect.any(String),
      request_id: 'abc',
    });
    // A status given for a default would replace those of all other responses of its kind.
    const status = responses[type].StatusCode;
    if (type.startsWith('DEFAULT_')) expect([status, document.status]).toEqual([undefined, undefined]);
    else expect(status).toBe(String(document.status));
  });

  it('names the missing scopes in a 403', () => {
    expect(
      fill('ACCESS_DENIED', {
        requestId: 'abc',
        'authorizer.code': 'insufficient_scope',
        'authorizer.detail': 'Use an API key that has orders:write, orders:refund.',
        'authorizer.missing_scopes': '"orders:write","orders:refund"',
      }),
    ).toMatchObject({
      type: 'urn:rekey:problem:insufficient_scope',
      status: 403,
      missing_scopes: ['orders:write', 'orders:refund'],
    });
    expect(fill('ACCESS_DENIED', { 'authorizer.missing_scopes': '' }).missing_scopes).toEqual([]);
  });

  it('challenges in a 401, and says an unknown path or method is not found', () => {
    expect(header('UNAUTHORIZED', 'WWW-Authenticate')).toBe(`'Bearer error="invalid_token"'`);
    expect(fill('UNAUTHORIZED', {}).status).toBe(401);
    for (const type of [
      'MISSING_AUTHENTICATION_TOKEN',
      'RESOURCE_NOT_FOUND',
      'INVALID_SIGNATURE',
      'EXPIRED_TOKEN',
    ]) {
      expect(fill(type, {})).toMatchObject({ status: 404, type: 'urn:rekey:problem:not_found' });
    }
  });

  it('never repeats an error of API Gateway, which may quote the Authorization header', () => {
    expect(JSON.stringify(responses)).not.toContain('$context.error');
  });
});
