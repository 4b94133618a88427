import type { APIGatewayRequestAuthorizerEvent, APIGatewayRequestAuthorizerEventV2 } from 'aws-lambda';

export const API_ID = 'a1b2c3d4e5';

/** What API Gateway sends to a REQUEST authorizer of a REST API: `headers` keeps the last value of each. */
export function authorizerEvent({
  method = 'GET',
  resource = '/orders',
  path = resource,
  headers = {},
  routesHash,
}: {
  method?: string;
  resource?: string;
  path?: string;
  headers?: Record<string, string[]>;
  routesHash?: string;
}): APIGatewayRequestAuthorizerEvent {
  return {
    type: 'REQUEST',
    methodArn: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/v1/${method}${path}`,
    resource,
    path,
    httpMethod: method,
    headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.at(-1)])),
    multiValueHeaders: headers,
    queryStringParameters: {},
    multiValueQueryStringParameters: {},
    pathParameters: {},
    stageVariables: routesHash === undefined ? null : { rekeyRoutes: routesHash },
    requestContext: {
      requestId: 'request-1',
      apiId: API_ID,
      stage: 'v1',
      resourcePath: resource,
      httpMethod: method,
    },
  } as unknown as APIGatewayRequestAuthorizerEvent;
}

/** What an HTTP API sends with payload format 2.0: names in lower case, repeated headers joined by a comma. */
export function httpAuthorizerEvent({
  route = 'GET /orders',
  method = 'GET',
  path = '/orders',
  headers = {},
  routesHash,
}: {
  route?: string;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  routesHash?: string;
}): APIGatewayRequestAuthorizerEventV2 {
  return {
    version: '2.0',
    type: 'REQUEST',
    routeArn: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/$default/${method}${path}`,
    identitySource: null,
    routeKey: route,
    rawPath: path,
    rawQueryString: '',
    headers,
    requestContext: {
      accountId: '000000000000',
      apiId: API_ID,
      requestId: 'request-1',
      routeKey: route,
      stage: '$default',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'test' },
    },
    ...(routesHash !== undefined && { stageVariables: { rekeyRoutes: routesHash } }),
  } as unknown as APIGatewayRequestAuthorizerEventV2;
}

/** What a WebSocket API sends when a connection is opened. */
export function connectEvent({
  headers = {},
  routesHash,
}: {
  headers?: Record<string, string[]>;
  routesHash?: string;
}): APIGatewayRequestAuthorizerEvent {
  return {
    type: 'REQUEST',
    methodArn: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/v1/$connect`,
    headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.at(-1)])),
    multiValueHeaders: headers,
    stageVariables: routesHash === undefined ? {} : { rekeyRoutes: routesHash },
    requestContext: {
      routeKey: '$connect',
      eventType: 'CONNECT',
      connectionId: 'c',
      requestId: 'request-1',
      apiId: API_ID,
      stage: 'v1',
    },
  } as unknown as APIGatewayRequestAuthorizerEvent;
}
