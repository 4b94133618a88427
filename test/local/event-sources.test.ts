import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteItemCommand,
  DynamoDBClient,
  PutItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Clock, openClock } from '../../local/clock.ts';
import { createTables, type Engine, openStreams, startEngine, sweepTtl } from '../../local/dynamodb/index.ts';
import type { StreamRecord, Streams } from '../../local/dynamodb/streams.ts';
import { startEventSources } from '../../local/event-sources/index.ts';
import type { QueueRecord } from '../../local/event-sources/queue-source.ts';
import { InvokeProblem, type LambdaService } from '../../local/lambda/service.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { type Sqs, startSqs } from '../../local/sqs/index.ts';
import { deployed, temporaryDirectory, world } from './fixtures/assembly.ts';

const functionArn = 'arn:aws:lambda:us-east-1:000000000000:function:Rekey-Work';
const dead = deployed('Dead', 'AWS::SQS::Queue');
const jobs = deployed('Jobs', 'AWS::SQS::Queue', { VisibilityTimeout: 60 });
const mapping = (properties: Record<string, unknown>) =>
  deployed('Mapping', 'AWS::Lambda::EventSourceMapping', { FunctionName: functionArn, ...properties });

let stateDir: string;
let clock: Clock;
let sqs: Sqs;
let streams: Streams;
let engine: Engine | undefined;
let policies: unknown[];
let sources: { stop(): Promise<void> } | undefined;
const log: string[] = [];

/** What the function was invoked with, and what it does: an answer, or an error. */
type Handler = (records: never[]) => unknown;
let batches: unknown[][];
let handler: Handler;
const lambda = {
  describe: () => ({
    ...{ name: 'Rekey-Work', arn: functionArn, timeoutMs: 10_000 },
    role: () => ({
      ...{ roleArn: 'arn:aws:iam::000000000000:role/Rekey-Role', accessKeyId: '', secretAccessKey: '' },
      policies,
    }),
  }),
  scale: (_name: string, processes: number) => processes,
  async invoke(_name: string, payload: unknown) {
    const { Records } = payload as { Records: never[] };
    batches.push(Records);
    try {
      return { payload: await handler(Records) };
    } catch (error) {
      if (error instanceof InvokeProblem) throw error;
      return { payload: { errorMessage: (error as Error).message }, functionError: 'Unhandled' };
    }
  },
} as unknown as LambdaService;

async function start(...resources: DeployedResource[]): Promise<void> {
  sources = await startEventSources({
    ...{ resources, lambda, sqs, streams, clock, stateDir, ...world },
    log: (line) => log.push(line),
  });
}
async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`it did not come to that; the log: ${log.join('\n')}`);
    await sleep(5);
  }
}

beforeEach(() => {
  policies = [{ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }];
  stateDir = temporaryDirectory();
  clock = openClock({ stateDir, fresh: false });
  sqs = startSqs({ resources: [], stateDir, fresh: false, clock, ...world });
  for (const queue of [dead, jobs]) sqs.add(queue);
  streams = openStreams({ engine: engine?.endpoint ?? 'http://127.0.0.1:1', clock, ...world });
  batches = [];
  handler = () => undefined;
  log.length = 0;
});
afterEach(async () => {
  await sources?.stop();
  sources = undefined;
  sqs.close();
});

const queue = () => sqs.queues().get('Rekey-Jobs')!;
const deadLetters = () => sqs.queues().get('Rekey-Dead')!;
const empty = { visible: 0, in_flight: 0, delayed: 0 };

