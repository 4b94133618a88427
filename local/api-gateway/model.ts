import type { evaluatePolicies } from '../iam.ts';
import { checkSupported, type DeployedResource, describeUnknown } from '../resource.ts';
import { importBody } from './openapi-body.ts';
import { supported } from './supported.ts';

export interface ApiGatewayInput {
  /** All resources of all stacks; those of API Gateway are picked. */
  resources: DeployedResource[];
  invoke(functionArn: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
  /** Whether a resource policy lets API Gateway invoke the function from that source. */
  mayInvoke(functionArn: string, sourceArn: string): boolean;
  evaluate: typeof evaluatePolicies;
  /** Milliseconds since 1970, by the stack's clock. */
  now(): number;
  account: string;
  region: string;
  accessLog(line: Record<string, unknown>): void;
}

export type Services = Omit<ApiGatewayInput, 'resources'>;

export interface MethodModel {
  httpMethod: string;
  functionArn: string;
  timeoutMs: number;
  authorizer?: AuthorizerModel;
}

export interface ResourceModel {
  id: string;
  /** `/orders/{id}` */
  path: string;
  segments: string[];
  /** By HTTP method or `ANY`. */
  methods: Map<string, MethodModel>;
}

export interface AuthorizerModel {
  id: string;
  functionArn: string;
  /** Seconds; 0 asks the function for every request. */
  ttlSeconds: number;
  identitySources: string[];
}

export interface GatewayResponseModel {
  status?: number;
  /** Header name to `'static'` or `method.request.…`. */
  headers: [name: string, source: string][];
  /** Content type to template. */
  templates: Map<string, string>;
}

export interface StageModel {
  name: string;
  deploymentId: string;
  variables: Record<string, string> | null;
  accessLogFormat?: string;
}

/** One REST API as deployed, with the services it calls. */
export interface RestApiModel {
  restApiId: string;
  name: string;
  stack: string;
  /** In template order; `serveRestApi` gives the URL of the first. */
  stages: StageModel[];
  /** Only those that have methods. */
  resources: ResourceModel[];
  gatewayResponses: Map<string, GatewayResponseModel>;
  services: Services;
}

/** The response types of `PutGatewayResponse`, with their statuses (AWS: supported-gateway-response-types). */
export const RESPONSE_TYPES = {
  ACCESS_DENIED: 403,
  API_CONFIGURATION_ERROR: 500,
  AUTHORIZER_CONFIGURATION_ERROR: 500,
  AUTHORIZER_FAILURE: 500,
  BAD_REQUEST_BODY: 400,
  BAD_REQUEST_PARAMETERS: 400,
  DEFAULT_4XX: 400,
  DEFAULT_5XX: 500,
  EXPIRED_TOKEN: 403,
  INTEGRATION_FAILURE: 504,
  INTEGRATION_TIMEOUT: 504,
  INVALID_API_KEY: 403,
  INVALID_SIGNATURE: 403,
  MISSING_AUTHENTICATION_TOKEN: 403,
  QUOTA_EXCEEDED: 429,
  REQUEST_TOO_LARGE: 413,
  RESOURCE_NOT_FOUND: 404,
  THROTTLED: 429,
  UNAUTHORIZED: 401,
  UNSUPPORTED_MEDIA_TYPE: 415,
  WAF_FILTERED: 403,
} as const;
export type ResponseType = keyof typeof RESPONSE_TYPES;

const DEFAULT_INTEGRATION_TIMEOUT_MS = 29_000;
/** AWS: "If this field is not set, the default value is 300" (CreateAuthorizer). */
const DEFAULT_AUTHORIZER_TTL_SECONDS = 300;

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'ANY'];
const IDENTITY_SOURCE =
  /^(?:method\.request\.(?:header|querystring)\.[^\s,]+|stageVariables\.\w+|context\.[\w.]+)$/;
const HEADER_SOURCE = /^(?:'[^'\r\n]*'|method\.request\.(?:header|querystring|path)\.[^\s]+)$/;

export const refuse = ({ stack, logicalId, type }: DeployedResource, why: string): never => {
  throw new Error(`${stack}/${logicalId} (${type}): ${why}`);
};

export const text = (resource: DeployedResource, name: string): string => {
  const value = resource.properties[name];
  return typeof value === 'string' ? value : refuse(resource, `${name} is missing or not text`);
};

export const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

