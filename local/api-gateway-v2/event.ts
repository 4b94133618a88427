import { commonLogTime } from '../api-gateway/event.ts';
import type { GatewayRequest } from '../api-gateway/request.ts';
import type { ApiModel, RouteModel, StageModel } from './model.ts';

/** A request to an HTTP API, as far as its stage and its route are known. */
export interface HttpExchange {
  model: ApiModel;
  stage: StageModel;
  route: RouteModel;
  pathParameters: Record<string, string>;
  request: GatewayRequest;
  rawQueryString: string;
  body: Buffer;
  requestId: string;
  receivedAt: number;
  /** The context that the authorizer gave, under `lambda` as in events. */
  authorizer?: { lambda: Record<string, unknown> };
}

/** Names in lower case, "duplicate headers are combined with commas" (http-api-develop-integrations-lambda). */
export function joinedHeaders(headers: Map<string, string[]>): Record<string, string> {
  const joined = new Map<string, string[]>();
  for (const [name, values] of headers) {
    const lower = name.toLowerCase();
    joined.set(lower, [...(joined.get(lower) ?? []), ...values]);
  }
  return Object.fromEntries([...joined].map(([name, values]) => [name, values.join(',')]));
}

const joinedQuery = (query: Map<string, string[]>): Record<string, string> =>
  Object.fromEntries([...query].map(([name, values]) => [name, values.join(',')]));

const ifAny = <Value>(name: string, map: Record<string, Value> | null): Record<string, unknown> =>
  map !== null && Object.keys(map).length > 0 ? { [name]: map } : {};

export function httpRequestContext(exchange: HttpExchange): Record<string, unknown> {
  const { model, stage, route, request, requestId, receivedAt, authorizer } = exchange;
  const { account, region } = model.services;
  return {
    accountId: account,
    apiId: model.apiId,
    ...(authorizer && { authorizer }),
    domainName: `${model.apiId}.execute-api.${region}.amazonaws.com`,
    domainPrefix: model.apiId,
    http: {
      method: request.method,
      path: request.fullPath,
      protocol: 'HTTP/1.1',
      sourceIp: request.sourceIp,
      userAgent: joinedHeaders(request.headers)['user-agent'] ?? '',
    },
    requestId,
    routeKey: route.routeKey,
    stage: stage.name,
    time: commonLogTime(receivedAt),
    timeEpoch: receivedAt,
  };
}

/** What payload 2.0 of an integration and of an authorizer have in common; empty maps are left out. */
function commonEvent(exchange: HttpExchange): Record<string, unknown> {
  const { route, request, rawQueryString, pathParameters, stage } = exchange;
  const { cookie, ...headers } = joinedHeaders(request.headers);
  return {
    version: '2.0',
    routeKey: route.routeKey,
    rawPath: request.fullPath,
    rawQueryString,
    ...(cookie !== undefined && { cookies: cookie.split(/; ?|,/) }),
    headers,
    ...ifAny('queryStringParameters', joinedQuery(request.query)),
    requestContext: httpRequestContext(exchange),
    ...ifAny('pathParameters', pathParameters),
    ...ifAny('stageVariables', stage.variables),
  };
}

/** What an authorizer with payload format 2.0 gets (http-api-lambda-authorizer). */
export const httpAuthorizerEvent = (
  exchange: HttpExchange,
  routeArn: string,
  identitySource: string[],
): Record<string, unknown> => {
  const { version, ...rest } = commonEvent(exchange);
  // Without identity sources AWS has null here.
  return {
    version,
    type: 'REQUEST',
    routeArn,
    identitySource: identitySource.length > 0 ? identitySource : null,
    ...rest,
  };
};

/** Content types of which the body stays text; whatever else comes is encoded. */
const IS_TEXT = /^(?:text\/|application\/(?:json|javascript|xml|[\w.-]+\+(?:json|xml))(?:$|[ ;]))/i;

export function httpProxyEvent(exchange: HttpExchange): Record<string, unknown> {
  const { body, request } = exchange;
  const contentType = joinedHeaders(request.headers)['content-type'];
  const isText = contentType === undefined || IS_TEXT.test(contentType);
  return {
    ...commonEvent(exchange),
    ...(body.length > 0 && { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}
