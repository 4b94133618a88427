import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { RecordedCall } from '../../local/faults.ts';
import { type RunningStack, startStack } from '../../local/stack.ts';
import { lambdaFunction, lambdaRole, temporaryDirectory, writeAssembly } from './fixtures/assembly.ts';

jest.setTimeout(60_000);

/** Writes, sends and writes in a transaction, as its event says, and tells the error that it met. */
const HANDLER = `
  import { DynamoDBClient, PutItemCommand, TransactWriteItemsCommand } from '@aws-sdk/client-dynamodb';
  import { SQSClient, SendMessageCommand } from '@aws-sdk/client-sqs';
  const Item = (name) => ({ TableName: process.env.TABLE, Item: { pk: { S: name } } });
  export const handler = async ({ name, steps = ['put'], attempts = 1 }) => {
    const db = new DynamoDBClient({ maxAttempts: attempts, requestHandler: { requestTimeout: 500, throwOnRequestTimeout: true } });
    const sqs = new SQSClient({ maxAttempts: attempts });
    const does = {
      put: () => db.send(new PutItemCommand(Item(name))),
      transact: () => db.send(new TransactWriteItemsCommand({ TransactItems: [{ Put: Item(name) }, { Put: Item(name + '_2') }] })),
      send: () => sqs.send(new SendMessageCommand({ QueueUrl: process.env.QUEUE_URL, MessageBody: name })),
    };
    try {
      for (const step of steps) await does[step]();
      return { ok: true, ...(steps.length === 0 && { pid: process.pid }) };
    } catch (error) {
      return { name: error.name, status: error.$metadata?.httpStatusCode, reasons: error.CancellationReasons };
    }
  };`;
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
            },
          },
          Queue: { Type: 'AWS::SQS::Queue' },
          Role: lambdaRole({
            Policies: [
              {
                PolicyName: 'it',
                PolicyDocument: {
                  Version: '2012-10-17',
                  Statement: [
                    {
                      Effect: 'Allow',
                      Action: ['dynamodb:PutItem', 'sqs:SendMessage'],
                      Resource: [{ 'Fn::GetAtt': ['Table', 'Arn'] }, { 'Fn::GetAtt': ['Queue', 'Arn'] }],
                    },
                  ],
                },
              },
            ],
          }),
          ...Object.fromEntries(
            ['WriteItem1234ABCD', 'OtherWrite1234ABCD', 'MoreOtherWrite1234ABCD'].map((name) => [
              name,
              lambdaFunction('it', {
                Timeout: 10,
                Environment: { Variables: { TABLE: { Ref: 'Table' }, QUEUE_URL: { Ref: 'Queue' } } },
              }),
            ]),
          ),
        },
      },
      assets: { it: { 'index.mjs': HANDLER } },
    },
  });

