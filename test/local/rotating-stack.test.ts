import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type RunningStack, startStack } from '../../local/stack.ts';
import { lambdaFunction, lambdaRole, temporaryDirectory, writeAssembly } from './fixtures/assembly.ts';

/** A rotation function as AWS's template has it, and one that reads the secret; both with the SDK, under their roles. */
const HANDLERS = {
  rotate: `
    import { SecretsManager } from '@aws-sdk/client-secrets-manager';
    const client = new SecretsManager();
    export const handler = async ({ Step, SecretId, ClientRequestToken }) => {
      if (Step === 'createSecret') {
        const { RandomPassword } = await client.getRandomPassword({ ExcludePunctuation: true });
        await client.putSecretValue({ SecretId, ClientRequestToken, SecretString: RandomPassword, VersionStages: ['AWSPENDING'] });
      }
      if (Step === 'finishSecret') {
        const { VersionIdsToStages } = await client.describeSecret({ SecretId });
        const [current] = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSCURRENT'));
        await client.updateSecretVersionStage({ SecretId, VersionStage: 'AWSCURRENT', MoveToVersionId: ClientRequestToken, RemoveFromVersionId: current });
      }
    };`,
  read: `
    import { SecretsManager } from '@aws-sdk/client-secrets-manager';
    const client = new SecretsManager();
    export const handler = async ({ put }) => {
      const SecretId = process.env.SECRET;
      if (put) await client.putSecretValue({ SecretId, SecretString: put });
      return (await client.getSecretValue({ SecretId })).SecretString;
    };`,
};

const secret = { Ref: 'Secret' };
const allow = (Action: string[], Condition?: object) => ({
  PolicyName: 'secret',
  PolicyDocument: {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Action, Resource: secret, ...(Condition && { Condition }) }],
  },
});
const rotateArn = { 'Fn::GetAtt': ['Rotate', 'Arn'] };
const actions = ['DescribeSecret', 'GetSecretValue', 'PutSecretValue', 'UpdateSecretVersionStage'];
const assembly = () =>
  writeAssembly({
    Shop: {
      template: {
        Resources: {
          Secret: {
            Type: 'AWS::SecretsManager::Secret',
            Properties: { GenerateSecretString: { PasswordLength: 20 } },
          },
          // What CDK's RotationSchedule grants: only for the secret that this function rotates.
          RotatePolicy: {
            Type: 'AWS::IAM::Policy',
            Properties: {
              ...allow(
                actions.map((action) => `secretsmanager:${action}`),
                { StringEquals: { 'secretsmanager:resource/AllowRotationLambdaArn': rotateArn } },
              ),
              Roles: [{ Ref: 'RotateRole' }],
            },
          },
          RotateRole: lambdaRole({
            Policies: [
              {
                PolicyName: 'password',
                PolicyDocument: {
                  Version: '2012-10-17',
                  Statement: [{ Effect: 'Allow', Action: 'secretsmanager:GetRandomPassword', Resource: '*' }],
                },
              },
            ],
          }),
          Rotate: lambdaFunction('rotate', { Timeout: 20, Role: { 'Fn::GetAtt': ['RotateRole', 'Arn'] } }),
          ReadRole: lambdaRole({ Policies: [allow(['secretsmanager:GetSecretValue'])] }),
          Read: lambdaFunction('read', {
            Timeout: 20,
            Role: { 'Fn::GetAtt': ['ReadRole', 'Arn'] },
            Environment: { Variables: { SECRET: secret } },
          }),
          Permission: {
            Type: 'AWS::Lambda::Permission',
            Properties: {
              Action: 'lambda:InvokeFunction',
              FunctionName: rotateArn,
              Principal: 'secretsmanager.amazonaws.com',
            },
          },
          Rotation: {
            Type: 'AWS::SecretsManager::RotationSchedule',
            DependsOn: 'Permission',
            Properties: {
              SecretId: secret,
              RotationLambdaARN: rotateArn,
              RotateImmediatelyOnUpdate: false,
              RotationRules: { ScheduleExpression: 'rate(30 days)' },
            },
          },
        },
      },
      assets: Object.fromEntries(
        Object.entries(HANDLERS).map(([name, source]) => [name, { 'index.mjs': source }]),
      ),
    },
  });

describe('a secret of a template that rotates', () => {
  const stateDir = temporaryDirectory();
  let stack: RunningStack;

  beforeAll(async () => {
    const options = { port: 0, stateDir, fresh: true, assemblyDir: assembly(), log: () => undefined };
    stack = await startStack(options);
  }, 60_000);
  afterAll(() => stack?.stop());

  const read = async (payload: object = {}): Promise<unknown> => {
    const answer = await fetch(`${stack.control}/2015-03-31/functions/Shop-Read/invocations`, {
      method: 'POST',
      body: JSON.stringify(payload),
    });
    return answer.json();
  };

  it('gets another value by its function when the clock comes to its time, under the roles of the template', async () => {
    const first = await read();
    expect(first).toMatch(/^.{20}$/);
    await fetch(`${stack.control}/clock`, {
      method: 'POST',
      body: JSON.stringify({ advance_seconds: 31 * 86_400 }),
    });
    let now: unknown = first;
    for (const end = Date.now() + 20_000; now === first && Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      now = await read();
    }
    expect(now).toMatch(/^[A-Za-z0-9]{32}$/);
  }, 60_000);

  it('is not written by a role that may only read it', async () => {
    const { errorType, errorMessage } = (await read({ put: 'mine' })) as Record<string, string>;
    expect(errorType).toBe('AccessDeniedException');
    expect(errorMessage).toContain('secretsmanager:PutSecretValue');
  }, 30_000);

  it('is in no log, and in a file of this user alone', async () => {
    const value = String(await read());
    const log = readFileSync(join(stateDir, 'logs', 'aws-requests.log'), 'utf8');
    expect(log).toContain('secretsmanager:GetSecretValue');
    expect(log).not.toContain(value);
    expect(statSync(join(stateDir, 'secrets.json')).mode & 0o077).toBe(0);
  }, 30_000);
});
