import { describe, expect, it } from '@jest/globals';
import { Duration, Stack, Token } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { RotatingApiKey, type RotatingApiKeyProps } from '../../infra/rotating-api-key.ts';
import { appForTemplates, ofType, type Resource, resourcesOf, synthesize } from './synthesize.ts';

const rekey = {
  deployKeyFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:Rekey-DeployKey',
  rotateSecretFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:Rekey-RotateSecret',
};

const made = (props: Partial<RotatingApiKeyProps> = {}) => {
  const stack = new Stack(appForTemplates(), 'Worker');
  const key = new RotatingApiKey(stack, 'OrdersKey', {
    ...{ rekey, scopes: ['orders:write', 'orders:read', 'orders:read'], owner: 'team-orders' },
    ...props,
  });
  return { stack, key };
};
const only = (stack: Stack, type: string): [string, Resource] => {
  const found = ofType(resourcesOf(Template.fromStack(stack)), type);
  expect(found).toHaveLength(1);
  return found[0]!;
};

describe('a rotating API key', () => {
  it('is an empty secret for its owner, the key that Rekey puts into it, and a schedule', () => {
    const { stack } = made({ every: Duration.days(7) });
    const [secretId, secret] = only(stack, 'AWS::SecretsManager::Secret');
    expect(secret.Properties).toEqual({
      Description: 'An API key of Rekey: Worker/OrdersKey',
      Tags: [{ Key: 'rekey:owner', Value: 'team-orders' }],
    });
    const [keyId, key] = only(stack, 'Custom::RekeyApiKey');
    expect(key.Properties).toEqual({
      ServiceToken: rekey.deployKeyFunctionArn,
      ServiceTimeout: '900',
      SecretArn: { Ref: secretId },
      OwnerId: 'team-orders',
      Name: 'Worker/OrdersKey',
      Scopes: '["orders:read","orders:write"]',
      EveryDays: '7',
    });
    const [, schedule] = only(stack, 'AWS::SecretsManager::RotationSchedule');
    expect(schedule.Properties).toEqual({
      SecretId: { Ref: secretId },
      RotationLambdaARN: rekey.rotateSecretFunctionArn,
      RotationRules: { AutomaticallyAfterDays: 7 },
      RotateImmediatelyOnUpdate: false,
    });
    expect(schedule.DependsOn).toContain(keyId);
  });

  it('for another owner is another resource with another secret, so the old one is deleted last', () => {
    const ids = (owner: string) =>
      Object.keys(resourcesOf(Template.fromStack(made({ owner }).stack))).toSorted();
    expect(ids('team-orders')).toEqual(ids('team-orders'));
    expect(ids('team-orders').filter((id) => ids('team-billing').includes(id))).toEqual([]);
  });

  it('with other scopes or another rhythm is the same resource', () => {
    const ids = (props: Partial<RotatingApiKeyProps>) =>
      Object.keys(resourcesOf(Template.fromStack(made(props).stack)));
    expect(ids({ scopes: ['orders:read'], every: Duration.days(90) })).toEqual(ids({}));
  });

  it('lets be read its value and nothing else, by somebody who is deployed after it', () => {
    const { stack, key } = made();
    const role = new Role(stack, 'Reader', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    key.grantRead(role);
    const [, policy] = only(stack, 'AWS::IAM::Policy');
    const [secretId] = only(stack, 'AWS::SecretsManager::Secret');
    const [scheduleId] = only(stack, 'AWS::SecretsManager::RotationSchedule');
    expect(policy.Properties.PolicyDocument.Statement).toEqual([
      {
        Effect: 'Allow',
        Action: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
        Resource: { Ref: secretId },
      },
    ]);
    const [, reader] = only(stack, 'AWS::IAM::Role');
    expect(reader.DependsOn).toContain(scheduleId);
  });

  it.each<[string, Partial<RotatingApiKeyProps>, string]>([
    ['an owner that is not known yet', { owner: Token.asString({ Ref: 'Owner' }) }, 'owner must be known'],
    ['hours', { every: Duration.hours(36) }, 'days'],
    ['a reference to another account', { rekey: {} }, 'must be of this account and Region'],
  ])('is refused with %s', (_, props, sentence) => {
    expect(() => made(props)).toThrow(sentence);
  });

  it('of the administrator is in the stack of Rekey, for everything', () => {
    const resources = resourcesOf(synthesize().rekey);
    const [[, key]] = ofType(resources, 'Custom::RekeyApiKey') as [[string, Resource]];
    expect(key.Properties).toMatchObject({
      OwnerId: 'administrator',
      Name: 'Administrator',
      Scopes: '["*:*"]',
      EveryDays: '30',
    });
    const [, fn] = ofType(resources, 'AWS::Lambda::Function').find(([id]) => id.startsWith('DeployKey'))!;
    expect(fn.Properties.Environment.Variables.REKEY_ADMIN_SECRET_ARN).toEqual(key.Properties.SecretArn);
  });

  it('is rotated often enough where keys live short', () => {
    const [[, key]] = ofType(
      resourcesOf(synthesize({ defaultLifetimeDays: 5, maxLifetimeDays: 10 }).rekey),
      'Custom::RekeyApiKey',
    ) as [[string, Resource]];
    expect(key.Properties.EveryDays).toBe('5');
  });

  it('is in no template as text, nor is anything that it could be made from', () => {
    const template = JSON.stringify([synthesize().rekey.toJSON(), Template.fromStack(made().stack).toJSON()]);
    expect(template).not.toMatch(/rk_(?:live|test)_/);
    expect(template).not.toContain('resolve:secretsmanager');
    for (const [, { Properties }] of ofType(
      resourcesOf(Template.fromStack(made().stack)),
      'AWS::SecretsManager::Secret',
    ))
      expect(Object.keys(Properties)).toEqual(['Description', 'Tags']);
  });

  it('is not asked for again once CloudFormation has given its request up', () => {
    const resources = resourcesOf(synthesize().rekey);
    const [[, key]] = ofType(resources, 'Custom::RekeyApiKey') as [[string, Resource]];
    const config = ofType(resources, 'AWS::Lambda::EventInvokeConfig').map(
      ([, { Properties }]) => Properties,
    );
    const own = config.find(({ FunctionName }) => JSON.stringify(FunctionName).includes('DeployKey'))!;
    // The last try begins by then, and has the function's time-out.
    expect(own.MaximumEventAgeInSeconds + 60).toBeLessThan(Number(key.Properties.ServiceTimeout));
  });
});
