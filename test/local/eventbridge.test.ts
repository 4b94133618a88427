import { EventBridgeClient, PutEventsCommand, type PutEventsRequestEntry } from '@aws-sdk/client-eventbridge';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { startAwsFront } from '../../local/aws-front.ts';
import { type Clock, openClock } from '../../local/clock.ts';
import { type EventBridge, startEventBridge } from '../../local/eventbridge/index.ts';
import { readSchedule } from '../../local/eventbridge/schedule.ts';
import { readInput, type TargetInput } from '../../local/eventbridge/target-input.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { type Sqs, startSqs } from '../../local/sqs/index.ts';
import { deployed, temporaryDirectory, world } from './fixtures/assembly.ts';

const FUNCTION = 'arn:aws:lambda:us-east-1:000000000000:function:Rekey-Fn';
const queue = deployed('Queue', 'AWS::SQS::Queue');
const dead = deployed('Dead', 'AWS::SQS::Queue');
const bus = deployed('Bus', 'AWS::Events::EventBus', { Name: 'Rekey-events' });
const rule = (logicalId: string, properties: Record<string, unknown>) =>
  deployed(logicalId, 'AWS::Events::Rule', {
    EventBusName: bus.ref,
    EventPattern: { source: ['rekey'] },
    ...properties,
  });
const toQueue = { Id: 'queue', Arn: queue.attributes['Arn']! };
const toFunction = { Id: 'function', Arn: FUNCTION };
const queuePolicy = (ruleArn: string) =>
  deployed('QueuePolicy', 'AWS::SQS::QueuePolicy', {
    Queues: [queue.ref, dead.ref],
    PolicyDocument: {
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Allow',
          Principal: { Service: 'events.amazonaws.com' },
          Action: 'sqs:SendMessage',
          Resource: '*',
          Condition: { ArnEquals: { 'aws:SourceArn': ruleArn } },
        },
      ],
    },
  });
const role = {
  roleArn: 'arn:aws:iam::000000000000:role/Rekey-Publisher',
  accessKeyId: 'AKIAPUBLISHER',
  secretAccessKey: 'its secret',
  sessionName: 'publish',
  policies: [] as unknown[],
};

let resources: DeployedResource[];
let stateDir: string;
let clock: Clock;
let sqs: Sqs;
let eventBridge: EventBridge;
let front: Awaited<ReturnType<typeof startAwsFront>>;
let client: EventBridgeClient;
let invoked: unknown[];
let mayInvoke: boolean;
let failures: number;

async function start(fresh = false): Promise<void> {
  clock = openClock({ stateDir, fresh });
  sqs = startSqs({ resources, stateDir, fresh, clock, ...world });
  for (const each of [queue, dead]) sqs.add(each);
  eventBridge = startEventBridge({
    ...{ resources, stateDir, fresh, clock, sqs, ...world },
    mayInvoke: () => mayInvoke,
    invoke(_arn, payload) {
      if (failures > 0) {
        failures -= 1;
        throw Object.assign(new Error('no more'), { code: 'TooManyRequestsException' });
      }
      invoked.push(payload);
    },
    log: () => undefined,
  });
  front = await startAwsFront({
    services: [eventBridge],
    principals: () => role,
    now: () => Date.now(),
    ...world,
    log: () => undefined,
  });
  client = new EventBridgeClient({
    region: world.region,
    endpoint: front.endpoint,
    credentials: role,
    maxAttempts: 1,
  });
}
async function stop(): Promise<void> {
  client.destroy();
  await front.close();
  await eventBridge.stop();
  sqs.close();
}
beforeEach(async () => {
  role.policies = [
    {
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Action: 'events:PutEvents', Resource: bus.attributes['Arn'] }],
    },
  ];
  resources = [queue, dead, bus];
  stateDir = temporaryDirectory();
  [invoked, mayInvoke, failures] = [[], true, 0];
  await start();
});
afterEach(stop);