describe('a queue that feeds a function', () => {
  const send = (...bodies: string[]) => {
    for (const body of bodies) queue().send({ body, senderId: 'test' });
  };
  const bodies = () => (batches as QueueRecord[][]).map((records) => records.map(({ body }) => body));
  const fromQueue = (more: object = {}) => mapping({ EventSourceArn: jobs.attributes['Arn'], ...more });

  it('gives messages as AWS does, and deletes what the function took', async () => {
    queue().send({
      body: 'hello',
      senderId: 'test',
      attributes: { kind: { DataType: 'String', StringValue: 'greeting' } },
    });
    await start(fromQueue());
    await until(() => queue().depth().in_flight === 0 && batches.length === 1);
    expect(batches[0]).toMatchObject([
      {
        messageId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        body: 'hello',
        md5OfBody: '5d41402abc4b2a76b9719d911017c592',
        attributes: { ApproximateReceiveCount: '1', SentTimestamp: expect.stringMatching(/^\d{13}$/) },
        messageAttributes: { kind: { stringValue: 'greeting', dataType: 'String' } },
        eventSource: 'aws:sqs',
        eventSourceARN: jobs.attributes['Arn'],
        awsRegion: 'us-east-1',
      },
    ]);
    expect(queue().depth()).toEqual(empty);
  });

  it('gives at most a batch at once, and waits for a full one within its window', async () => {
    send('1', '2', '3');
    await start(fromQueue({ BatchSize: 2, MaximumBatchingWindowInSeconds: 30 }));
    await until(() => batches.length === 1);
    await sleep(50);
    expect(bodies()).toEqual([['1', '2']]);
    clock.advance(30);
    await until(() => batches.length === 2);
    expect(bodies()[1]).toEqual(['3']);
  });

  it('keeps the messages of a failed invocation for the time after their time-out', async () => {
    handler = () => {
      if (batches.length === 1) throw new Error('no');
      return undefined;
    };
    send('again');
    await start(fromQueue());
    await until(() => batches.length === 1);
    await sleep(50);
    expect(queue().depth()).toEqual({ ...empty, in_flight: 1 });
    clock.advance(60);
    await until(() => batches.length === 2 && queue().depth().in_flight === 0);
    expect(queue().depth()).toEqual(empty);
  });

  it.each([
    ['names', ['bad'], ['bad']],
    ['can’t have meant, so all', ['a stranger'], ['bad', 'good']],
    ['leaves empty, so all', [''], ['bad', 'good']],
    ['does not name, so none', [], []],
  ])('keeps what the function’s answer %s', async (_what, named, kept) => {
    handler = (records: QueueRecord[]) => ({
      batchItemFailures: named.map((name) => ({
        itemIdentifier: records.find(({ body }) => body === name)?.messageId ?? name,
      })),
    });
    send('good', 'bad');
    await start(fromQueue({ FunctionResponseTypes: ['ReportBatchItemFailures'] }));
    await until(() => batches.length === 1);
    await sleep(20);
    expect(
      queue()
        .messages()
        .map(({ body }) => body)
        .sort(),
    ).toEqual(kept);
  });

  it('runs as many at once as it may, and no more', async () => {
    let running = 0;
    let most = 0;
    handler = async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(20);
      running -= 1;
    };
    send(...'abcdefghij');
    await start(fromQueue({ BatchSize: 1, ScalingConfig: { MaximumConcurrency: 3 } }));
    await until(() => batches.length === 10 && running === 0);
    expect(most).toBe(3);
  });

  it('deletes what its filter does not want, without an invocation', async () => {
    send('{"type":"wanted"}', '{"type":"other"}', 'no JSON');
    const Pattern = JSON.stringify({ body: { type: ['wanted'] } });
    await start(fromQueue({ FilterCriteria: { Filters: [{ Pattern }] } }));
    await until(() => batches.length === 1 && queue().messages().length === 0);
    expect(bodies()).toEqual([['{"type":"wanted"}']]);
  });

  it('is not started where AWS would refuse it', async () => {
    policies = [
      {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Action: ['sqs:ReceiveMessage'], Resource: '*' }],
      },
    ];
    await expect(start(fromQueue())).rejects.toThrow(/Rekey\/Mapping: .*sqs:DeleteMessage/);
    policies = [{ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }];
    const slow = deployed('Slow', 'AWS::SQS::Queue', { VisibilityTimeout: 9 });
    sqs.add(slow);
    await expect(start(mapping({ EventSourceArn: slow.attributes['Arn'] }))).rejects.toThrow(
      'Queue visibility timeout: 9 seconds is less than Function timeout: 10 seconds',
    );
    const Pattern = '{"body":[{"sounds-like":"x"}]}';
    await expect(start(fromQueue({ FilterCriteria: { Filters: [{ Pattern }] } }))).rejects.toThrow(
      'sounds-like',
    );
  });
});

