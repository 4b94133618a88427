import { APIGatewayClient, FlushStageAuthorizersCacheCommand } from '@aws-sdk/client-api-gateway';
import { AssumeRoleCommand, type AssumeRoleCommandInput, STSClient } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { apiGatewayService } from '../../local/api-gateway/index.ts';
import type { ServedApi } from '../../local/api-gateway/server.ts';
import { type Principal, startAwsFront } from '../../local/aws-front.ts';
import { newCredentials } from '../../local/credentials.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { type Sts, startSts } from '../../local/sts.ts';
import { world } from './fixtures/assembly.ts';

const OTHER = '111111111111';
const ROLE = `arn:aws:iam::${OTHER}:role/rekey-flush-api`;
const cache = (id: string) => `arn:aws:apigateway:us-east-1::/restapis/${id}/stages/v1/cache/authorizers`;
const policy = (...Statement: object[]) => ({ Version: '2012-10-17', Statement });
const allow = (Action: string, more: object) => ({ Effect: 'Allow', Action, ...more });
const trust = (AWS: string, Condition?: object) =>
  policy(allow('sts:AssumeRole', { Principal: { AWS }, ...(Condition && { Condition }) }));
const PRODUCT = `arn:aws:iam::${world.account}:root`;

const role: DeployedResource = {
  stack: 'Returns',
  account: OTHER,
  logicalId: 'FlushRole',
  type: 'AWS::IAM::Role',
  properties: {},
  ref: 'rekey-flush-api',
  attributes: { Arn: ROLE, RoleId: 'AROAFLUSH' },
};
const caller: Principal & { policies: unknown[] } = {
  ...newCredentials(),
  roleArn: `arn:aws:iam::${world.account}:role/Rekey-Flush`,
  sessionName: 'flush',
  policies: [],
};
/** In the role's own account. */
const neighbour = { ...caller, ...newCredentials(), roleArn: `arn:aws:iam::${OTHER}:role/Neighbour` };
const flushed: string[] = [];
const api = (apiId: string, account: string): ServedApi => ({
  ...{ apiId, account, isRest: true, name: apiId, url: '', close: async () => undefined },
  flushAuthorizers: (stage) => flushed.push(`${account}/${apiId}/${stage}`) > 0,
});

let now: number;
let sts: Sts;
let front: Awaited<ReturnType<typeof startAwsFront>>;
beforeAll(async () => {
  sts = startSts({ resources: [role], now: () => now });
  const apis = [api('theirs', OTHER), api('ours', world.account), api('another', OTHER)];
  front = await startAwsFront({
    services: [sts, apiGatewayService({ apis, region: world.region })],
    principals: (id) =>
      [caller, neighbour].find(({ accessKeyId }) => accessKeyId === id) ?? sts.principal(id),
    now: () => now,
    ...world,
    log: () => undefined,
  });
});
afterAll(() => front.close());
beforeEach(() => {
  now = Date.now();
  flushed.length = 0;
  caller.policies = [
    policy(allow('sts:AssumeRole', { Resource: `arn:aws:iam::${OTHER}:role/rekey-flush-*` })),
  ];
  role.properties = {
    AssumeRolePolicyDocument: trust(PRODUCT, { StringEquals: { 'sts:ExternalId': 'rekey-theirs' } }),
    Policies: [
      { PolicyDocument: policy(allow('apigateway:DELETE', { Resource: [cache('theirs'), cache('ours')] })) },
    ],
  };
});

const here = (credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }) => ({
  ...{ region: world.region, endpoint: front.endpoint, maxAttempts: 1, credentials },
  // The SDK signs by the clock of the answers it has seen; here each request is by the machine's.
  systemClockOffset: now - Date.now(),
});
const assume = (more: Partial<AssumeRoleCommandInput> = {}, by: Principal = caller) =>
  new STSClient(here(by as never)).send(
    new AssumeRoleCommand({
      ...{ RoleArn: ROLE, RoleSessionName: 'rekey-flush', ExternalId: 'rekey-theirs', DurationSeconds: 900 },
      ...more,
    }),
  );
const sessionOf = async () => {
  const { AccessKeyId, SecretAccessKey, SessionToken } = (await assume()).Credentials!;
  return { accessKeyId: AccessKeyId!, secretAccessKey: SecretAccessKey!, sessionToken: SessionToken! };
};
const flush = (credentials: Parameters<typeof here>[0], restApiId = 'theirs') =>
  new APIGatewayClient(here(credentials)).send(
    new FlushStageAuthorizersCacheCommand({ restApiId, stageName: 'v1' }),
  );
const DENIED = { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } };

