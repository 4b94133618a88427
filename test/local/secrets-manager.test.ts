import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { AwsCall, Json } from '../../local/aws-front.ts';
import { openClock } from '../../local/clock.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { startSecretsManager } from '../../local/secrets-manager/index.ts';
import { randomPassword } from '../../local/secrets-manager/password.ts';
import { world } from './fixtures/assembly.ts';

const ARN = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:Shop-Root-abc123';
const policy = { Version: '2012-10-17', Statement: [] };

const secretOf = (properties: Json): DeployedResource => ({
  stack: 'Shop',
  logicalId: 'Root',
  type: 'AWS::SecretsManager::Secret',
  properties,
  ref: ARN,
  attributes: { Id: ARN, Name: 'Shop-Root' },
});

let stateDir: string;
const open = (fresh = false) => {
  const manager = startSecretsManager({
    resources: [
      {
        ...secretOf({}),
        type: 'AWS::SecretsManager::ResourcePolicy',
        properties: { SecretId: ARN, ResourcePolicy: policy },
      },
    ],
    stateDir,
    fresh,
    clock: openClock({ stateDir, fresh: false }),
    ...world,
    mayInvoke: () => true,
    invoke: async () => ({ payload: null }),
    log: () => undefined,
  });
  const call = (operation: string, input: Json) =>
    manager.handle({ service: 'secretsmanager', operation, input } as AwsCall) as Promise<Json>;
  return { manager, call };
};

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'rekey-secrets-'));
});

describe('a secret of a template', () => {
  it('is empty without a value or rules for one, until somebody puts its first', async () => {
    const { manager, call } = open();
    manager.add(secretOf({}));
    await expect(call('GetSecretValue', { SecretId: ARN })).rejects.toMatchObject({
      code: 'ResourceNotFoundException',
    });
    await call('PutSecretValue', { SecretId: ARN, SecretString: 'mine' });
    manager.add(secretOf({}));
    expect((await call('GetSecretValue', { SecretId: ARN })).SecretString).toBe('mine');
  });

  it('has its tags in its description, and in what policies are asked', async () => {
    const { manager, call } = open();
    manager.add(secretOf({ Tags: [{ Key: 'team', Value: 'orders' }] }));
    expect((await call('DescribeSecret', { SecretId: ARN })).Tags).toEqual([
      { Key: 'team', Value: 'orders' },
    ]);
    const asked = (input: Json) =>
      (
        manager.questions({ service: 'secretsmanager', operation: 'PutSecretValue', input } as AwsCall) as {
          context: Json;
        }[]
      )[0]!;
    expect(asked({ SecretId: ARN }).context).toMatchObject({
      'aws:ResourceTag/team': 'orders',
      'secretsmanager:ResourceTag/team': 'orders',
    });
    manager.add(secretOf({ Tags: [{ Key: 'team', Value: 'billing' }] }));
    expect(asked({ SecretId: ARN }).context).toMatchObject({ 'aws:ResourceTag/team': 'billing' });
  });

  it('is made up by its rules, and found by ARN, by the ARN without its end, and by name', async () => {
    const { manager, call } = open();
    manager.add(secretOf({ GenerateSecretString: { PasswordLength: 64, ExcludePunctuation: true } }));
    const { SecretString } = await call('GetSecretValue', { SecretId: ARN });
    expect(SecretString).toMatch(/^[A-Za-z0-9]{64}$/);
    for (const SecretId of [ARN.slice(0, -7), 'Shop-Root'])
      expect((await call('GetSecretValue', { SecretId })).SecretString).toBe(SecretString);
  });

  it('is put into its template under the key that was named', async () => {
    const { manager, call } = open();
    const SecretStringTemplate = '{"user":"admin"}';
    manager.add(secretOf({ GenerateSecretString: { SecretStringTemplate, GenerateStringKey: 'password' } }));
    const { SecretString } = await call('GetSecretValue', { SecretId: ARN });
    expect(JSON.parse(SecretString as string)).toEqual({
      user: 'admin',
      password: expect.stringMatching(/^.{32}$/),
    });
  });

  it('is the same after a restart, another when its rules changed, and gone with --fresh', async () => {
    const value = async (properties: Json, fresh = false) => {
      const { manager, call } = open(fresh);
      manager.add(secretOf(properties));
      return (await call('GetSecretValue', { SecretId: ARN })).SecretString;
    };
    const first = await value({ GenerateSecretString: {} });
    expect(await value({ GenerateSecretString: {} })).toBe(first);
    const second = await value({ GenerateSecretString: { PasswordLength: 40 } });
    expect(second).toHaveLength(40);
    expect(await value({ GenerateSecretString: { PasswordLength: 40 } }, true)).not.toBe(second);
    expect(statSync(join(stateDir, 'secrets.json')).mode & 0o777).toBe(0o600);
  });

  it('is asked of IAM by its ARN however it is named, with its own policy', () => {
    const { manager } = open();
    manager.add(secretOf({ SecretString: 'x' }));
    const input = { SecretId: 'Shop-Root', VersionStage: 'AWSCURRENT' };
    expect(manager.questions({ operation: 'GetSecretValue', input } as unknown as AwsCall)).toEqual([
      {
        action: 'secretsmanager:GetSecretValue',
        resource: ARN,
        context: { 'secretsmanager:SecretId': ARN, 'secretsmanager:VersionStage': 'AWSCURRENT' },
        resourcePolicy: policy,
      },
    ]);
    expect(
      manager.questions({ operation: 'ReplicateSecretToRegions', input } as unknown as AwsCall),
    ).toBeUndefined();
  });
});

