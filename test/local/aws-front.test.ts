import { hash } from 'node:crypto';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetQueueUrlCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { AwsError } from '../../local/aws-error.ts';
import { type AwsCall, type AwsService, authorize, startAwsFront } from '../../local/aws-front.ts';
import { world } from './fixtures/assembly.ts';

const queueArn = 'arn:aws:sqs:us-east-1:000000000000:Jobs';
const statement = (Action: string, Resource: string, more: object = {}) => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...more,
});
const policy = (...Statement: object[]) => ({ Version: '2012-10-17', Statement });

const calls: AwsCall[] = [];
let resourcePolicy: unknown;
const services: AwsService[] = [
  {
    name: 'sqs',
    protocol: {
      kind: 'json',
      version: '1.0',
      targets: ['AmazonSQS'],
      errorType: (code) => `com.amazonaws.sqs#${code}`,
    },
    questions: ({ operation }) =>
      operation === 'SendMessage'
        ? [{ action: 'sqs:SendMessage', resource: queueArn, context: {}, resourcePolicy }]
        : undefined,
    async handle(call) {
      calls.push(call);
      if (call.input['MessageBody'] === 'too much')
        throw new AwsError('InvalidMessageContents', 'Too much.', 400, {
          headers: { 'x-amzn-query-error': 'InvalidMessageContents;Sender' },
        });
      return { MessageId: 'm1', MD5OfMessageBody: hash('md5', String(call.input['MessageBody']), 'hex') };
    },
  },
  {
    name: 'lambda',
    protocol: {
      kind: 'rest',
      operationOf: ({ method, path, query }) =>
        method === 'POST' && path.endsWith('/invocations')
          ? {
              operation: 'Invoke',
              input: { FunctionName: decodeURIComponent(path.split('/')[3]!), ...query },
            }
          : undefined,
    },
    questions: ({ input }) => [
      { action: 'lambda:InvokeFunction', resource: String(input['FunctionName']), context: {} },
    ],
    async handle(call) {
      calls.push(call);
      return { done: true };
    },
  },
  {
    name: 'sts',
    protocol: { kind: 'query', namespace: 'https://sts.amazonaws.com/doc/2011-06-15/' },
    questions: () => 'no permission needed',
    handle: async () => ({ Arn: 'arn:aws:sts::000000000000:assumed-role/a&b/c', Account: world.account }),
  },
];

const role = {
  roleArn: 'arn:aws:iam::000000000000:role/Rekey-Sender',
  accessKeyId: 'AKIASENDER',
  secretAccessKey: 'its secret',
  sessionName: 'send',
  policies: [] as unknown[],
};
const lines: Record<string, unknown>[] = [];
let front: Awaited<ReturnType<typeof startAwsFront>>;
const here = () => ({
  region: world.region,
  endpoint: front.endpoint,
  credentials: role,
  maxAttempts: 1,
});
const send = (MessageBody = 'hello') =>
  new SQSClient(here()).send(new SendMessageCommand({ QueueUrl: `${front.endpoint}/0/Jobs`, MessageBody }));

beforeAll(async () => {
  front = await startAwsFront({
    services,
    principals: (id) => (id === role.accessKeyId ? role : undefined),
    now: Date.now,
    ...world,
    log: (line) => lines.push(line),
  });
});
afterAll(() => front.close());
beforeEach(() => {
  calls.length = 0;
  lines.length = 0;
  resourcePolicy = undefined;
  role.policies = [policy(statement('sqs:SendMessage', queueArn))];
});

