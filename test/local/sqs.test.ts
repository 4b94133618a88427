import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startAwsFront } from '../../local/aws-front.ts';
import { type Clock, openClock } from '../../local/clock.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { type Sqs, startSqs } from '../../local/sqs/index.ts';
import { md5OfAttributes } from '../../local/sqs/service.ts';
import { deployed, temporaryDirectory, world } from './fixtures/assembly.ts';

const role = {
  roleArn: 'arn:aws:iam::000000000000:role/Rekey-Worker',
  accessKeyId: 'AKIAWORKER',
  secretAccessKey: 'its secret',
  sessionName: 'work',
  policies: [] as unknown[],
};
const policy = (...Statement: object[]) => ({ Version: '2012-10-17', Statement });
const dead = deployed('Dead', 'AWS::SQS::Queue', { MessageRetentionPeriod: 1_209_600 });
const jobs = deployed('Jobs', 'AWS::SQS::Queue', {
  VisibilityTimeout: 60,
  RedrivePolicy: { deadLetterTargetArn: dead.attributes['Arn'], maxReceiveCount: 2 },
});
const arn = jobs.attributes['Arn']!;

let resources: DeployedResource[];
let stateDir: string;
let clock: Clock;
let sqs: Sqs;
let front: Awaited<ReturnType<typeof startAwsFront>>;
let client: SQSClient;

async function start(fresh = false): Promise<void> {
  clock = openClock({ stateDir, fresh });
  sqs = startSqs({ resources, stateDir, fresh, clock, ...world });
  for (const each of [jobs, dead]) sqs.add(each);
  sqs.connect();
  front = await startAwsFront({
    services: [sqs],
    principals: () => role,
    now: Date.now,
    ...world,
    log: () => undefined,
  });
  client = new SQSClient({
    region: world.region,
    endpoint: front.endpoint,
    credentials: role,
    maxAttempts: 1,
  });
}
async function stop(): Promise<void> {
  client.destroy();
  await front.close();
  sqs.close();
}
beforeEach(async () => {
  role.policies = [policy({ Effect: 'Allow', Action: 'sqs:*', Resource: '*' })];
  resources = [jobs, dead];
  stateDir = temporaryDirectory();
  await start();
});
afterEach(stop);

const QueueUrl = jobs.ref;
const send = (MessageBody: string, more: object = {}) =>
  client.send(new SendMessageCommand({ QueueUrl, MessageBody, ...more }));
const receive = async (more: object = {}) =>
  (await client.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, ...more }))).Messages ??
  [];
const bodies = async (more: object = {}) => (await receive(more)).map(({ Body }) => Body);
const remove = (ReceiptHandle: string | undefined) =>
  client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
const depth = (name = 'Rekey-Jobs') => sqs.queues().get(name)!.depth();