describe('versions', () => {
  const pending = { SecretId: ARN, ClientRequestToken: 'token', VersionStages: ['AWSPENDING'] };
  let call: ReturnType<typeof open>['call'];
  let first: string;
  beforeEach(async () => {
    const opened = open();
    call = opened.call;
    opened.manager.add(secretOf({ SecretString: 'one' }));
    first = (await call('GetSecretValue', { SecretId: ARN })).VersionId as string;
  });
  const stages = async () => (await call('DescribeSecret', { SecretId: ARN })).VersionIdsToStages;

  it('wait as AWSPENDING until the label AWSCURRENT is moved; AWSPREVIOUS stays behind', async () => {
    await call('PutSecretValue', { ...pending, SecretString: 'two' });
    expect((await call('GetSecretValue', { SecretId: ARN })).SecretString).toBe('one');
    const asPending = { SecretId: ARN, VersionStage: 'AWSPENDING' };
    expect((await call('GetSecretValue', asPending)).SecretString).toBe('two');

    const move = { SecretId: ARN, VersionStage: 'AWSCURRENT', MoveToVersionId: 'token' };
    await expect(call('UpdateSecretVersionStage', move)).rejects.toMatchObject({
      code: 'InvalidParameterException',
    });
    await call('UpdateSecretVersionStage', { ...move, RemoveFromVersionId: first });
    expect(await stages()).toEqual({ [first]: ['AWSPREVIOUS'], token: ['AWSPENDING', 'AWSCURRENT'] });
    expect((await call('GetSecretValue', { SecretId: ARN })).SecretString).toBe('two');
  });

  it('are put again with the same value without effect, and never with another', async () => {
    await call('PutSecretValue', { ...pending, SecretString: 'two' });
    await call('PutSecretValue', { ...pending, SecretString: 'two' });
    await expect(call('PutSecretValue', { ...pending, SecretString: 'three' })).rejects.toMatchObject({
      code: 'ResourceExistsException',
    });
  });

  it('that are not there, and secrets that are not, are not found', async () => {
    for (const input of [
      { SecretId: 'another' },
      { SecretId: ARN, VersionStage: 'AWSPENDING' },
      { SecretId: ARN, VersionId: 'unknown' },
    ])
      await expect(call('GetSecretValue', input)).rejects.toMatchObject({
        code: 'ResourceNotFoundException',
      });
  });
});

describe('a random password', () => {
  it('has every type that is not excluded, and none that is', () => {
    for (let i = 0; i < 50; i++) {
      const password = randomPassword({ PasswordLength: 4 });
      for (const type of [/[a-z]/, /[A-Z]/, /[0-9]/, /[^A-Za-z0-9]/]) expect(password).toMatch(type);
      expect(randomPassword({ ExcludePunctuation: true, ExcludeCharacters: 'abc' })).toMatch(
        /^[A-Zd-z0-9]{32}$/,
      );
    }
  });

  it.each([
    { PasswordLength: 3 },
    { PasswordLength: 5000 },
    { ExcludeLowercase: true, ExcludeUppercase: true, ExcludeNumbers: true, ExcludePunctuation: true },
  ])('is refused where there can be none: %j', (rules) => {
    expect(() => randomPassword(rules)).toThrow(RangeError);
  });
});
