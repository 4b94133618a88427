import { afterAll, describe, expect, it } from '@jest/globals';
import { readAssembly } from '../../local/assembly.ts';
import { type CustomResources, startCustomResources } from '../../local/custom-resources.ts';
import { deploy } from '../../local/deployment.ts';
import { evaluatePolicies } from '../../local/iam.ts';
import { mayBeInvokedFrom } from '../../local/lambda/permissions.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { temporaryDirectory, world, writeAssembly } from './fixtures/assembly.ts';

const OTHER = '111111111111';

/** Deploys a stack of the other account beside ours, which exports and stores a value. */
async function deployed(value: unknown): Promise<DeployedResource[]> {
  const directory = writeAssembly({
    Rekey: {
      template: {
        Resources: {
          Log: { Type: 'AWS::Logs::LogGroup' },
          Stored: {
            Type: 'AWS::SSM::Parameter',
            Properties: { Name: '/stored', Type: 'String', Value: 'stored' },
          },
        },
        Outputs: { Shared: { Value: 'shared', Export: { Name: 'Rekey:shared' } } },
      },
    },
    Returns: {
      environment: `aws://${OTHER}/us-east-1`,
      template: {
        Parameters: { Stored: { Type: 'AWS::SSM::Parameter::Value<String>', Default: '/stored' } },
        Resources: { Log: { Type: 'AWS::Logs::LogGroup', Properties: { LogGroupName: value } } },
      },
    },
  });
  const made: DeployedResource[] = [];
  await deploy(readAssembly(directory, world), world, made, async () => undefined);
  return made;
}

describe('a stack that was synthesized for another account', () => {
  it('is in that account: its number, its stack’s id, the ARNs of what it has', async () => {
    const made = await deployed({ 'Fn::Join': ['|', [{ Ref: 'AWS::AccountId' }, { Ref: 'AWS::StackId' }]] });
    const of = (stack: string) => made.find((one) => one.stack === stack && one.logicalId === 'Log');
    expect(of('Returns')).toMatchObject({
      account: OTHER,
      ref: expect.stringMatching(
        new RegExp(`^${OTHER}\\|arn:aws:cloudformation:us-east-1:${OTHER}:stack/Returns/`),
      ),
      attributes: { Arn: expect.stringContaining(`arn:aws:logs:us-east-1:${OTHER}:log-group:`) },
    });
    expect(of('Rekey')).toMatchObject({
      attributes: { Arn: expect.stringContaining(`:${world.account}:log-group:`) },
    });
    expect(of('Rekey')).not.toHaveProperty('account');
  });

  it.each([
    ['exports', { 'Fn::ImportValue': 'Rekey:shared' }, 'no stack exports Rekey:shared'],
    ['parameters', { Ref: 'Stored' }, 'no stack puts /stored into the SSM Parameter Store'],
    [
      'outputs',
      { 'Fn::GetStackOutput': { StackName: 'Rekey', OutputName: 'Shared' } },
      'the stack Rekey is in another account',
    ],
  ])('sees no %s of ours', async (_, value, message) => {
    await expect(deployed(value)).rejects.toThrow(message);
  });
});

describe('a function', () => {
  const target = { arn: `arn:aws:lambda:us-east-1:${world.account}:function:register`, name: 'register' };
  const permission = (properties: object): DeployedResource => ({
    ...{ stack: 'Rekey', logicalId: 'P', type: 'AWS::Lambda::Permission', ref: 'P', attributes: {} },
    properties: { Action: 'lambda:InvokeFunction', FunctionName: target.arn, ...properties },
  });
  it.each([
    [{ Principal: OTHER }, true],
    [{ Principal: `arn:aws:iam::${OTHER}:root` }, true],
    [{ Principal: '222222222222' }, false],
    [{ Principal: 'apigateway.amazonaws.com', SourceAccount: OTHER }, false],
    [{ Principal: OTHER, FunctionName: 'another' }, false],
    [{ Principal: OTHER, Action: 'lambda:GetFunction' }, false],
  ])('with the permission %j may be invoked from another account: %p', (properties, expected) => {
    expect(mayBeInvokedFrom([permission(properties)], target, OTHER)).toBe(expected);
  });

  it('may be invoked by its own account, and by no other without a permission', () => {
    expect(mayBeInvokedFrom([], target, world.account)).toBe(true);
    expect(mayBeInvokedFrom([], target, OTHER)).toBe(false);
  });
});

describe('a custom resource of another account', () => {
  const open: CustomResources[] = [];
  afterAll(() => Promise.all(open.map((one) => one.close())));

  it('says so in its request, and fails when its function has no permission for that account', async () => {
    const asked: string[] = [];
    const resources = await startCustomResources({
      ...{ stateDir: temporaryDirectory(), ...world, log: () => undefined },
      mayInvoke: (arn, account) => arn === 'allowed' && account === OTHER,
      async invoke(_arn, payload) {
        const { StackId, RequestId, LogicalResourceId, ResponseURL } = payload as Record<string, string>;
        asked.push(StackId!);
        const answer = { Status: 'SUCCESS', PhysicalResourceId: 'p', StackId, RequestId, LogicalResourceId };
        await fetch(ResponseURL!, { method: 'PUT', body: JSON.stringify(answer) });
        return { payload: null };
      },
    });
    open.push(resources);
    const thing = (ServiceToken: string) => ({
      ...{ stack: 'Returns', account: OTHER, logicalId: 'Thing', type: 'Custom::Thing' },
      properties: { ServiceToken },
    });
    await expect(resources.apply(thing('refused'))).rejects.toThrow(
      `refused has no permission for the account ${OTHER} to invoke it`,
    );
    await resources.apply(thing('allowed'));
    expect(asked).toEqual([expect.stringContaining(`:${OTHER}:stack/Returns/`)]);
  });
});

describe('a role of another account', () => {
  it('reads no table of ours, whatever its own policy says', async () => {
    const ask = (account: string) =>
      evaluatePolicies({
        policies: [
          { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'dynamodb:*', Resource: '*' }] },
        ],
        principal: `arn:aws:sts::${account}:assumed-role/reader/session`,
        action: 'dynamodb:GetItem',
        resource: `arn:aws:dynamodb:us-east-1:${world.account}:table/Keys`,
        context: {},
      });
    expect((await ask(world.account)).allowed).toBe(true);
    expect((await ask(OTHER)).allowed).toBe(false);
  });
});