let stack: RunningStack;
const control = async (method: string, path: string, body?: unknown) => {
  const answer = await fetch(stack.control + path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
};
const invoke = async (event: object) =>
  (await control('POST', '/2015-03-31/functions/Rekey-WriteItem1234ABCD/invocations', event)).body;
const fault = async (kind: string, more: object = {}) => {
  const asked = { function: 'write-item', call: 'dynamodb:PutItem', nth: 1, fault: kind, ...more };
  expect((await control('POST', '/faults', asked)).status).toBe(201);
};
const calls = async (): Promise<RecordedCall[]> =>
  (await control('GET', '/calls?function=write-item')).body.calls;
const hits = async () => (await control('GET', '/faults')).body.faults;
const exists = async (name: string) => {
  const client = new DynamoDBClient({
    ...{ endpoint: stack.dynamodb, region: 'us-east-1' },
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
  const { Item } = await client.send(
    new GetItemCommand({ TableName: 'Rekey-Table', Key: { pk: { S: name } }, ConsistentRead: true }),
  );
  client.destroy();
  return Item !== undefined;
};

describe('a fault on demand', () => {
  beforeAll(async () => {
    stack = await startStack({
      ...{ port: 0, stateDir: temporaryDirectory(), fresh: false },
      ...{ assemblyDir: assembly(), log: () => undefined },
    });
  });
  afterAll(() => stack.stop());
  beforeEach(async () => {
    await control('DELETE', '/faults');
    await control('DELETE', '/calls');
  });

  it('is found by what a function calls, in order, by invocation', async () => {
    expect(await invoke({ name: 'a', steps: ['put', 'send', 'transact'] })).toEqual({ ok: true });
    const made = await calls();
    expect(made.map(({ call, status, fault: met }) => [call, status, met])).toEqual([
      ['dynamodb:PutItem', 200, undefined],
      ['sqs:SendMessage', 200, undefined],
      ['dynamodb:TransactWriteItems', 200, undefined],
    ]);
    expect(new Set(made.map(({ request_id }) => request_id)).size).toBe(1);
    expect(made[0]!.request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect((await control('GET', '/calls?function=other-write')).body.calls).toEqual([]);
  });

  it('throttles as the service does, once, so that a retry gets through', async () => {
    await fault('throttle');
    expect(await invoke({ name: 'throttled' })).toMatchObject({ name: 'ThrottlingException', status: 400 });
    expect(await exists('throttled')).toBe(false);
    await fault('throttle');
    expect(await invoke({ name: 'throttled', attempts: 2 })).toEqual({ ok: true });
    expect((await calls()).map(({ status }) => status)).toEqual([400, 400, 200]);
    expect(await hits()).toMatchObject([
      { fault: 'throttle', hit: { status: 400 } },
      { fault: 'throttle', hit: { status: 400 } },
    ]);
  });

  it('throttles a transaction in its reasons, and a queue in its own way', async () => {
    await fault('throttle', { call: 'dynamodb:TransactWriteItems' });
    expect(await invoke({ name: 'both', steps: ['transact'] })).toMatchObject({
      name: 'TransactionCanceledException',
      reasons: [{ Code: 'ThrottlingError' }, { Code: 'None' }],
    });
    await fault('throttle', { call: 'sqs:SendMessage' });
    expect(await invoke({ name: 'x', steps: ['send'] })).toMatchObject({ name: 'RequestThrottled' });
  });

  it('fails as the service does, and nothing is done', async () => {
    await fault('error');
    expect(await invoke({ name: 'failed' })).toMatchObject({ name: 'InternalServerError', status: 500 });
    expect(await exists('failed')).toBe(false);
  });

  it('keeps back the answer of what was done', async () => {
    await fault('timeout');
    expect(await invoke({ name: 'unheard' })).toMatchObject({ name: 'TimeoutError' });
    expect(await exists('unheard')).toBe(true);
  });

  it('ends the process before or after the call, and the next invocation has another', async () => {
    await fault('crash_before');
    expect(await invoke({ name: 'before' })).toMatchObject({ errorType: 'Runtime.ExitError' });
    expect(await exists('before')).toBe(false);
    await fault('crash_after');
    expect(await invoke({ name: 'after' })).toMatchObject({ errorType: 'Runtime.ExitError' });
    expect(await exists('after')).toBe(true);
    expect(await invoke({ name: 'next' })).toEqual({ ok: true });
  });

  it('hits the nth call of its kind, of its function only, and is forgotten on demand', async () => {
    await fault('error', { nth: 2 });
    await fault('error', { function: 'other-write' });
    expect(await invoke({ name: 'n', steps: ['put', 'transact', 'put'] })).toMatchObject({ status: 500 });
    expect((await calls()).map(({ fault: met }) => met)).toEqual([undefined, undefined, 'error']);
    await fault('error');
    await control('DELETE', '/faults');
    expect(await hits()).toEqual([]);
    expect(await invoke({ name: 'n' })).toEqual({ ok: true });
  });

  it.each([
    ['a function that is not there', { function: 'nobody' }, /no functions.*write-item/],
    ['a call of another form', { call: 'PutItem' }, /call/],
    ['a kind that is not known', { fault: 'explode' }, /throttle, error/],
    ['the call before the first', { nth: 0 }, /nth/],
  ])('is refused for %s', async (_what, more, message) => {
    const asked = { function: 'write-item', call: 'dynamodb:PutItem', fault: 'error', ...more };
    const { status, body } = await control('POST', '/faults', asked);
    expect(status).toBe(400);
    expect(body.message).toMatch(message);
  });

  it('may be for a cold start, which can be asked for', async () => {
    const pid = async () => (await invoke({ name: 'p', steps: [] })).pid;
    const first = await pid();
    expect(await pid()).toBe(first);
    expect((await control('DELETE', '/processes?function=write-item')).status).toBe(204);
    const more = await control('PUT', '/processes?function=write-item', { most: 6 });
    expect([more.status, more.body]).toEqual([200, { most: 6 }]);
    for (const most of [0, 51, 1.5, 'all', undefined])
      expect((await control('PUT', '/processes?function=write-item', { most })).status).toBe(400);
    expect((await control('PUT', '/processes', { most: 6 })).status).toBe(400);
    expect(await pid()).not.toBe(first);
  });

  it('is for the function of exactly that name, where another one ends so', async () => {
    const { body } = await control('POST', '/faults', {
      ...{ function: 'other-write', call: 'dynamodb:PutItem', fault: 'error' },
    });
    expect(body.function).toBe('Rekey-OtherWrite1234ABCD');
  });
});