describe('a queue', () => {
  it('hides what was received until its visibility time-out is over on the stack’s clock', async () => {
    await send('once');
    expect(await bodies()).toEqual(['once']);
    expect(await bodies()).toEqual([]);
    expect(depth()).toEqual({ visible: 0, in_flight: 1, delayed: 0 });
    clock.advance(59);
    expect(await bodies()).toEqual([]);
    clock.advance(1);
    const [again] = await receive({ MessageSystemAttributeNames: ['All'] });
    expect(again!.Attributes).toMatchObject({ ApproximateReceiveCount: '2' });
    await remove(again!.ReceiptHandle);
    clock.advance(3600);
    expect(await bodies()).toEqual([]);
    expect(depth()).toEqual({ visible: 0, in_flight: 0, delayed: 0 });
  });

  it('delivers a delayed message when the clock has reached its time, to one who waits too', async () => {
    await send('later', { DelaySeconds: 900 });
    expect(await bodies()).toEqual([]);
    expect(depth()).toEqual({ visible: 0, in_flight: 0, delayed: 1 });
    const waiting = bodies({ WaitTimeSeconds: 20 });
    setTimeout(() => clock.advance(900), 50);
    const started = performance.now();
    expect(await waiting).toEqual(['later']);
    expect(performance.now() - started).toBeLessThan(2_000);
    await expect(send('x', { DelaySeconds: 901 })).rejects.toMatchObject({ name: 'InvalidParameterValue' });
  });

  it('wakes who waits as soon as a message is sent, and releases it early when told to', async () => {
    const waiting = receive({ WaitTimeSeconds: 20, VisibilityTimeout: 600 });
    setTimeout(() => void send('now'), 50);
    const [message] = await waiting;
    const change = (VisibilityTimeout: number) =>
      client.send(
        new ChangeMessageVisibilityCommand({
          QueueUrl,
          ReceiptHandle: message!.ReceiptHandle,
          VisibilityTimeout,
        }),
      );
    await change(5);
    clock.advance(4);
    expect(await bodies()).toEqual([]);
    await change(0);
    expect(await bodies({ VisibilityTimeout: 0 })).toEqual(['now']);
    await expect(change(1)).rejects.toMatchObject({ name: 'MessageNotInflight' });
  });

  it('sends what was received too often to its dead letters, with the time of its first sending', async () => {
    await send('poison');
    const sent = sqs.queues().get('Rekey-Jobs')!.messages()[0]!;
    for (let receives = 0; receives < 2; receives += 1) {
      expect(await bodies()).toEqual(['poison']);
      clock.advance(60);
    }
    expect(await bodies()).toEqual([]);
    expect(depth()).toEqual({ visible: 0, in_flight: 0, delayed: 0 });
    const [letter] = await receive({ QueueUrl: dead.ref, MessageSystemAttributeNames: ['All'] });
    expect(letter).toMatchObject({
      MessageId: sent.id,
      Body: 'poison',
      Attributes: { DeadLetterQueueSourceArn: arn, SentTimestamp: String(sent.sentAt) },
    });
  });

  it('drops what is older than it keeps messages', async () => {
    await send('old');
    clock.advance(345_599);
    expect(depth().visible).toBe(1);
    clock.advance(1);
    expect(await bodies()).toEqual([]);
    expect(depth().visible).toBe(0);
  });

  it('deletes by the receipt of the last receive only, also after its time-out', async () => {
    await send('twice');
    const [first] = await receive({ VisibilityTimeout: 0 });
    const [second] = await receive();
    await remove(first!.ReceiptHandle);
    expect(depth().in_flight).toBe(1);
    clock.advance(61);
    await remove(second!.ReceiptHandle);
    expect(await bodies()).toEqual([]);
    expect(depth()).toEqual({ visible: 0, in_flight: 0, delayed: 0 });
    await expect(remove('not a receipt')).rejects.toMatchObject({ name: 'ReceiptHandleIsInvalid' });
  });

  it('takes turns between groups, so that one that is slow does not hold up the others', async () => {
    for (let n = 0; n < 20; n += 1) await send(`slow ${n}`, { MessageGroupId: 'slow' });
    for (let n = 0; n < 3; n += 1) await send(`quick ${n}`, { MessageGroupId: 'quick' });
    const first = await bodies({ MaxNumberOfMessages: 6 });
    expect(first.filter((body) => body!.startsWith('quick'))).toEqual(['quick 0', 'quick 1', 'quick 2']);
    expect(first.filter((body) => body!.startsWith('slow'))).toEqual(['slow 0', 'slow 1', 'slow 2']);
  });

  it('takes batches, in which what fails fails alone', async () => {
    const { Successful, Failed } = await client.send(
      new SendMessageBatchCommand({
        QueueUrl,
        Entries: [
          { Id: 'a', MessageBody: 'fine' },
          { Id: 'b', MessageBody: 'not \u0000 fine' },
        ],
      }),
    );
    expect(Successful).toMatchObject([{ Id: 'a' }]);
    expect(Failed).toMatchObject([{ Id: 'b', Code: 'InvalidMessageContents', SenderFault: true }]);
    const [message] = await receive();
    await client.send(
      new DeleteMessageBatchCommand({
        QueueUrl,
        Entries: [{ Id: 'a', ReceiptHandle: message!.ReceiptHandle }],
      }),
    );
    expect(depth()).toEqual({ visible: 0, in_flight: 0, delayed: 0 });
    const twice = [1, 2].map(() => ({ Id: 'same', MessageBody: 'x' }));
    await expect(
      client.send(new SendMessageBatchCommand({ QueueUrl, Entries: twice })),
    ).rejects.toMatchObject({ name: 'BatchEntryIdsNotDistinct' });
    await expect(client.send(new SendMessageBatchCommand({ QueueUrl, Entries: [] }))).rejects.toMatchObject({
      name: 'EmptyBatchRequest',
    });
  });

  it('refuses a message that is larger than it takes', async () => {
    await expect(send('x'.repeat(1024 * 1024 + 1))).rejects.toMatchObject({
      name: 'InvalidParameterValue',
      message: expect.stringContaining('1048576'),
    });
    await send('x'.repeat(1024 * 1024));
    expect(depth().visible).toBe(1);
  });

  it('gives back attributes that were asked for, with AWS’s digest of them', async () => {
    const MessageAttributes = {
      kind: { DataType: 'String', StringValue: 'test' },
      bytes: { DataType: 'Binary', BinaryValue: new Uint8Array([1, 2]) },
    };
    const sent = await send('with attributes', { MessageAttributes });
    const [message] = await receive({ MessageAttributeNames: ['All'] });
    expect(message!.MessageAttributes).toEqual(MessageAttributes);
    expect(message!.MD5OfMessageAttributes).toBe(sent.MD5OfMessageAttributes);
    // By hand, after AWS's description: printf '\\0\\0\\0\\1a\\0\\0\\0\\6String\\1\\0\\0\\0\\1b' | md5sum
    expect(md5OfAttributes({ a: { DataType: 'String', StringValue: 'b' } })).toBe(
      'bef8bf215374a0a228d67533b1a488be',
    );
  });

  it('is found by its name and describes itself', async () => {
    await send('one');
    const found = await client.send(new GetQueueUrlCommand({ QueueName: 'Rekey-Jobs' }));
    expect(found.QueueUrl).toBe(QueueUrl);
    const { Attributes } = await client.send(
      new GetQueueAttributesCommand({
        QueueUrl,
        AttributeNames: ['ApproximateNumberOfMessages', 'QueueArn'],
      }),
    );
    expect(Attributes).toEqual({ ApproximateNumberOfMessages: '1', QueueArn: arn });
    await expect(client.send(new GetQueueUrlCommand({ QueueName: 'Other' }))).rejects.toMatchObject({
      name: 'QueueDoesNotExist',
    });
  });
});

