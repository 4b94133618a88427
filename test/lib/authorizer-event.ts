import type { APIGatewayRequestAuthorizerEvent } from 'aws-lambda';

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
