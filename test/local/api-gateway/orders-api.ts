import type { APIGatewayProxyEvent } from 'aws-lambda';
import { type ApiGatewayInput, describeRestApis, serveRestApi } from '../../../local/api-gateway/index.ts';
import { evaluatePolicies } from '../../../local/iam.ts';
import type { DeployedResource } from '../../../local/resource.ts';
import { exchangeRaw } from '../../lib/raw-exchange.ts';

/** Resources like those that CDK writes for a RestApi with a REQUEST authorizer, resolved. */
export const API = 'a1b2c3d4e5';
const ACCOUNT = '000000000000';
const REGION = 'us-east-1';

export const functionArn = (name: string) => `arn:aws:lambda:${REGION}:${ACCOUNT}:function:${name}`;
export const invocationUri = (name: string) =>
  `arn:aws:apigateway:${REGION}:lambda:path/2015-03-31/functions/${functionArn(name)}/invocations`;

/** What an API needs beside its resources, to be described and not served. */
export const described: Omit<ApiGatewayInput, 'resources'> = {
  invoke: () => Promise.reject(new Error('not invoked')),
  mayInvoke: () => false,
  evaluate: evaluatePolicies,
  now: () => 0,
  account: ACCOUNT,
  region: REGION,
  accessLog: () => {},
};

export function resource(
  kind: string,
  logicalId: string,
  properties: Record<string, unknown>,
  attributes: Record<string, string> = {},
): DeployedResource {
  return {
    stack: 'Orders',
    logicalId,
    type: `AWS::ApiGateway::${kind}`,
    properties: { ...(kind !== 'RestApi' && { RestApiId: API }), ...properties },
    ref: kind === 'RestApi' ? API : logicalId,
    attributes,
  };
}

export interface ApiOptions {
  /** `GET /orders/{id}` to function name. */
  routes?: Record<string, string>;
  authorizer?: Record<string, unknown>;
  gatewayResponses?: Record<string, Record<string, unknown>>;
  stage?: Record<string, unknown>;
  method?: Record<string, unknown>;
  integration?: Record<string, unknown>;
}

export function ordersApi(options: ApiOptions = {}): DeployedResource[] {
  const { routes = { 'GET /orders': 'orders' }, authorizer, gatewayResponses = {} } = options;
  const resources = new Map<string, DeployedResource>();
  const resourceId = (path: string): string => {
    if (path === '') return 'root';
    const at = path.lastIndexOf('/');
    const id = `Resource${path}`;
    if (!resources.has(id)) {
      const ParentId = resourceId(path.slice(0, at));
      resources.set(id, resource('Resource', id, { ParentId, PathPart: path.slice(at + 1) }));
    }
    return id;
  };
  const methods = Object.entries(routes).map(([route, name]) => {
    const [HttpMethod = '', path = ''] = route.split(' ');
    return resource('Method', `Method ${route}`, {
      ResourceId: resourceId(path === '/' ? '' : path),
      HttpMethod,
      ...(authorizer ? { AuthorizationType: 'CUSTOM', AuthorizerId: 'auth' } : { AuthorizationType: 'NONE' }),
      Integration: {
        Type: 'AWS_PROXY',
        IntegrationHttpMethod: 'POST',
        Uri: invocationUri(name),
        ...options.integration,
      },
      ...options.method,
    });
  });
  return [
    resource(
      'RestApi',
      'Api',
      { Name: 'orders', EndpointConfiguration: { Types: ['REGIONAL'] } },
      { RootResourceId: 'root' },
    ),
    ...resources.values(),
    ...methods,
    ...(authorizer
      ? [
          resource('Authorizer', 'auth', {
            Name: 'Authorizer',
            Type: 'REQUEST',
            AuthorizerUri: invocationUri('authorizer'),
            AuthorizerResultTtlInSeconds: 0,
            IdentitySource: '',
            ...authorizer,
          }),
        ]
      : []),
    ...Object.entries(gatewayResponses).map(([ResponseType, more]) =>
      resource('GatewayResponse', `Response${ResponseType}`, { ResponseType, ...more }),
    ),
    resource('Deployment', 'deployment', { Description: 'of CDK' }),
    resource('Stage', 'stage', { DeploymentId: 'deployment', StageName: 'v1', ...options.stage }),
  ];
}

type Handler = (event: Event) => unknown;
/** What functions get: the authorizer has `methodArn`, an integration has `body`. */
export type Event = APIGatewayProxyEvent & { type: string; methodArn: string };

export const policy = (event: Event, Effect: 'Allow' | 'Deny' = 'Allow', Resource = event.methodArn) => ({
  Version: '2012-10-17',
  Statement: [{ Action: 'execute-api:Invoke', Effect, Resource }],
});

/** A failed invocation, as Lambda tells it: the error's text is the payload's `errorMessage`. */
export const failure = (errorMessage: string) => ({ functionError: 'Unhandled', payload: { errorMessage } });

/**
 * Serves the API with functions that are plain ones here.
 *
 * A function's result is its payload, unless it is a `failure(…)`. `events` has what each was given, in order.
 */
export async function serveOrders(
  options: ApiOptions,
  functions: Record<string, Handler>,
  more: Partial<ApiGatewayInput> = {},
) {
  const events: { name: string; event: Event }[] = [];
  const log: Record<string, unknown>[] = [];
  const [model] = describeRestApis({
    resources: ordersApi(options),
    invoke: async (arn, payload) => {
      const name = arn.split(':').at(-1) ?? '';
      // As over the wire: what is not JSON is lost.
      const event = JSON.parse(JSON.stringify(payload)) as Event;
      events.push({ name, event });
      const result = await functions[name]?.(event);
      const failed = typeof result === 'object' && result !== null && 'functionError' in result;
      return failed ? (result as ReturnType<typeof failure>) : { payload: result };
    },
    mayInvoke: () => true,
    evaluate: evaluatePolicies,
    now: () => Date.UTC(2026, 10, 24, 3, 36, 50, 7),
    account: ACCOUNT,
    region: REGION,
    accessLog: (line) => log.push(line),
    ...more,
  });
  const served = await serveRestApi(model!, 0);
  const port = Number(new URL(served.url).port);
  return {
    ...served,
    port,
    events,
    log,
    /** Of the only event, or the last of that function. */
    event: (name = 'orders'): Event => events.findLast((each) => each.name === name)!.event,
    get: (path: string, init?: RequestInit) => fetch(`${served.url}${path}`, init),
    send: (text: string) => exchangeRaw(port, text),
  };
}