const entry = (more: PutEventsRequestEntry = {}): PutEventsRequestEntry => ({
  EventBusName: bus.ref,
  Source: 'rekey',
  DetailType: 'api_key.created',
  Detail: '{"id":"evt_1"}',
  ...more,
});
const put = (...Entries: PutEventsRequestEntry[]) => client.send(new PutEventsCommand({ Entries }));
async function eventually<Value>(look: () => Value | undefined | false): Promise<Value> {
  for (let tries = 0; tries < 200; tries += 1) {
    const seen = look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it did not happen');
}
const bodies = (of: DeployedResource) => sqs.queue(of.attributes['Arn']!).messages();

describe('PutEvents', () => {
  it('gives the event to the targets of the rules that match, and to no others', async () => {
    const first = rule('First', { Targets: [toFunction] });
    resources.push(first, rule('Second', { EventPattern: { source: ['other'] }, Targets: [toQueue] }));
    eventBridge.start();
    const { FailedEntryCount, Entries } = await put(entry({ Time: new Date('2026-11-24T20:00:00Z') }));
    expect(FailedEntryCount).toBe(0);
    const [event] = await eventually(() => invoked.length > 0 && invoked);
    expect(event).toEqual({
      version: '0',
      id: Entries?.[0]?.EventId,
      'detail-type': 'api_key.created',
      source: 'rekey',
      account: '000000000000',
      time: '2026-11-24T20:00:00Z',
      region: 'us-east-1',
      resources: [],
      detail: { id: 'evt_1' },
    });
    expect(eventBridge.seen()).toMatchObject([{ bus: 'Rekey-events', rules: ['Rekey-First'] }]);
    expect(bodies(queue)).toHaveLength(0);
  });

  it('tells of each bad entry for itself, and takes the others', async () => {
    const { FailedEntryCount, Entries = [] } = await put(
      entry(),
      entry({ Detail: '[]' }),
      entry({ DetailType: undefined }),
      entry({ Source: 'aws.ec2' }),
    );
    expect(FailedEntryCount).toBe(3);
    expect(Entries.map(({ ErrorCode }) => ErrorCode)).toEqual([
      undefined,
      'MalformedDetail',
      'InvalidArgument',
      'NotAuthorizedForSourceException',
    ]);
    expect(eventBridge.seen()).toHaveLength(1);
  });

  it('refuses more than ten entries, and more than 256 KB', async () => {
    await expect(put(...Array.from({ length: 11 }, () => entry()))).rejects.toMatchObject({
      name: 'ValidationException',
    });
    const big = entry({ Detail: JSON.stringify({ text: 'x'.repeat(150_000) }) });
    await expect(put(big, big)).rejects.toMatchObject({ name: 'ValidationException' });
    expect((await put(big)).FailedEntryCount).toBe(0);
  });

  it('is refused to a role that may not, and on a bus that it may not', async () => {
    await expect(put(entry({ EventBusName: 'default' }))).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
    role.policies = [];
    await expect(put(entry())).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });

  it('is allowed by the policy of the bus as well', async () => {
    role.policies = [];
    resources.push(
      deployed('Policy', 'AWS::Events::EventBusPolicy', {
        EventBusName: bus.ref,
        StatementId: 'x',
        Statement: {
          Effect: 'Allow',
          Principal: { AWS: role.roleArn },
          Action: 'events:PutEvents',
          Resource: bus.attributes['Arn'],
          Condition: { 'ForAnyValue:StringEquals': { 'events:source': 'rekey' } },
        },
      }),
    );
    expect((await put(entry())).FailedEntryCount).toBe(0);
    await expect(put(entry({ Source: 'other' }))).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });

  it('answers for a bus that is not there as if it were, and the event is lost', async () => {
    role.policies = [
      { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'events:PutEvents', Resource: '*' }] },
    ];
    expect((await put(entry({ EventBusName: 'misspelt' }))).FailedEntryCount).toBe(0);
    expect(eventBridge.seen()).toMatchObject([{ bus: 'misspelt' }]);
    expect(eventBridge.seen()[0]!.rules).toBeUndefined();
  });
});