describe('a table’s stream that feeds a function', () => {
  let table: DeployedResource;
  let tables = 0;
  let client: DynamoDBClient;
  beforeAll(async () => {
    engine = await startEngine({ stateDir: temporaryDirectory(), fresh: true, log: () => undefined });
    client = new DynamoDBClient({
      endpoint: engine.endpoint,
      region: world.region,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    });
  });
  afterAll(async () => {
    client.destroy();
    await engine?.close();
    engine = undefined;
  });
  beforeEach(async () => {
    tables += 1;
    table = deployed(`Keys${tables}`, 'AWS::DynamoDB::Table', {
      AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
      BillingMode: 'PAY_PER_REQUEST',
      StreamSpecification: { StreamViewType: 'NEW_IMAGE' },
      TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true },
    });
    await createTables({ endpoint: engine!.endpoint, resources: [table] });
  });

  const put = async (...names: string[]) => {
    for (const name of names) {
      const Item = { pk: { S: name }, n: { N: '1' } };
      await client.send(new PutItemCommand({ TableName: table.ref, Item }));
    }
    streams.wake();
  };
  const fromStream = (more: object = {}) =>
    mapping({
      EventSourceArn: table.attributes['StreamArn'],
      StartingPosition: 'TRIM_HORIZON',
      MaximumRetryAttempts: 2,
      ...more,
    });
  const keysOf = (records: unknown[]) =>
    (records as StreamRecord[]).map(({ dynamodb }) => dynamodb.Keys['pk']!['S']);
  const keys = () => batches.map(keysOf);
  /** Fails for a batch that has this item. */
  const failsOn = (name: string) => (records: never[]) => {
    if (keysOf(records).includes(name)) throw new Error('poison');
  };

  it('gives records in order, from the beginning, as AWS does', async () => {
    await put('a', 'b');
    await client.send(new DeleteItemCommand({ TableName: table.ref, Key: { pk: { S: 'a' } } }));
    await start(table, fromStream());
    await until(() => keys().flat().length === 3);
    expect(keys().flat()).toEqual(['a', 'b', 'a']);
    const [first, , last] = batches.flat() as StreamRecord[];
    expect(first).toEqual({
      eventID: expect.stringMatching(/^[0-9a-f]{32}$/),
      eventName: 'INSERT',
      eventVersion: '1.1',
      eventSource: 'aws:dynamodb',
      awsRegion: 'us-east-1',
      eventSourceARN: table.attributes['StreamArn'],
      dynamodb: {
        ApproximateCreationDateTime: expect.any(Number),
        Keys: { pk: { S: 'a' } },
        NewImage: { pk: { S: 'a' }, n: { N: '1' } },
        SequenceNumber: expect.any(String),
        SizeBytes: expect.any(Number),
        StreamViewType: 'NEW_IMAGE',
      },
    });
    expect(last).toMatchObject({ eventName: 'REMOVE' });
    expect(last!.dynamodb).not.toHaveProperty('OldImage');
  });

  it('has no record of a write that changes nothing', async () => {
    await put('a', 'a');
    await client.send(
      new UpdateItemCommand({
        ...{ TableName: table.ref, Key: { pk: { S: 'a' } } },
        ...{ UpdateExpression: 'SET n = :n', ExpressionAttributeValues: { ':n': { N: '2' } } },
      }),
    );
    await start(table, fromStream());
    await until(() => batches.flat().length === 2);
    await put('b');
    await until(() => batches.flat().length === 3);
    expect((batches.flat() as StreamRecord[]).map(({ eventName }) => eventName)).toEqual([
      'INSERT',
      'MODIFY',
      'INSERT',
    ]);
  });

  it('says that TTL deleted an item, and that a caller did not', async () => {
    const ttl = { N: String(Math.floor(Date.now() / 1000) - 100) };
    await client.send(new PutItemCommand({ TableName: table.ref, Item: { pk: { S: 'old' }, ttl } }));
    await put('other');
    await start(table, fromStream());
    await sweepTtl({
      ...{ endpoint: engine!.endpoint, resources: [table], now: Date.now() },
      onExpiring: streams.expiring,
    });
    await client.send(new DeleteItemCommand({ TableName: table.ref, Key: { pk: { S: 'other' } } }));
    streams.wake();
    await until(() => batches.flat().length === 4);
    const removed = (batches.flat() as StreamRecord[]).filter(({ eventName }) => eventName === 'REMOVE');
    expect(removed.map(({ userIdentity }) => userIdentity)).toEqual([
      { type: 'Service', principalId: 'dynamodb.amazonaws.com' },
      undefined,
    ]);
  });

  it('tries a failed batch again, and what comes after it waits', async () => {
    let failures = 0;
    handler = (records) => {
      if (keysOf(records).includes('a') && failures++ < 2) throw new Error('not now');
    };
    await put('a');
    await start(table, fromStream());
    await until(() => batches.length >= 1);
    await put('b');
    await until(() => keys().flat().includes('b'));
    expect(keys().slice(0, 3)).toEqual([['a'], ['a'], ['a']]);
    expect(deadLetters().depth()).toEqual(empty);
  });

  it('bisects a failed batch until the bad record is alone, tells of it, and goes on', async () => {
    handler = failsOn('poison');
    await put('a', 'b', 'poison', 'c');
    await start(
      table,
      fromStream({
        BisectBatchOnFunctionError: true,
        MaximumRetryAttempts: 1,
        DestinationConfig: { OnFailure: { Destination: dead.attributes['Arn'] } },
      }),
    );
    await until(() => keys().some((batch) => batch.join() === 'c'));
    expect(keys()).toEqual([
      ['a', 'b', 'poison', 'c'],
      ['a', 'b'],
      ['poison', 'c'],
      ['poison'],
      ['poison'],
      ['c'],
    ]);
    const [letter] = deadLetters().messages();
    const poison = (batches.flat() as StreamRecord[]).find(
      ({ dynamodb }) => dynamodb.Keys['pk']!['S'] === 'poison',
    )!;
    expect(JSON.parse(letter!.body)).toEqual({
      requestContext: {
        requestId: expect.any(String),
        functionArn: `${functionArn}:$LATEST`,
        condition: 'RetryAttemptsExhausted',
        approximateInvokeCount: 2,
      },
      responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
      version: '1.0',
      timestamp: expect.any(String),
      DDBStreamBatchInfo: {
        shardId: expect.stringMatching(/^shardId-/),
        startSequenceNumber: poison.dynamodb.SequenceNumber,
        endSequenceNumber: poison.dynamodb.SequenceNumber,
        approximateArrivalOfFirstRecord: expect.any(String),
        approximateArrivalOfLastRecord: expect.any(String),
        batchSize: 1,
        streamArn: table.attributes['StreamArn'],
      },
    });
  });

  it('goes on from the lowest record that the function reports', async () => {
    let failures = 0;
    handler = (records: StreamRecord[]) => {
      const bad = records.filter(({ dynamodb }) => /b|c/.test(String(dynamodb.Keys['pk']!['S'])));
      if (bad.length < 2 || failures++ > 0) return { batchItemFailures: [] };
      const items = bad.map(({ dynamodb }) => ({ itemIdentifier: dynamodb.SequenceNumber }));
      return { batchItemFailures: items.reverse() };
    };
    await put('a', 'b', 'c');
    await start(table, fromStream({ FunctionResponseTypes: ['ReportBatchItemFailures'] }));
    await until(() => batches.length === 2);
    expect(keys()).toEqual([
      ['a', 'b', 'c'],
      ['b', 'c'],
    ]);
  });

  it('does not count an invocation that did not start', async () => {
    handler = () => {
      if (batches.length < 5) throw new InvokeProblem(429, 'TooManyRequestsException', 'Rate Exceeded.');
    };
    await put('a');
    await start(
      table,
      fromStream({
        MaximumRetryAttempts: 0,
        DestinationConfig: { OnFailure: { Destination: dead.attributes['Arn'] } },
      }),
    );
    await until(() => batches.length === 5);
    await sleep(20);
    expect(deadLetters().depth()).toEqual(empty);
  });

  it('gives only what its filter wants', async () => {
    await put('key_1', 'events_1', 'events_2');
    const Pattern = JSON.stringify({
      eventName: ['INSERT'],
      dynamodb: { NewImage: { pk: { S: [{ prefix: 'events_' }] } } },
    });
    await start(table, fromStream({ FilterCriteria: { Filters: [{ Pattern }] } }));
    await until(() => batches.flat().length === 2);
    expect(keys().flat()).toEqual(['events_1', 'events_2']);
  });

  it('goes on after a restart where it was, and not before', async () => {
    await put('a');
    await start(table, fromStream());
    await until(() => batches.length === 1);
    await sources!.stop();
    await put('b');
    await start(table, fromStream());
    await until(() => batches.length === 2);
    expect(keys()).toEqual([['a'], ['b']]);
  });

  it('gives a batch that was not through once more after a restart', async () => {
    let isDown = true;
    handler = () => {
      if (isDown) throw new Error('down');
    };
    await put('a');
    await start(table, fromStream({ MaximumRetryAttempts: -1 }));
    await until(() => batches.length >= 1);
    await sources!.stop();
    isDown = false;
    batches = [];
    await start(table, fromStream({ MaximumRetryAttempts: -1 }));
    await until(() => batches.length === 1);
    expect(keys()).toEqual([['a']]);
  });

  it('is not started for a role that may not read it, nor send to its destination', async () => {
    const Resource = table.attributes['StreamArn'];
    const read = {
      Effect: 'Allow',
      Action: ['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator'],
      Resource,
    };
    const list = { Effect: 'Allow', Action: 'dynamodb:ListStreams', Resource: '*' };
    const grant = (...Statement: object[]) => {
      policies = [{ Version: '2012-10-17', Statement }];
    };
    grant(list);
    await expect(start(table, fromStream())).rejects.toThrow(/dynamodb:DescribeStream/);
    grant(list, read);
    const OnFailure = { Destination: dead.attributes['Arn'] };
    await expect(start(table, fromStream({ DestinationConfig: { OnFailure } }))).rejects.toThrow(
      /sqs:SendMessage/,
    );
    await start(table, fromStream());
  });
});
