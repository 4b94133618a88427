import type { APIGatewayRequestAuthorizerEvent, APIGatewayRequestAuthorizerEventV2 } from 'aws-lambda';
import type { Headers } from './credentials.ts';
import { CACHE_HEADER_VARIABLE, OWNER_VARIABLE, ROUTES_VARIABLE } from './stage-variables.ts';

/** What a REQUEST authorizer gets: of REST and WebSocket APIs, or of HTTP APIs with payload format 2.0. */
export type AuthorizerEvent = APIGatewayRequestAuthorizerEvent | APIGatewayRequestAuthorizerEventV2;

/** One request to a protected route, whatever kind of API it came to. */
export interface RouteRequest {
  kind: 'rest' | 'http' | 'web_socket';
  requestId: string;
  apiId: string;
  /** What the policy is about. */
  methodArn: string;
  /** Of the route as declared: a method or, of HTTP APIs, `ANY`; `$connect`. */
  method: string;
  /** Of the route as declared: `/orders/{id}`; empty for `$connect`. */
  resource: string;
  /** The stage variable that names the table of routes. */
  routesHash: string | undefined;
  /** The stage variable that says whose registration of the API counts, where no table is named. */
  registeredBy: string | undefined;
  /** The stage variable that says by which header API Gateway keeps answers; without it, it keeps none. */
  cacheHeader: string | undefined;
  /** The name of a stage that keeps answers. */
  keptStage: string | undefined;
  /** Where every value of a header is to be found. */
  headers: Headers | null | undefined;
  /** For the event of a first use. */
  origin: { requestId?: unknown; identity?: { sourceIp?: unknown; userAgent?: unknown } };
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-control-access-using-iam-policies-to-invoke-api.html */
const METHOD_ARN =
  /^arn:aws[a-z-]*:execute-api:[a-z0-9-]+:\d{12}:([a-z0-9]{1,32})\/[^/]+\/([A-Z]+)\/.{0,4096}$/s;
const CONNECT_ARN = /^arn:aws[a-z-]*:execute-api:[a-z0-9-]+:\d{12}:([a-z0-9]{1,32})\/[^/]+\/\$connect$/;
/** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html */
const HTTP_ROUTE = /^([A-Z]+) (\/.*)$/s;

const stageOf = (arn: string): string | undefined => /^[^/]+\/([^/]+)\//.exec(arn)?.[1];

const refuse = (why: string): never => {
  throw new TypeError(why);
};

/** The parts of an ARN, which must be about the API of the event: what is judged must be what will be called. */
const partsOf = (pattern: RegExp, arn: unknown, apiId: unknown): string[] => {
  const parts = typeof arn === 'string' ? pattern.exec(arn) : null;
  if (!parts || parts[1] !== apiId) return refuse('the method ARN and the API of the event do not agree');
  return parts;
};

function httpRequest(event: APIGatewayRequestAuthorizerEventV2): RouteRequest {
  const { requestContext, routeArn, routeKey, headers, stageVariables } = event;
  const { apiId, http, requestId } = requestContext;
  const [, , arnMethod] = partsOf(METHOD_ARN, routeArn, apiId);
  if (arnMethod !== http?.method) refuse('the method ARN and the method of the event do not agree');
  const [, method = '', resource = ''] = HTTP_ROUTE.exec(routeKey) ?? ['', routeKey, ''];
  if (resource !== '' && method !== arnMethod && method !== 'ANY')
    refuse('the method ARN and the route of the event do not agree');
  const cacheHeader = stageVariables?.[CACHE_HEADER_VARIABLE];
  // An answer for this one request would be kept for others.
  if (cacheHeader === undefined && (event.identitySource ?? []).length > 0)
    refuse(
      `the authorizer has identity sources, so it keeps answers: name the header in the stage variable ${CACHE_HEADER_VARIABLE}`,
    );
  return {
    kind: 'http',
    requestId: String(requestId),
    apiId,
    methodArn: routeArn,
    method,
    resource,
    routesHash: stageVariables?.[ROUTES_VARIABLE],
    registeredBy: stageVariables?.[OWNER_VARIABLE],
    cacheHeader,
    keptStage: cacheHeader && stageOf(routeArn),
    // There is nothing else: what was sent twice is joined by commas, which no key has.
    headers,
    origin: { requestId, identity: http },
  };
}

function restOrWebSocketRequest(event: APIGatewayRequestAuthorizerEvent): RouteRequest {
  const { methodArn, httpMethod, resource, requestContext, stageVariables } = event;
  const { apiId, requestId } = requestContext ?? {};
  const cacheHeader = stageVariables?.[CACHE_HEADER_VARIABLE];
  const common = {
    requestId: String(requestId),
    apiId: apiId as string,
    methodArn,
    routesHash: stageVariables?.[ROUTES_VARIABLE],
    registeredBy: stageVariables?.[OWNER_VARIABLE],
    cacheHeader,
    keptStage: cacheHeader && stageOf(String(methodArn)),
    // Never `headers`: of a header that was sent twice it has only the last one.
    headers: event.multiValueHeaders,
    origin: requestContext ?? {},
  };
  if ((requestContext as { eventType?: unknown })?.eventType === 'CONNECT') {
    partsOf(CONNECT_ARN, methodArn, apiId);
    return { ...common, kind: 'web_socket', method: '$connect', resource: '' };
  }
  if (typeof httpMethod !== 'string' || typeof resource !== 'string' || resource === '')
    return refuse('the event is not that of a REQUEST authorizer');
  const [, , arnMethod] = partsOf(METHOD_ARN, methodArn, apiId);
  // A client may override the method (x-http-method-override).
  if (arnMethod !== httpMethod) refuse('the method ARN and the method of the event do not agree');
  return { ...common, kind: 'rest', method: httpMethod, resource };
}

/**
 * Reads the event of any kind of API.
 *
 * @throws TypeError when it is none of them, or its parts do not agree
 */
export function routeRequestOf(event: AuthorizerEvent): RouteRequest {
  if (event?.type !== 'REQUEST') return refuse('the event is not that of a REQUEST authorizer');
  const isHttp = 'version' in event && event.version === '2.0';
  return isHttp
    ? httpRequest(event as APIGatewayRequestAuthorizerEventV2)
    : restOrWebSocketRequest(event as APIGatewayRequestAuthorizerEvent);
}