describe('a target', () => {
  it('that is a queue gets the event if its policy lets the rule in', async () => {
    const ours = rule('Ours', { Targets: [toQueue] });
    resources.push(ours, queuePolicy(ours.attributes['Arn']!));
    eventBridge.start();
    await put(entry());
    const [message] = await eventually(() => bodies(queue).length > 0 && bodies(queue));
    expect(JSON.parse(message!.body)).toMatchObject({ source: 'rekey', detail: { id: 'evt_1' } });
  });

  it.each([
    ['queue', toQueue, 'Other'],
    ['function', toFunction, 'Ours'],
  ])(
    'that is a %s and does not let the rule in is not tried again: dead letters',
    async (_, target, allowed) => {
      mayInvoke = false;
      const ours = rule('Ours', {
        Targets: [{ ...target, DeadLetterConfig: { Arn: dead.attributes['Arn'] } }],
      });
      const policy = queuePolicy(ours.attributes['Arn']!);
      (policy.properties as { Queues: string[] }).Queues =
        allowed === 'Ours' ? [queue.ref, dead.ref] : [dead.ref];
      resources.push(ours, policy);
      eventBridge.start();
      await put(entry());
      const [message] = await eventually(() => bodies(dead).length > 0 && bodies(dead));
      expect(JSON.parse(message!.body)).toMatchObject({ detail: { id: 'evt_1' } });
      expect(message!.attributes).toMatchObject({
        RULE_ARN: { StringValue: ours.attributes['Arn'] },
        TARGET_ARN: { StringValue: target.Arn },
        ERROR_CODE: { StringValue: 'NO_PERMISSIONS' },
        RETRY_ATTEMPTS: { StringValue: '0' },
      });
      expect(message!.attributes).not.toHaveProperty('EXHAUSTED_RETRY_CONDITION');
    },
  );

  it('that fails for now is tried again, on the stack’s clock', async () => {
    failures = 2;
    resources.push(rule('Ours', { Targets: [toFunction] }));
    eventBridge.start();
    await put(entry());
    await eventually(() => failures === 1);
    clock.advance(600);
    await eventually(() => failures === 0);
    expect(invoked).toHaveLength(0);
    clock.advance(600);
    await eventually(() => invoked.length === 1);
  });

  it('that keeps failing is given up after its retries: dead letters', async () => {
    failures = 100;
    const ours = rule('Ours', {
      Targets: [
        {
          ...toFunction,
          RetryPolicy: { MaximumRetryAttempts: 1 },
          DeadLetterConfig: { Arn: dead.attributes['Arn'] },
        },
      ],
    });
    resources.push(ours, queuePolicy(ours.attributes['Arn']!));
    eventBridge.start();
    await put(entry());
    await eventually(() => failures === 99);
    clock.advance(600);
    const [message] = await eventually(() => bodies(dead).length > 0 && bodies(dead));
    expect(failures).toBe(98);
    expect(message!.attributes).toMatchObject({
      EXHAUSTED_RETRY_CONDITION: { StringValue: 'MaximumRetryAttempts' },
      RETRY_ATTEMPTS: { StringValue: '1' },
    });
  });

  it('gets what waited for it after a restart', async () => {
    failures = 1;
    resources.push(rule('Ours', { Targets: [toFunction] }));
    eventBridge.start();
    await put(entry());
    await eventually(() => failures === 0);
    await stop();
    await start();
    eventBridge.start();
    clock.advance(600);
    await eventually(() => invoked.length === 1);
  });

  it.each([
    [
      'an unknown kind of target',
      { Targets: [{ Id: 'x', Arn: 'arn:aws:states:us-east-1:0:stateMachine:x' }] },
    ],
    ['two targets of one Id', { Targets: [toQueue, toQueue] }],
    ['a bus that is not there', { EventBusName: 'misspelt', Targets: [toQueue] }],
    ['a queue that is not there', { Targets: [{ Id: 'x', Arn: 'arn:aws:sqs:us-east-1:000000000000:none' }] }],
    ['neither pattern nor schedule', { EventPattern: undefined, Targets: [toQueue] }],
    ['a schedule on another bus than the default one', { ScheduleExpression: 'rate(1 hour)' }],
    ['an operator that is not known', { EventPattern: { source: [{ like: 'x' }] } }],
  ])('or a rule stops the start with %s', (_, properties) => {
    resources.push(rule('Ours', properties));
    expect(() => eventBridge.start()).toThrow();
  });
});

