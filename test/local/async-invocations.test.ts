import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Clock, openClock } from '../../local/clock.ts';
import { type AsyncInvocations, openAsyncInvocations } from '../../local/lambda/async.ts';
import { InvokeProblem } from '../../local/lambda/service.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { type Sqs, startSqs } from '../../local/sqs/index.ts';
import { deployed, temporaryDirectory, world } from './fixtures/assembly.ts';

const failed = deployed('Failed', 'AWS::SQS::Queue');
const dead = deployed('Dead', 'AWS::SQS::Queue');
const done = deployed('Done', 'AWS::SQS::Queue');
const [onFailure, deadLetters, onSuccess] = [failed, dead, done].map(({ attributes }) => attributes['Arn']!);
const work = deployed('Work', 'AWS::Lambda::Function', { DeadLetterConfig: { TargetArn: deadLetters } });

let stateDir: string;
let clock: Clock;
let sqs: Sqs;
let invocations: AsyncInvocations;
let statements: object[];
let resources: DeployedResource[];
let calls: unknown[];
let handler: (payload: unknown) => unknown;

function start(fresh = false): void {
  clock = openClock({ stateDir, fresh });
  sqs = startSqs({ resources, stateDir, fresh, clock, ...world });
  for (const queue of [failed, dead, done]) sqs.add(queue);
  invocations = openAsyncInvocations({
    ...{ resources, stateDir, fresh, clock, sqs, log: () => undefined },
    describe: () => ({
      ...{ name: work.ref, arn: work.attributes['Arn']! },
      role: () => ({
        ...{ roleArn: 'arn:aws:iam::000000000000:role/Rekey-Role', accessKeyId: '', secretAccessKey: '' },
        policies: [{ Version: '2012-10-17', Statement: statements }],
      }),
    }),
    async invoke(_name, payload) {
      calls.push(payload);
      try {
        return { payload: await handler(payload) };
      } catch (error) {
        if (error instanceof InvokeProblem) throw error;
        return { payload: { errorMessage: (error as Error).message }, functionError: 'Unhandled' };
      }
    },
  });
  invocations.start();
}
async function stop(): Promise<void> {
  await invocations.stop();
  sqs.close();
}
async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 3_000; !condition(); await sleep(5))
    if (Date.now() > deadline) throw new Error('it did not come to that');
}
const messages = ({ attributes }: DeployedResource) => sqs.queues().get(attributes['QueueName']!)!.messages();
const configured = (properties: object) =>
  deployed('Config', 'AWS::Lambda::EventInvokeConfig', {
    ...{ FunctionName: work.ref, Qualifier: '$LATEST' },
    ...properties,
  });

beforeEach(() => {
  stateDir = temporaryDirectory();
  statements = [{ Effect: 'Allow', Action: 'sqs:SendMessage', Resource: '*' }];
  resources = [
    work,
    configured({
      DestinationConfig: { OnFailure: { Destination: onFailure }, OnSuccess: { Destination: onSuccess } },
    }),
  ];
  calls = [];
  handler = () => {
    throw new Error('it fails');
  };
  start();
});
afterEach(() => stop());

describe('an asynchronous invocation', () => {
  it('is tried three times, after a minute and two more, and then told to destination and dead letters', async () => {
    invocations.accept(work.ref, { n: 1 });
    await until(() => calls.length === 1);
    await sleep(20);
    clock.advance(59);
    await sleep(30);
    expect(calls).toHaveLength(1);
    clock.advance(1);
    await until(() => calls.length === 2);
    await sleep(20);
    clock.advance(120);
    await until(() => messages(dead).length === 1);
    clock.advance(3600);
    await sleep(30);
    expect(calls).toEqual([{ n: 1 }, { n: 1 }, { n: 1 }]);
    expect(JSON.parse(messages(failed)[0]!.body)).toEqual({
      version: '1.0',
      timestamp: expect.any(String),
      requestContext: {
        requestId: expect.any(String),
        functionArn: `${work.attributes['Arn']}:$LATEST`,
        condition: 'RetriesExhausted',
        approximateInvokeCount: 3,
      },
      requestPayload: { n: 1 },
      responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
      responsePayload: { errorMessage: 'it fails' },
    });
    expect(messages(dead)[0]).toMatchObject({
      body: '{"n":1}',
      attributes: { ErrorMessage: { DataType: 'String', StringValue: 'it fails' } },
    });
  });

  it('that succeeds is not tried again, and is told to the other destination', async () => {
    handler = () => ({ ok: true });
    invocations.accept(work.ref, { n: 1 });
    await until(() => messages(done).length === 1);
    clock.advance(3600);
    await sleep(30);
    expect(calls).toHaveLength(1);
    expect(JSON.parse(messages(done)[0]!.body)).toMatchObject({
      requestContext: { condition: 'Success', approximateInvokeCount: 1 },
      responsePayload: { ok: true },
    });
    expect([...messages(failed), ...messages(dead)]).toEqual([]);
  });

  it('has the retries and the age that its function’s configuration says', async () => {
    resources[1] = configured({
      ...{ MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 },
      DestinationConfig: { OnFailure: { Destination: onFailure } },
    });
    invocations.accept(work.ref, { n: 1 });
    await until(() => messages(failed).length === 1);
    expect(calls).toHaveLength(1);
    handler = () => {
      throw new InvokeProblem(429, 'TooManyRequestsException', 'Rate Exceeded.');
    };
    invocations.accept(work.ref, { n: 2 });
    await until(() => calls.length === 2);
    await sleep(20);
    clock.advance(61);
    await until(() => messages(failed).length === 2);
    expect(JSON.parse(messages(failed)[1]!.body)).toMatchObject({
      requestContext: { condition: 'EventAgeExceeded' },
      requestPayload: { n: 2 },
    });
  });

  it('survives a restart, with the attempts that it had', async () => {
    invocations.accept(work.ref, { n: 1 });
    await until(() => calls.length === 1);
    await sleep(20);
    await stop();
    start();
    clock.advance(60);
    await until(() => calls.length === 2);
    await sleep(20);
    clock.advance(120);
    await until(() => messages(failed).length === 1);
    expect(calls).toHaveLength(3);
    expect(JSON.parse(messages(failed)[0]!.body).requestContext.approximateInvokeCount).toBe(3);
  });

  it('with a destination that is no queue of the templates stops the start', async () => {
    await stop();
    resources[1] = configured({
      DestinationConfig: { OnFailure: { Destination: 'arn:aws:sns:us-east-1:000000000000:Topic' } },
    });
    expect(() => start()).toThrow(/Topic/);
  });
});