describe('AssumeRole', () => {
  it('answers temporary credentials, and who has them', async () => {
    const { Credentials, AssumedRoleUser } = await assume();
    expect(Credentials).toEqual({
      AccessKeyId: expect.stringMatching(/^ASIA[A-Z2-7]{16}$/),
      SecretAccessKey: expect.stringMatching(/^[\w+/]{40}$/),
      SessionToken: expect.stringMatching(/^[\w+/=]{80}$/),
      Expiration: new Date(Math.floor(now / 1000 + 900) * 1000),
    });
    expect(AssumedRoleUser).toEqual({
      Arn: `arn:aws:sts::${OTHER}:assumed-role/rekey-flush-api/rekey-flush`,
      AssumedRoleId: 'AROAFLUSH:rekey-flush',
    });
  });

  it('is refused in XML, as AWS has it', async () => {
    const refused = await fetch(front.endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: `AWS4-HMAC-SHA256 Credential=${caller.accessKeyId}/20260101/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=${'0'.repeat(64)}`,
        'x-amz-date': '20260101T000000Z',
      },
      body: 'Action=AssumeRole&Version=2011-06-15',
    });
    expect([refused.status, refused.headers.get('content-type')]).toEqual([403, 'text/xml']);
    expect(await refused.text()).toMatch(
      /^<ErrorResponse xmlns="https:\/\/sts\.amazonaws\.com\/doc\/2011-06-15\/"><Error><Type>Sender<\/Type><Code>SignatureDoesNotMatch<\/Code><Message>Signature expired: [^<]+<\/Message><\/Error><RequestId>[\w-]+<\/RequestId><\/ErrorResponse>$/,
    );
  });

  it.each<[string, () => unknown]>([
    ['the caller’s policy does not name the role', () => (caller.policies = [])],
    [
      'the caller’s policy denies it',
      () => caller.policies.push(policy({ Effect: 'Deny', Action: 'sts:*', Resource: '*' })),
    ],
    [
      'the role trusts another account',
      () => (role.properties['AssumeRolePolicyDocument'] = trust('arn:aws:iam::222222222222:root')),
    ],
    [
      'the role trusts another role of the account',
      () => (role.properties['AssumeRolePolicyDocument'] = trust(`arn:aws:iam::${world.account}:role/Other`)),
    ],
    [
      'the role trusts a service only',
      () =>
        (role.properties['AssumeRolePolicyDocument'] = policy(
          allow('sts:AssumeRole', { Principal: { Service: 'lambda.amazonaws.com' } }),
        )),
    ],
  ])('is refused when %s', async (_, change) => {
    await assume();
    change();
    await expect(assume()).rejects.toMatchObject(DENIED);
  });

  it('is refused with another external id, or none', async () => {
    await expect(assume({ ExternalId: 'rekey-another' })).rejects.toMatchObject({
      ...DENIED,
      message: `User: arn:aws:sts::${world.account}:assumed-role/Rekey-Flush/flush is not authorized to perform: sts:AssumeRole on resource: ${ROLE} because no identity-based policy or role trust policy allows the sts:AssumeRole action`,
    });
    await expect(assume({ ExternalId: undefined })).rejects.toMatchObject(DENIED);
  });

  it('does not tell a role that is not there from one that may not be assumed', async () => {
    const sentence = async (RoleArn: string) =>
      (await assume({ RoleArn, ExternalId: 'rekey-x' }).catch((error: Error) => error.message)) as string;
    const absent = `${ROLE}-absent`;
    expect(await sentence(absent)).toBe((await sentence(ROLE)).replace(ROLE, absent));
  });

  it('needs the role’s trust in the same account too, where one that names the caller is enough', async () => {
    neighbour.policies = [];
    role.properties['AssumeRolePolicyDocument'] = trust(`arn:aws:iam::${OTHER}:root`);
    await expect(assume({}, neighbour)).rejects.toMatchObject(DENIED);
    role.properties['AssumeRolePolicyDocument'] = trust(neighbour.roleArn);
    await assume({}, neighbour);
    neighbour.policies = caller.policies;
    role.properties['AssumeRolePolicyDocument'] = trust(PRODUCT);
    await expect(assume({}, neighbour)).rejects.toMatchObject(DENIED);
  });

  it.each<[object, RegExp]>([
    [{ DurationSeconds: 899 }, /greater than or equal to 900/],
    [{ DurationSeconds: 3_601 }, /exceeds the MaxSessionDuration/],
    [{ RoleSessionName: 'a b' }, /RoleSessionName/],
    [{ RoleArn: 'arn:aws:iam::1:user/u' }, /RoleArn/],
    [{ ExternalId: 'x' }, /ExternalId/],
    [{ Policy: '{}' }, /does not know Policy/],
    [{ Tags: [{ Key: 'a', Value: 'b' }] }, /does not know Tags\.member\.1/],
  ])('refuses %j', async (more, message) => {
    await expect(assume(more)).rejects.toMatchObject({
      name: 'ValidationError',
      message: expect.stringMatching(message),
    });
  });

  it('gives a role that assumes another no more than an hour', async () => {
    role.properties['MaxSessionDuration'] = 43_200;
    await expect(assume({ DurationSeconds: 3_601 })).rejects.toMatchObject({
      message: expect.stringContaining('role chaining'),
    });
    await assume({ DurationSeconds: 3_600 });
  });
});

describe('temporary credentials', () => {
  it('may do what the role may, in the role’s account', async () => {
    const session = await sessionOf();
    await flush(session);
    expect(flushed).toEqual([`${OTHER}/theirs/v1`]);
    await expect(flush(session, 'another')).rejects.toMatchObject({ name: 'AccessDeniedException' });
    // Allowed by its policy, but of another account: nothing is found there.
    await expect(flush(session, 'ours')).rejects.toMatchObject({ name: 'NotFoundException' });
  });

  it('are nothing without their token, or with another one', async () => {
    const { sessionToken: _, ...bare } = await sessionOf();
    const refused = { name: 'UnrecognizedClientException' };
    await expect(flush(bare)).rejects.toMatchObject(refused);
    await expect(flush({ ...bare, sessionToken: 'another' })).rejects.toMatchObject(refused);
    const { sessionToken: __, ...mine } = caller;
    await expect(assume({}, mine)).rejects.toMatchObject({ name: 'InvalidClientTokenId' });
    expect(flushed).toEqual([]);
  });

  it('end by the clock of the stack', async () => {
    const session = await sessionOf();
    now += 899_000;
    await flush(session);
    now += 2_000;
    await expect(flush(session)).rejects.toMatchObject({ name: 'ExpiredTokenException' });
  });
});