export const number = (
  resource: DeployedResource,
  name: string,
  value: unknown,
  [from, to]: [number, number],
) => {
  const parsed = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof parsed === 'number' && Number.isInteger(parsed) && parsed >= from && parsed <= to
    ? parsed
    : refuse(resource, `${name} is not a whole number from ${from} to ${to}`);
};

/** The function in `arn:aws:apigateway:…:lambda:path/2015-03-31/functions/<function ARN>/invocations`. */
export function functionOf(resource: DeployedResource, name: string, uri: unknown): string {
  const arn =
    /^arn:[\w-]+:apigateway:[\w-]+:lambda:path\/2015-03-31\/functions\/(arn:[^/${}]+)\/invocations$/.exec(
      String(uri),
    )?.[1];
  return arn ?? refuse(resource, `${name} is not the invocation URI of a Lambda function`);
}

function authorizerModel(resource: DeployedResource): AuthorizerModel {
  const { properties } = resource;
  if (properties['Type'] !== 'REQUEST') {
    refuse(resource, `the laptop stack does not know the Type ${String(properties['Type'])}, only REQUEST`);
  }
  const ttlSeconds = number(
    resource,
    'AuthorizerResultTtlInSeconds',
    properties['AuthorizerResultTtlInSeconds'] ?? DEFAULT_AUTHORIZER_TTL_SECONDS,
    [0, 3600],
  );
  const identitySources = String(properties['IdentitySource'] ?? '')
    .split(',')
    .map((source) => source.trim())
    .filter((source) => source !== '');
  for (const source of identitySources) {
    if (!IDENTITY_SOURCE.test(source)) {
      refuse(resource, `the laptop stack does not know the IdentitySource ${source}`);
    }
  }
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

function methodModel(resource: DeployedResource, authorizers: Map<string, AuthorizerModel>): MethodModel {
  const { properties } = resource;
  const httpMethod = text(resource, 'HttpMethod');
  if (!METHODS.includes(httpMethod)) refuse(resource, `the HttpMethod ${httpMethod} is not one of AWS`);
  if (![undefined, false, 'false'].includes(properties['ApiKeyRequired'] as string)) {
    refuse(resource, 'the laptop stack does not know ApiKeyRequired: true');
  }
  const integration = record(properties['Integration']);
  if (integration['Type'] !== 'AWS_PROXY') {
    refuse(resource, `the laptop stack does not know the Integration.Type ${String(integration['Type'])}`);
  }
  if (integration['IntegrationHttpMethod'] !== 'POST') {
    refuse(resource, 'Integration.IntegrationHttpMethod must be POST; AWS answers 500 to any other');
  }
  const model: MethodModel = {
    httpMethod,
    functionArn: functionOf(resource, 'Integration.Uri', integration['Uri']),
    timeoutMs: number(
      resource,
      'Integration.TimeoutInMillis',
      integration['TimeoutInMillis'] ?? DEFAULT_INTEGRATION_TIMEOUT_MS,
      [50, DEFAULT_INTEGRATION_TIMEOUT_MS],
    ),
  };
  const authorization = properties['AuthorizationType'];
  if (authorization === 'NONE') return model;
  if (authorization !== 'CUSTOM') {
    refuse(resource, `the laptop stack does not know the AuthorizationType ${String(authorization)}`);
  }
  const authorizer = authorizers.get(String(properties['AuthorizerId']));
  if (!authorizer) return refuse(resource, 'AuthorizerId names no authorizer of this API');
  return { ...model, authorizer };
}

function gatewayResponseModel(resource: DeployedResource): GatewayResponseModel {
  const { properties } = resource;
  const type = text(resource, 'ResponseType');
  if (!Object.hasOwn(RESPONSE_TYPES, type)) refuse(resource, `the ResponseType ${type} is not one of AWS`);
  const headers = Object.entries(record(properties['ResponseParameters'])).map(
    ([target, source]): [string, string] => {
      const name = /^gatewayresponse\.header\.([\w!#$%&'*+.^`|~-]+)$/.exec(target)?.[1];
      if (!name) return refuse(resource, `the laptop stack does not know ResponseParameters.${target}`);
      if (!HEADER_SOURCE.test(String(source))) {
        refuse(
          resource,
          `the laptop stack does not know the value of ResponseParameters.${target}: ${source}`,
        );
      }
      return [name, String(source)];
    },
  );
  const templates = new Map(
    Object.entries(record(properties['ResponseTemplates'])).map(([type, template]) => [
      type,
      String(template),
    ]),
  );
  const status = properties['StatusCode'];
  if (status === undefined) return { headers, templates };
  return { status: number(resource, 'StatusCode', status, [200, 599]), headers, templates };
}

function stageModel(resource: DeployedResource, deployments: Set<string>): StageModel {
  const name = text(resource, 'StageName');
  if (!/^\w[\w-]{0,127}$/.test(name)) refuse(resource, `the StageName ${name} is not one of AWS`);
  const deploymentId = text(resource, 'DeploymentId');
  if (!deployments.has(deploymentId)) refuse(resource, 'DeploymentId names no deployment of this API');
  const variables = Object.entries(record(resource.properties['Variables']));
  const format = record(resource.properties['AccessLogSetting'])['Format'];
  return {
    name,
    deploymentId,
    variables: variables.length
      ? Object.fromEntries(variables.map(([key, value]) => [key, String(value)]))
      : null,
    ...(typeof format === 'string' && { accessLogFormat: format }),
  };
}

/**
 * Reads the REST APIs out of the deployed resources.
 *
 * @throws Error naming stack, logical id and property of whatever is not known or does not fit together.
 */
export function describeRestApis({ resources: all, ...services }: ApiGatewayInput): RestApiModel[] {
  const ours = all
    .filter(({ type }) => type.startsWith('AWS::ApiGateway::'))
    .flatMap((each) => (each.properties['Body'] === undefined ? [each] : [each, ...importBody(each)]));
  const { unknown } = checkSupported(ours, supported);
  if (unknown.length > 0) throw new Error(unknown.map(describeUnknown).join('\n'));

  return ours
    .filter(({ type }) => type === 'AWS::ApiGateway::RestApi')
    .map((api) => describe(api, ours, { ...services, account: api.account ?? services.account }));
}

function describe(api: DeployedResource, ours: DeployedResource[], services: Services): RestApiModel {
  const parts = (kind: string) =>
    ours.filter(
      ({ type, properties }) => type === `AWS::ApiGateway::${kind}` && properties['RestApiId'] === api.ref,
    );
  const types = record(api.properties['EndpointConfiguration'])['Types'];
  if (!Array.isArray(types) || types.length !== 1 || types[0] !== 'REGIONAL') {
    refuse(api, 'the laptop stack knows only EndpointConfiguration.Types: [REGIONAL]');
  }

  if (![undefined, false, 'false'].includes(api.properties['DisableExecuteApiEndpoint'] as string)) {
    refuse(api, 'the laptop stack does not know DisableExecuteApiEndpoint: true');
  }

  const rootId = api.attributes['RootResourceId'] ?? refuse(api, 'RootResourceId is missing');
  const tree = new Map(parts('Resource').map((resource) => [resource.ref, resource]));
  const segmentsOf = (id: string, seen: string[] = []): string[] => {
    if (id === rootId) return [];
    const resource = tree.get(id);
    if (!resource) throw new Error(`${api.stack}/${api.logicalId}: no resource ${id} in this API`);
    if (seen.includes(id)) refuse(resource, 'ParentId goes round in a circle');
    return [...segmentsOf(text(resource, 'ParentId'), [...seen, id]), text(resource, 'PathPart')];
  };

  const authorizers = new Map(parts('Authorizer').map((each) => [each.ref, authorizerModel(each)]));
  const resources = new Map<string, ResourceModel>();
  for (const method of parts('Method')) {
    const id = text(method, 'ResourceId');
    const segments = segmentsOf(id);
    const resource: ResourceModel = resources.get(id) ?? {
      id,
      path: `/${segments.join('/')}`,
      segments,
      methods: new Map(),
    };
    const model = methodModel(method, authorizers);
    if (resource.methods.has(model.httpMethod)) refuse(method, `${model.httpMethod} is there twice`);
    resource.methods.set(model.httpMethod, model);
    resources.set(id, resource);
  }

  const deployments = new Set(parts('Deployment').map(({ ref }) => ref));
  const stages = parts('Stage').map((stage) => stageModel(stage, deployments));
  if (stages.length === 0) refuse(api, 'it has no stage');
  return {
    restApiId: api.ref,
    name: text(api, 'Name'),
    stack: api.stack,
    stages,
    resources: [...resources.values()],
    gatewayResponses: new Map(
      parts('GatewayResponse').map((each) => [text(each, 'ResponseType'), gatewayResponseModel(each)]),
    ),
    services,
  };
}
