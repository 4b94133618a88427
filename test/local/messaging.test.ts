import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type RunningStack, startStack } from '../../local/stack.ts';
import { lambdaFunction, lambdaRole, temporaryDirectory, writeAssembly } from './fixtures/assembly.ts';

jest.setTimeout(60_000);

/** A table whose stream feeds a function, which sends to a queue, which feeds a function that writes to the table. */
const HANDLERS = {
  publish: `
    import { SQSClient, SendMessageCommand } from '@aws-sdk/client-sqs';
    const sqs = new SQSClient();
    export const handler = async ({ Records }) => {
      for (const { dynamodb } of Records)
        await sqs.send(new SendMessageCommand({ QueueUrl: process.env.QUEUE_URL, MessageBody: dynamodb.Keys.pk.S, DelaySeconds: 600 }));
    };`,
  work: `
    import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
    const client = new DynamoDBClient();
    export const handler = async ({ Records }) => {
      for (const { body } of Records)
        await client.send(new PutItemCommand({ TableName: process.env.TABLE, Item: { pk: { S: body.replace('in_', 'out_') } } }));
    };`,
};
const att = (name: string, attribute = 'Arn') => ({ 'Fn::GetAtt': [name, attribute] });
const allow = (Action: string | string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource });
const role = (...Statement: object[]) =>
  lambdaRole({ Policies: [{ PolicyName: 'it', PolicyDocument: { Version: '2012-10-17', Statement } }] });
const READ_STREAM = ['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator'];
const CONSUME = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'];

const assembly = () =>
  writeAssembly({
    Rekey: {
      template: {
        Resources: {
          Table: {
            Type: 'AWS::DynamoDB::Table',
            Properties: {
              AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
              KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
              BillingMode: 'PAY_PER_REQUEST',
              StreamSpecification: { StreamViewType: 'KEYS_ONLY' },
            },
          },
          Dead: { Type: 'AWS::SQS::Queue' },
          Queue: {
            Type: 'AWS::SQS::Queue',
            Properties: { RedrivePolicy: { deadLetterTargetArn: att('Dead'), maxReceiveCount: 3 } },
          },
          PublishRole: role(
            allow(READ_STREAM, att('Table', 'StreamArn')),
            allow('dynamodb:ListStreams', '*'),
            allow('sqs:SendMessage', att('Queue')),
          ),
          Publish: lambdaFunction('publish', {
            ...{ Role: att('PublishRole'), Timeout: 10 },
            Environment: { Variables: { QUEUE_URL: { Ref: 'Queue' } } },
          }),
          PublishSource: {
            Type: 'AWS::Lambda::EventSourceMapping',
            Properties: {
              FunctionName: { Ref: 'Publish' },
              EventSourceArn: att('Table', 'StreamArn'),
              StartingPosition: 'TRIM_HORIZON',
              FilterCriteria: {
                Filters: [{ Pattern: '{"dynamodb":{"Keys":{"pk":{"S":[{"prefix":"in_"}]}}}}' }],
              },
            },
          },
          WorkRole: role(allow(CONSUME, att('Queue')), allow('dynamodb:PutItem', att('Table'))),
          Work: lambdaFunction('work', {
            ...{ Role: att('WorkRole'), Timeout: 10 },
            Environment: { Variables: { TABLE: { Ref: 'Table' } } },
          }),
          WorkSource: {
            Type: 'AWS::Lambda::EventSourceMapping',
            Properties: { FunctionName: { Ref: 'Work' }, EventSourceArn: att('Queue') },
          },
        },
      },
      assets: Object.fromEntries(
        Object.entries(HANDLERS).map(([name, source]) => [name, { 'index.mjs': source }]),
      ),
    },
  });

const stateDir = temporaryDirectory();
let assemblyDir: string;
let stack: RunningStack;
const start = () => startStack({ port: 0, stateDir, fresh: false, assemblyDir, log: () => undefined });
const queues = async () =>
  (await (await fetch(`${stack.control}/queues`)).json()) as Record<string, Record<string, number>>;

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 15_000; !(await condition()); ) {
    if (Date.now() > deadline) throw new Error(`it did not come to that: ${JSON.stringify(await queues())}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
const engine = async <Output>(work: (client: DynamoDBClient) => Promise<Output>): Promise<Output> => {
  const client = new DynamoDBClient({
    ...{ endpoint: stack.dynamodb, region: 'us-east-1' },
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
  return work(client).finally(() => client.destroy());
};
const put = (name: string) =>
  engine((client) =>
    client.send(new PutItemCommand({ TableName: 'Rekey-Table', Item: { pk: { S: name } } })),
  );
const exists = (name: string) =>
  engine(async (client) => {
    const { Item } = await client.send(
      new GetItemCommand({ TableName: 'Rekey-Table', Key: { pk: { S: name } } }),
    );
    return Item !== undefined;
  });
const advance = (advance_seconds: number) =>
  fetch(`${stack.control}/clock`, { method: 'POST', body: JSON.stringify({ advance_seconds }) });

beforeAll(async () => {
  assemblyDir = assembly();
  stack = await start();
});

describe('a stack of streams and queues', () => {
  // Before the folder goes, which is done after all.
  afterAll(() => stack.stop());

  it('runs from write to write, its delay on the clock, over a restart in between', async () => {
    await put('in_1');
    await until(async () => (await queues())['Rekey-Queue']!['delayed'] === 1);
    expect(await exists('out_1')).toBe(false);
    // A stop before the position is kept would have the record come once more, as in AWS.
    await until(async () => existsSync(join(stateDir, 'stream-positions.json')));
    await stack.stop();
    stack = await start();
    expect((await queues())['Rekey-Queue']).toEqual({ visible: 0, in_flight: 0, delayed: 1 });
    await advance(600);
    await until(() => exists('out_1'));
    await until(async () => (await queues())['Rekey-Queue']!['in_flight'] === 0);
    expect(await queues()).toEqual({
      'Rekey-Queue': { visible: 0, in_flight: 0, delayed: 0 },
      'Rekey-Dead': { visible: 0, in_flight: 0, delayed: 0 },
    });
  });
});
