import {
  type ApiGatewayInput,
  type AuthorizerModel,
  functionOf,
  number,
  record,
  refuse,
  type Services,
  text,
} from '../api-gateway/model.ts';
import { checkSupported, type DeployedResource, describeUnknown } from '../resource.ts';
import { supported } from './supported.ts';

export interface RouteModel {
  /** `GET /orders/{id}`, `$default`, `$connect`, `subscribe` */
  routeKey: string;
  /** Of HTTP APIs: the path as declared, split at the slashes. `$default` has none and takes whatever is left. */
  segments: string[];
  /** Of HTTP APIs: a method or `ANY`. */
  method: string;
  functionArn: string;
  timeoutMs: number;
  authorizer?: AuthorizerModel;
  /** Of WebSocket APIs: the function's body is sent back. */
  answers: boolean;
}

export interface StageModel {
  name: string;
  variables: Record<string, string> | null;
  accessLogFormat?: string;
}

/** One API of API Gateway v2 as deployed, with the services it calls. */
export interface ApiModel {
  protocol: 'HTTP' | 'WEBSOCKET';
  apiId: string;
  name: string;
  stack: string;
  stages: StageModel[];
  routes: RouteModel[];
  /** Of WebSocket APIs: the member of a message's JSON that names its route, like `action`. */
  routeSelector: string;
  services: Services;
}

/** "Maximum integration timeout": 30 seconds for HTTP APIs, 29 for WebSocket APIs (http-api-quotas, limits). */
const LONGEST_TIMEOUT_MS = { HTTP: 30_000, WEBSOCKET: 29_000 };

