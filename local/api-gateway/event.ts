import type { Exchange } from './exchange.ts';
import { allValues, lastValues } from './request.ts';

/** `24/Nov/2026:03:36:50 +0000`, the common log format, in UTC. */
export function commonLogTime(now: number): string {
  const [, day, month, year, time] = new Date(now).toUTCString().split(/[ ,]+/);
  return `${day}/${month}/${year}:${time} +0000`;
}

/**
 * What templates, access logs and events know of a request (`$context`). Missing values are null, as in AWS's
 * own events (LocalStack's recording test_lambda_aws_proxy_integration).
 */
export function requestContext(exchange: Exchange): Record<string, unknown> {
  const { model, stage, request, resource, receivedAt, authorizer } = exchange;
  const { account, region } = model.services;
  return {
    accountId: account,
    apiId: model.restApiId,
    ...(stage && { deploymentId: stage.deploymentId }),
    // Of the API, whatever the client wrote into Host: on AWS the two can't differ.
    domainName: `${model.restApiId}.execute-api.${region}.amazonaws.com`,
    domainPrefix: model.restApiId,
    extendedRequestId: exchange.extendedRequestId,
    httpMethod: request.method,
    identity: {
      accessKey: null,
      accountId: null,
      caller: null,
      cognitoAuthenticationProvider: null,
      cognitoAuthenticationType: null,
      cognitoIdentityId: null,
      cognitoIdentityPoolId: null,
      principalOrgId: null,
      sourceIp: request.sourceIp,
      user: null,
      userAgent: exchange.userAgent,
      userArn: null,
    },
    path: request.fullPath,
    protocol: 'HTTP/1.1',
    requestId: exchange.requestId,
    requestTime: commonLogTime(receivedAt),
    requestTimeEpoch: receivedAt,
    ...(resource && { resourceId: resource.id, resourcePath: resource.path }),
    stage: request.stage,
    ...(authorizer && { authorizer }),
  };
}

const orNull = <Value>(map: Record<string, Value>) => (Object.keys(map).length > 0 ? map : null);

/** Payload format 1.0 of a Lambda proxy integration. Empty maps are null. */
export function proxyEvent(exchange: Exchange): Record<string, unknown> {
  const { request, resource, stage, pathParameters } = exchange;
  return {
    resource: resource?.path,
    path: request.path,
    httpMethod: request.method,
    headers: lastValues(request.headers),
    multiValueHeaders: allValues(request.headers),
    queryStringParameters: orNull(lastValues(request.query)),
    multiValueQueryStringParameters: orNull(allValues(request.query)),
    pathParameters: orNull(pathParameters),
    stageVariables: stage?.variables ?? null,
    requestContext: requestContext(exchange),
    body: request.body,
    isBase64Encoded: false,
  };
}

/** What a REQUEST authorizer gets: no body, and empty maps are `{}` (AWS: api-gateway-lambda-authorizer-input). */
export function authorizerEvent(exchange: Exchange, methodArn: string): Record<string, unknown> {
  const { request, resource, stage, pathParameters } = exchange;
  return {
    type: 'REQUEST',
    methodArn,
    resource: resource?.path,
    path: request.path,
    httpMethod: request.method,
    headers: lastValues(request.headers),
    multiValueHeaders: allValues(request.headers),
    queryStringParameters: lastValues(request.query),
    multiValueQueryStringParameters: allValues(request.query),
    pathParameters,
    stageVariables: stage?.variables ?? {},
    requestContext: requestContext(exchange),
  };
}