describe('a service of the front', () => {
  it('gets the calls that the caller’s role allows, and no other', async () => {
    expect(await send()).toMatchObject({ MessageId: 'm1' });
    role.policies = [policy(statement('sqs:ReceiveMessage', queueArn))];
    await expect(send()).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: `User: arn:aws:sts::000000000000:assumed-role/Rekey-Sender/send is not authorized to perform: sqs:SendMessage on resource: ${queueArn} because no identity-based policy allows the sqs:SendMessage action`,
    });
    expect(calls).toHaveLength(1);
  });

  it('is refused an operation that it does not know, whatever the role allows', async () => {
    role.policies = [policy(statement('*', '*'))];
    await expect(
      new SQSClient(here()).send(new GetQueueUrlCommand({ QueueName: 'Jobs' })),
    ).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });

  it('answers its own errors in the form that the SDK reads', async () => {
    await expect(send('too much')).rejects.toMatchObject({
      name: 'InvalidMessageContents',
      $metadata: { httpStatusCode: 400 },
    });
  });

  it('is logged with caller, operation and what was asked, and without what was sent', async () => {
    await send('a private text');
    expect(lines).toMatchObject([
      {
        service: 'sqs',
        operation: 'SendMessage',
        role: role.roleArn,
        asked: [`sqs:SendMessage ${queueArn}`],
        status: 200,
      },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/private|its secret|AWS4/);
  });

  it('may speak REST, with an encoded name in its path and a query string, both signed', async () => {
    const FunctionName = 'arn:aws:lambda:us-east-1:000000000000:function:f';
    role.policies = [policy(statement('lambda:InvokeFunction', FunctionName))];
    const answer = await new LambdaClient(here()).send(new InvokeCommand({ FunctionName, Qualifier: 'a/b' }));
    expect(answer.StatusCode).toBe(200);
    expect(calls[0]!.input).toEqual({ FunctionName, Qualifier: 'a/b' });
  });

  it('may speak the query protocol', async () => {
    expect(await new STSClient(here()).send(new GetCallerIdentityCommand({}))).toMatchObject({
      Arn: 'arn:aws:sts::000000000000:assumed-role/a&b/c',
      Account: world.account,
    });
  });

  it('is not reached without a right signature', async () => {
    const stranger = { ...here(), credentials: { ...role, secretAccessKey: 'another' } };
    await expect(
      new SQSClient(stranger).send(new SendMessageCommand({ QueueUrl: 'x', MessageBody: 'x' })),
    ).rejects.toMatchObject({ name: 'InvalidSignatureException' });
    const unsigned = await fetch(front.endpoint, {
      method: 'POST',
      headers: { 'x-amz-target': 'AmazonSQS.SendMessage' },
      body: '{}',
    });
    expect(((await unsigned.json()) as { __type: string }).__type).toMatch(/MissingAuthenticationToken/);
    expect(calls).toEqual([]);
  });
});

describe('a resource’s policy', () => {
  const events = {
    service: 'events.amazonaws.com',
    sourceArn: 'arn:aws:events:us-east-1:000000000000:rule/bus/r',
  };
  const ask = (caller: Parameters<typeof authorize>[0]) =>
    authorize(caller, [{ action: 'sqs:SendMessage', resource: queueArn, context: {}, resourcePolicy }], {
      now: Date.now,
      account: world.account,
    });
  const fromRule = (SourceArn: string) =>
    policy(
      statement('sqs:SendMessage', queueArn, {
        Principal: { Service: 'events.amazonaws.com' },
        Condition: { ArnEquals: { 'aws:SourceArn': SourceArn } },
      }),
    );

  it('lets a service of AWS in for the rule that it names, and for no other', async () => {
    await expect(ask(events)).rejects.toMatchObject({ code: 'AccessDeniedException' });
    resourcePolicy = fromRule(events.sourceArn);
    await ask(events);
    resourcePolicy = fromRule(`${events.sourceArn}x`);
    await expect(ask(events)).rejects.toMatchObject({
      code: 'AccessDeniedException',
      message: `User: events.amazonaws.com is not authorized to perform: sqs:SendMessage on resource: ${queueArn} because no resource-based policy allows the sqs:SendMessage action`,
    });
  });

  it('does not open the resource to a role that it does not name', async () => {
    role.policies = [];
    resourcePolicy = fromRule(events.sourceArn);
    await expect(ask(role)).rejects.toMatchObject({ code: 'AccessDeniedException' });
    resourcePolicy = policy(statement('sqs:SendMessage', queueArn, { Principal: { AWS: role.roleArn } }));
    await ask(role);
  });

  it('can deny what the role’s policy allows', async () => {
    const deny = (Condition: object) =>
      policy({ ...statement('sqs:*', queueArn), Effect: 'Deny', Principal: '*', Condition });
    resourcePolicy = deny({ Bool: { 'aws:SecureTransport': 'false' } });
    await ask(role);
    resourcePolicy = deny({ StringEquals: { 'aws:PrincipalAccount': world.account } });
    await expect(ask(role)).rejects.toMatchObject({ message: expect.stringContaining('explicit deny') });
  });
});