const HTTP_ROUTE = /^(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (\/\S*)$/;
const WEBSOCKET_ROUTE = /^(?:\$connect|\$disconnect|\$default|[\w-]{1,128})$/;

const IDENTITY_SOURCE = {
  HTTP: /^\$(?:request\.(?:header|querystring)\.[^\s,]+|stageVariables\.\w+|context\.[\w.]+)$/,
  WEBSOCKET: /^(?:route\.request\.(?:header|querystring)\.[^\s,]+|stageVariables\.\w+|context\.[\w.]+)$/,
};

/** An HTTP API may name the function itself; the others name what invokes it. */
const functionArnOf = (resource: DeployedResource, name: string, value: unknown): string =>
  /^arn:[\w-]+:lambda:[\w-]+:\d{12}:function:[\w-]+$/.test(String(value))
    ? String(value)
    : functionOf(resource, name, value);

const isFalse = (value: unknown): boolean => [undefined, false, 'false'].includes(value as string);

function authorizerModel(resource: DeployedResource, protocol: ApiModel['protocol']): AuthorizerModel {
  const { properties } = resource;
  if (properties['AuthorizerType'] !== 'REQUEST') {
    refuse(
      resource,
      `the laptop stack does not know the AuthorizerType ${String(properties['AuthorizerType'])}, only REQUEST`,
    );
  }
  if (!isFalse(properties['EnableSimpleResponses'])) {
    refuse(resource, 'the laptop stack does not know EnableSimpleResponses: true');
  }
  const sources = properties['IdentitySource'] ?? [];
  const identitySources = (Array.isArray(sources) ? sources : []).map(String);
  for (const source of identitySources) {
    if (!IDENTITY_SOURCE[protocol].test(source))
      refuse(resource, `the laptop stack does not know the IdentitySource ${source}`);
  }
  const ttl = properties['AuthorizerResultTtlInSeconds'];
  if (protocol === 'WEBSOCKET') {
    if (ttl !== undefined) refuse(resource, 'AuthorizerResultTtlInSeconds is for HTTP APIs only');
    if (properties['AuthorizerPayloadFormatVersion'] !== undefined) {
      refuse(resource, 'AuthorizerPayloadFormatVersion is for HTTP APIs only');
    }
  } else {
    if (ttl === undefined)
      refuse(resource, 'AuthorizerResultTtlInSeconds is missing, and what AWS takes then is not documented');
    if (properties['AuthorizerPayloadFormatVersion'] !== '2.0') {
      refuse(resource, 'the laptop stack knows only AuthorizerPayloadFormatVersion 2.0');
    }
  }
  const ttlSeconds = number(resource, 'AuthorizerResultTtlInSeconds', ttl ?? 0, [0, 3600]);
  if (ttlSeconds > 0 && identitySources.length === 0) {
    refuse(resource, 'a cached authorizer needs an IdentitySource');
  }
  return {
    id: resource.ref,
    functionArn: functionOf(resource, 'AuthorizerUri', properties['AuthorizerUri']),
    ttlSeconds,
    identitySources,
  };
}

function stageModel(resource: DeployedResource): StageModel {
  const name = text(resource, 'StageName');
  if (!/^(?:\$default|[\w-]{1,128})$/.test(name)) refuse(resource, `the StageName ${name} is not one of AWS`);
  const variables = Object.entries(record(resource.properties['StageVariables']));
  const format = record(resource.properties['AccessLogSettings'])['Format'];
  return {
    name,
    variables: variables.length
      ? Object.fromEntries(variables.map(([key, value]) => [key, String(value)]))
      : null,
    ...(typeof format === 'string' && { accessLogFormat: format }),
  };
}

/**
 * Reads the HTTP and WebSocket APIs out of the deployed resources.
 *
 * @throws Error naming stack, logical id and property of whatever is not known or does not fit together.
 */
export function describeApis({ resources: all, ...services }: ApiGatewayInput): ApiModel[] {
  const ours = all.filter(({ type }) => type.startsWith('AWS::ApiGatewayV2::'));
  const { unknown } = checkSupported(ours, supported);
  if (unknown.length > 0) throw new Error(unknown.map(describeUnknown).join('\n'));
  return ours
    .filter(({ type }) => type === 'AWS::ApiGatewayV2::Api')
    .map((api) => describe(api, ours, { ...services, account: api.account ?? services.account }));
}

function describe(api: DeployedResource, ours: DeployedResource[], services: Services): ApiModel {
  const parts = (kind: string) =>
    ours.filter(
      ({ type, properties }) => type === `AWS::ApiGatewayV2::${kind}` && properties['ApiId'] === api.ref,
    );
  const protocol = text(api, 'ProtocolType');
  if (protocol !== 'HTTP' && protocol !== 'WEBSOCKET') {
    return refuse(api, `the ProtocolType ${protocol} is not one of AWS`);
  }
  if (!isFalse(api.properties['DisableExecuteApiEndpoint'])) {
    refuse(api, 'the laptop stack does not know DisableExecuteApiEndpoint: true');
  }
  const selection = String(api.properties['RouteSelectionExpression'] ?? '');
  const routeSelector = /^\$request\.body\.([\w-]+)$/.exec(selection)?.[1] ?? '';
  if (protocol === 'WEBSOCKET' && routeSelector === '') {
    refuse(api, 'the laptop stack knows only a RouteSelectionExpression like $request.body.action');
  }

  const authorizers = new Map(parts('Authorizer').map((each) => [each.ref, authorizerModel(each, protocol)]));
  const answering = new Set(parts('RouteResponse').map(({ properties }) => properties['RouteId']));
  const integrations = new Map(parts('Integration').map((each) => [each.ref, each]));
  const routeModel = (route: DeployedResource): RouteModel => {
    const routeKey = text(route, 'RouteKey');
    const [, method = '', path = ''] = HTTP_ROUTE.exec(routeKey) ?? [];
    const known =
      protocol === 'HTTP' ? method !== '' || routeKey === '$default' : WEBSOCKET_ROUTE.test(routeKey);
    if (!known) refuse(route, `the RouteKey ${routeKey} is not one of AWS`);

    const target = /^integrations\/(.+)$/.exec(String(route.properties['Target']))?.[1];
    const integration =
      integrations.get(target ?? '') ?? refuse(route, 'Target names no integration of this API');
    const { properties } = integration;
    if (properties['IntegrationType'] !== 'AWS_PROXY')
      refuse(integration, 'the laptop stack knows only the IntegrationType AWS_PROXY');
    if (protocol === 'HTTP' && properties['PayloadFormatVersion'] !== '2.0')
      refuse(integration, 'the laptop stack knows only PayloadFormatVersion 2.0');
    const longest = LONGEST_TIMEOUT_MS[protocol];
    const timeout = properties['TimeoutInMillis'] ?? longest;
    const model: RouteModel = {
      routeKey,
      method,
      segments: path.split('/').filter((segment) => segment !== ''),
      functionArn: functionArnOf(integration, 'IntegrationUri', properties['IntegrationUri']),
      timeoutMs: number(integration, 'TimeoutInMillis', timeout, [50, longest]),
      answers: answering.has(route.ref),
    };
    const authorization = route.properties['AuthorizationType'] ?? 'NONE';
    if (authorization === 'NONE') return model;
    if (authorization !== 'CUSTOM')
      refuse(route, `the laptop stack does not know the AuthorizationType ${String(authorization)}`);
    if (protocol === 'WEBSOCKET' && routeKey !== '$connect')
      refuse(route, 'a WebSocket API has authorizers on $connect only');
    const authorizer =
      authorizers.get(String(route.properties['AuthorizerId'])) ??
      refuse(route, 'AuthorizerId names no authorizer of this API');
    return { ...model, authorizer };
  };
  const routes = parts('Route').map(routeModel);
  const twice = routes.find(
    ({ routeKey }, index) => routes.findIndex((r) => r.routeKey === routeKey) < index,
  );
  if (twice) refuse(api, `the RouteKey ${twice.routeKey} is there twice`);
  const stages = parts('Stage').map(stageModel);
  if (stages.length === 0) refuse(api, 'it has no stage');
  return {
    protocol,
    apiId: api.ref,
    name: text(api, 'Name'),
    stack: api.stack,
    stages,
    routes,
    routeSelector,
    services,
  };
}