describe('a schedule', () => {
  const scheduled = (ScheduleExpression: string, more: Record<string, unknown> = {}) =>
    deployed('Hourly', 'AWS::Events::Rule', { ScheduleExpression, Targets: [toFunction], ...more });

  it('runs at its rate, and once for all that a moved clock has skipped', async () => {
    resources.push(scheduled('rate(1 hour)'));
    eventBridge.start();
    clock.advance(3_599);
    expect(eventBridge.seen()).toHaveLength(0);
    clock.advance(2);
    await eventually(() => invoked.length === 1);
    expect(invoked[0]).toMatchObject({
      source: 'aws.events',
      'detail-type': 'Scheduled Event',
      detail: {},
      resources: ['arn:aws:events:us-east-1:000000000000:rule/Rekey-Hourly'],
    });
    clock.advance(90 * 86_400);
    await eventually(() => invoked.length === 2);
    clock.advance(3_600);
    await eventually(() => invoked.length === 3);
  });

  it('goes on after a restart where it was', async () => {
    resources.push(scheduled('rate(1 hour)'));
    eventBridge.start();
    clock.advance(3_000);
    await stop();
    await start();
    eventBridge.start();
    clock.advance(590);
    expect(eventBridge.seen()).toHaveLength(0);
    clock.advance(20);
    await eventually(() => invoked.length === 1);
  });

  it('gives its input, and is quiet when disabled', async () => {
    const quiet = deployed('Quiet', 'AWS::Events::Rule', {
      ScheduleExpression: 'rate(1 minute)',
      State: 'DISABLED',
      Targets: [toFunction],
    });
    resources.push(scheduled('rate(1 minute)', { Targets: [{ ...toFunction, Input: '{"a":1}' }] }), quiet);
    eventBridge.start();
    clock.advance(61);
    await eventually(() => invoked.length > 0);
    expect(invoked).toEqual([{ a: 1 }]);
  });

  it.each([
    ['cron(0 12 * * ? *)', '2026-11-24T11:59:59Z', '2026-11-23T12:00:00Z'],
    ['cron(0 12 * * ? *)', '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z'],
    ['cron(0 12 * * ? *)', '2026-11-24T12:00:59Z', '2026-11-24T12:00:00Z'],
    ['cron(15 10 ? * 6L 2022-2027)', '2026-11-24T00:00:00Z', '2026-10-30T10:15:00Z'],
    ['cron(0 8 1 * ? *)', '2026-11-24T00:00:00Z', '2026-11-01T08:00:00Z'],
    ['cron(0/5 8-17 ? * MON-FRI *)', '2026-11-24T18:00:00Z', '2026-11-24T17:55:00Z'],
  ])('%s was last due before %s at %s', (expression, now, last) => {
    const start = Date.parse('2020-01-01T00:00:00Z');
    expect(readSchedule(expression).lastAt(Date.parse(now), start)).toBe(Date.parse(last));
  });

  it('was never due before its start, and never twice at one time', () => {
    const schedule = fc.constantFrom(
      'cron(0 12 * * ? *)',
      'rate(5 minutes)',
      'cron(0/7 * ? * * *)',
      'rate(1 day)',
    );
    fc.assert(
      fc.property(schedule, fc.nat(2e9), fc.nat(2e8), (expression, offset, later) => {
        const start = Date.parse('2026-01-01T00:00:00Z') + offset;
        const due = readSchedule(expression).lastAt(start + later, start);
        if (due === undefined) return;
        expect(due).toBeGreaterThan(start);
        expect(due).toBeLessThanOrEqual(start + later);
        expect(readSchedule(expression).lastAt(due, due)).toBeUndefined();
      }),
    );
  });

  it.each([
    'rate(1 minutes)',
    'rate(5 minute)',
    'rate(0 hours)',
    'rate(1 second)',
    'hourly',
    'cron(0 12 * * *)',
    'cron(0 12 * * * *)',
    'cron(0 12 ? * ? *)',
  ])('can’t be %s', (expression) => {
    expect(() => readSchedule(expression)).toThrow();
  });
});

describe('the input of a target', () => {
  const event = {
    id: 'e-1',
    'detail-type': 'api_key.created',
    resources: ['a'],
    detail: { name: 'say "hi"', n: 5, key: { id: 'key_1' }, no: null },
  };
  const facts = { arn: 'arn:rule', name: 'Rule', ingestedAt: '2026-11-24T20:00:00Z' };
  const given = (input: TargetInput) => readInput(input, 'Rekey/Rule')(event, facts);
  const template = (InputTemplate: string) => ({
    InputTransformer: {
      InputPathsMap: { name: '$.detail.name', n: '$.detail.n', key: '$.detail.key', none: '$.detail.gone' },
      InputTemplate,
    },
  });

  it.each<[string, TargetInput, unknown]>([
    ['the whole event', {}, event],
    ['a constant', { Input: '[1]' }, [1]],
    ['a part', { InputPath: '$.detail.key' }, { id: 'key_1' }],
    ['a part with an odd name', { InputPath: "$['detail-type']" }, 'api_key.created'],
    ['an entry', { InputPath: '$.resources[0]' }, 'a'],
    [
      'values in an object',
      template('{"a": <name>, "b": <n>, "c": <key>}'),
      { a: 'say "hi"', b: 5, c: { id: 'key_1' } },
    ],
    ['values in a text', template('"<name> has <n>, <none>."'), 'say "hi" has 5, .'],
    ['an object in a text, without its quotes', template('"<key>"'), '{id:key_1}'],
    ['a value that is not there', template('{"a": <none>}'), { a: '' }],
    [
      'what the rule knows',
      template('{"rule": <aws.events.rule-name>, "at": "<aws.events.event.ingestion-time>"}'),
      { rule: 'Rule', at: '2026-11-24T20:00:00Z' },
    ],
    ['the event within', template('{"all": <aws.events.event.json>}'), { all: event }],
  ])('is %s', (_, input, expected) => {
    expect(JSON.parse(given(input))).toEqual(expected);
  });

  it.each<[string, TargetInput]>([
    ['no JSON', { Input: 'x' }],
    ['a path that is not known', { InputPath: '$..name' }],
    ['a variable that is not there', template('<other>')],
    ['two at once', { Input: '1', InputPath: '$.detail' }],
  ])('can’t be %s', (_, input) => {
    expect(() => given(input)).toThrow('Rekey/Rule');
  });
});