describe('who may use a queue', () => {
  it('is decided by the role’s policies, batches by the permission for one', async () => {
    role.policies = [policy({ Effect: 'Allow', Action: 'sqs:SendMessage', Resource: arn })];
    await client.send(new SendMessageBatchCommand({ QueueUrl, Entries: [{ Id: 'a', MessageBody: 'x' }] }));
    await expect(receive()).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: expect.stringContaining(`sqs:ReceiveMessage on resource: ${arn}`),
    });
    await expect(send('x', { QueueUrl: dead.ref })).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });

  it('is decided by its policy for a service of AWS', async () => {
    const caller = {
      service: 'events.amazonaws.com',
      sourceArn: 'arn:aws:events:us-east-1:000000000000:rule/r',
    };
    const message = { queueArn: arn, body: 'from a rule', caller };
    await expect(sqs.deliver(message)).rejects.toMatchObject({ code: 'AccessDeniedException' });
    resources.push(
      deployed('Policy', 'AWS::SQS::QueuePolicy', {
        Queues: [jobs.ref],
        PolicyDocument: policy({
          Effect: 'Allow',
          Principal: { Service: 'events.amazonaws.com' },
          Action: 'sqs:SendMessage',
          Resource: arn,
          Condition: { ArnEquals: { 'aws:SourceArn': caller.sourceArn } },
        }),
      }),
    );
    await sqs.deliver(message);
    expect(await bodies()).toEqual(['from a rule']);
  });
});

describe('a restart', () => {
  it('forgets no message: not its delay, nor how often it was received', async () => {
    await send('deleted');
    const [gone] = await receive();
    await remove(gone!.ReceiptHandle);
    await send('received');
    await bodies();
    await send('delayed', { DelaySeconds: 100 });
    await stop();
    await start();
    expect(depth()).toEqual({ visible: 0, in_flight: 1, delayed: 1 });
    clock.advance(100);
    expect((await bodies()).sort()).toEqual(['delayed', 'received']);
    clock.advance(60);
    expect(await bodies()).toEqual(['delayed']);
    expect(depth('Rekey-Dead').visible).toBe(1);
  });

  it('takes a journal whose last line was cut off, and none that is broken before it', async () => {
    await send('kept');
    await stop();
    const file = join(stateDir, 'queues.jsonl');
    appendFileSync(file, '["Rekey-Jobs",{"id":');
    await start();
    expect(await bodies()).toEqual(['kept']);
    await stop();
    appendFileSync(file, 'broken\n["Rekey-Jobs","x"]\n');
    await expect(start()).rejects.toThrow(/queues\.jsonl, line \d+/);
    await start(true);
  });

  it('with --fresh forgets them', async () => {
    await send('forgotten');
    await stop();
    await start(true);
    expect(depth().visible).toBe(0);
  });
});
