import { APIGatewayClient, FlushStageAuthorizersCacheCommand } from '@aws-sdk/client-api-gateway';
import { ApiGatewayV2Client, ResetAuthorizersCacheCommand } from '@aws-sdk/client-apigatewayv2';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { apiGatewayService } from '../../../local/api-gateway/index.ts';
import { startAwsFront } from '../../../local/aws-front.ts';

const flushed: string[] = [];
const api = (apiId: string, isRest: boolean, stages: string[]) => ({
  apiId,
  account: '000000000000',
  isRest,
  name: apiId,
  url: '',
  flushAuthorizers: (stage: string) => {
    flushed.push(`${apiId} ${stage}`);
    return stages.includes(stage);
  },
  close: async () => undefined,
});
const world = { now: Date.now, account: '000000000000', region: 'us-east-1' };
let resources: string[];
let front: Awaited<ReturnType<typeof startAwsFront>>;
let rest: APIGatewayClient;
let http: ApiGatewayV2Client;

beforeAll(async () => {
  front = await startAwsFront({
    ...world,
    services: [
      apiGatewayService({ apis: [api('rest1', true, ['v1']), api('http1', false, ['$default'])], ...world }),
    ],
    principals: () => ({
      roleArn: 'arn:aws:iam::000000000000:role/flush',
      accessKeyId: 'AKIAFLUSH',
      secretAccessKey: 'secret',
      policies: [
        {
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Action: 'apigateway:DELETE', Resource: resources }],
        },
      ],
    }),
    log: () => undefined,
  });
  const credentials = { accessKeyId: 'AKIAFLUSH', secretAccessKey: 'secret' };
  const client = { region: 'us-east-1', endpoint: front.endpoint, credentials, maxAttempts: 1 };
  rest = new APIGatewayClient(client);
  http = new ApiGatewayV2Client(client);
});
afterAll(() => front.close());
beforeEach(() => {
  flushed.length = 0;
  resources = [
    'arn:aws:apigateway:us-east-1::/restapis/*/stages/*/cache/authorizers',
    'arn:aws:apigateway:us-east-1::/apis/*/stages/*/cache/authorizers',
  ];
});

const flush = (restApiId: string, stageName: string) =>
  rest.send(new FlushStageAuthorizersCacheCommand({ restApiId, stageName }));
const reset = (ApiId: string, StageName: string) =>
  http.send(new ResetAuthorizersCacheCommand({ ApiId, StageName }));

describe('the control plane of API Gateway', () => {
  it('flushes the authorizers of a stage, as AWS’s own clients ask for it', async () => {
    expect((await flush('rest1', 'v1')).$metadata.httpStatusCode).toBe(202);
    expect((await reset('http1', '$default')).$metadata.httpStatusCode).toBe(204);
    expect(flushed).toEqual(['rest1 v1', 'http1 $default']);
  });

  it('knows no other API, no other stage, and no API of the other kind', async () => {
    await expect(flush('rest2', 'v1')).rejects.toMatchObject({ name: 'NotFoundException' });
    await expect(flush('rest1', 'v2')).rejects.toMatchObject({ name: 'NotFoundException' });
    await expect(flush('http1', '$default')).rejects.toMatchObject({ name: 'NotFoundException' });
    await expect(reset('rest1', 'v1')).rejects.toMatchObject({ name: 'NotFoundException' });
  });

  it('asks IAM for the very stage', async () => {
    resources = ['arn:aws:apigateway:us-east-1::/restapis/rest1/stages/v2/cache/authorizers'];
    await expect(flush('rest1', 'v1')).rejects.toMatchObject({ name: 'AccessDeniedException' });
    await expect(reset('http1', '$default')).rejects.toMatchObject({ name: 'AccessDeniedException' });
    expect(flushed).toEqual([]);
  });
});
