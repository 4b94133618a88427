import { describe, expect, it } from '@jest/globals';
import { describeRestApis } from '../../../local/api-gateway/index.ts';
import type { DeployedResource } from '../../../local/resource.ts';
import { described, ordersApi, resource } from './orders-api.ts';

const describeApis = (resources: DeployedResource[]) =>
  describeRestApis({
    resources,
    ...described,
  });

/** The API with one property changed; a dotted path leads into objects and the first entry of lists. */
const changed = (logicalId: string, path: string, value: unknown) => {
  const resources = structuredClone(
    ordersApi({
      authorizer: {},
      gatewayResponses: { UNAUTHORIZED: {} },
      stage: { MethodSettings: [{ HttpMethod: '*', ResourcePath: '/*', ThrottlingBurstLimit: 5 }] },
    }),
  );
  const names = path.split('.');
  const last = names.pop()!;
  let at: Record<string, never> = resources.find((each) => each.logicalId === logicalId)!.properties as never;
  for (const name of names) {
    const next: never = at[name] ?? ({} as never);
    at[name] = next;
    at = Array.isArray(next) ? next[0] : next;
  }
  at[last] = value as never;
  return resources;
};

describe('the laptop’s API Gateway', () => {
  it('reads the APIs of all stacks, and nothing of other types', () => {
    const [api, ...others] = describeApis([
      ...changed('Api', 'Description', 'Orders'),
      {
        stack: 'Orders',
        logicalId: 'Table',
        type: 'AWS::DynamoDB::Table',
        properties: { A: 1 },
        ref: 't',
        attributes: {},
      },
    ]);
    expect(others).toEqual([]);
    expect(api).toMatchObject({ name: 'orders', restApiId: 'a1b2c3d4e5', stack: 'Orders' });
  });

  it.each([
    ['Api', 'BinaryMediaTypes', ['*/*']],
    ['Api', 'Policy', {}],
    ['Method GET /orders', 'RequestParameters', { 'method.request.header.X': true }],
    ['Method GET /orders', 'Integration.RequestTemplates', { 'application/json': '' }],
    ['Method GET /orders', 'Integration.Credentials', 'arn:aws:iam::000000000000:role/r'],
    ['auth', 'IdentityValidationExpression', '.*'],
    ['auth', 'AuthorizerCredentials', 'arn:aws:iam::000000000000:role/r'],
    ['stage', 'CacheClusterEnabled', true],
    ['stage', 'MethodSettings.CachingEnabled', true],
    ['deployment', 'StageName', 'other'],
  ])('stops at what it does not know: %s, %s', (logicalId, path, value) => {
    expect(() => describeApis(changed(logicalId, path, value))).toThrow(
      new RegExp(`Orders/${logicalId} \\(AWS::ApiGateway::\\w+\\): .*${path.replaceAll('.', '\\.')}`),
    );
  });

  it('stops at a resource type it does not know', () => {
    const resources = [...ordersApi(), resource('UsagePlan', 'Plan', {})];
    expect(() => describeApis(resources)).toThrow(/Orders\/Plan \(AWS::ApiGateway::UsagePlan\)/);
  });

  it.each([
    ['Api', 'EndpointConfiguration.Types', ['EDGE'], /REGIONAL/],
    ['Api', 'DisableExecuteApiEndpoint', true, /DisableExecuteApiEndpoint/],
    ['Method GET /orders', 'AuthorizationType', 'AWS_IAM', /AuthorizationType AWS_IAM/],
    ['Method GET /orders', 'AuthorizerId', 'other', /names no authorizer/],
    ['Method GET /orders', 'ApiKeyRequired', true, /ApiKeyRequired/],
    ['Method GET /orders', 'HttpMethod', 'TRACE', /TRACE/],
    ['Method GET /orders', 'ResourceId', 'other', /no resource other/],
    ['Method GET /orders', 'Integration.Type', 'MOCK', /Integration\.Type MOCK/],
    ['Method GET /orders', 'Integration.IntegrationHttpMethod', 'GET', /POST/],
    ['Method GET /orders', 'Integration.Uri', 'https://example.com', /Uri is not the invocation URI/],
    ['Method GET /orders', 'Integration.TimeoutInMillis', 30_000, /from 50 to 29000/],
    ['auth', 'Type', 'TOKEN', /Type TOKEN/],
    ['auth', 'AuthorizerResultTtlInSeconds', 3601, /from 0 to 3600/],
    ['auth', 'AuthorizerResultTtlInSeconds', 60, /needs an IdentitySource/],
    ['auth', 'IdentitySource', 'method.request.body', /IdentitySource method\.request\.body/],
    ['ResponseUNAUTHORIZED', 'ResponseType', 'TEAPOT', /TEAPOT/],
    ['ResponseUNAUTHORIZED', 'StatusCode', '99', /StatusCode/],
    [
      'ResponseUNAUTHORIZED',
      'ResponseParameters',
      { 'gatewayresponse.path.x': "'a'" },
      /gatewayresponse\.path\.x/,
    ],
    [
      'ResponseUNAUTHORIZED',
      'ResponseParameters',
      { 'gatewayresponse.header.x': 'context.requestId' },
      /context\.requestId/,
    ],
    ['stage', 'DeploymentId', 'other', /names no deployment/],
    ['stage', 'StageName', 'v 1', /StageName v 1/],
  ])('stops at a value it does not know: %s, %s: %p', (logicalId, path, value, message) => {
    expect(() => describeApis(changed(logicalId, path, value))).toThrow(message);
    expect(() => describeApis(changed(logicalId, path, value))).toThrow(/Orders\//);
  });

  it('takes a cached authorizer’s life for five minutes where none is given', () => {
    const [api] = describeApis(
      ordersApi({
        authorizer: { AuthorizerResultTtlInSeconds: undefined, IdentitySource: 'method.request.header.X' },
      }),
    );
    expect(api?.resources[0]?.methods.get('GET')?.authorizer?.ttlSeconds).toBe(300);
  });
});
