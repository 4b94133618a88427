import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsError } from '../aws-error.ts';
import type { AwsCall, AwsService, Json, Question } from '../aws-front.ts';
import type { Clock } from '../clock.ts';
import type { DeployedResource } from '../resource.ts';
import type { Sqs } from '../sqs/index.ts';
import { openJournal } from '../sqs/journal.ts';
import { type Message, Queue } from '../sqs/queue.ts';
import { readState, writePrivate } from '../state-file.ts';
import { busNameOf, type Rule, readRule, type Target } from './rule.ts';

/** What went over a bus. */
export interface SeenEvent {
  bus: string;
  event: Json;
  /** Names of the rules that it matched; undefined: there is no such bus, so it is lost, as in AWS. */
  rules: string[] | undefined;
}

export interface EventBridge extends AwsService {
  /** Checks rules and targets, and begins to send and to keep schedules. @throws Error */
  start(): void;
  /** The last events that went over the buses, oldest first. */
  seen(): SeenEvent[];
  /** Runs the schedules that have come. */
  tick(): void;
  stop(): Promise<void>;
}

/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html */
const MOST_ENTRIES = 10;
const LARGEST_REQUEST = 256 * 1024;
const TIME_BYTES = 14;

const MOST_SEEN = 1_000;
const TICK_MS = 1_000;
const IDLE_MS = 20_000;
const STOPS_WITHIN_MS = 2_000;
/** Waits grow to this; AWS says exponential, with jitter, and no numbers. */
const LONGEST_WAIT_SECONDS = 600;
/** Longer than the clock can move: what is being sent stays with its sender. */
const WHILE_IT_IS_SENT_SECONDS = 20 * 366 * 86_400;

const SERVICE = 'events.amazonaws.com';

interface Entry {
  Source?: string;
  DetailType?: string;
  Detail?: string;
  Resources?: string[];
  Time?: number;
  EventBusName?: string;
}

/** One event for one target. */
interface Delivery {
  rule: string;
  target: string;
  payload: string;
}

/** Errors that another attempt does not mend go to the dead letters at once. */
const HOPELESS = new Set([
  'NO_PERMISSIONS',
  'NO_RESOURCE',
  'AccessDeniedException',
  'QueueDoesNotExist',
  'ResourceNotFoundException',
  'InvalidParameterValue',
]);

/**
 * The buses and rules of the templates, as EventBridge's API. Events that wait for their targets survive a restart.
 *
 * @param mayInvoke whether the function's resource policy lets the rule in
 * @param invoke an asynchronous invocation
 */
export function startEventBridge(o: {
  resources: readonly DeployedResource[];
  stateDir: string;
  fresh: boolean;
  clock: Clock;
  sqs: Sqs;
  mayInvoke(functionArn: string, ruleArn: string): boolean;
  invoke(functionArn: string, payload: unknown): void;
  account: string;
  region: string;
  log(line: string): void;
}): EventBridge {
  const { resources, clock, sqs, account, region } = o;
  const journalPath = join(o.stateDir, 'event-deliveries.jsonl');
  const schedulePath = join(o.stateDir, 'schedules.json');
  if (o.fresh) for (const path of [journalPath, schedulePath]) rmSync(path, { force: true });
  const journal = openJournal(journalPath);
  const deliveries = new Queue(
    {
      ...{ name: 'deliveries', arn: '', url: '', redrive: undefined, policy: undefined },
      ...{ delaySeconds: 0, waitSeconds: 0, visibilityTimeout: WHILE_IT_IS_SENT_SECONDS },
      // What is too old goes to the dead letters, and is not dropped by the queue.
      ...{ retentionSeconds: Number.POSITIVE_INFINITY, maximumMessageSize: Number.POSITIVE_INFINITY },
    },
    () => clock.now(),
    journal,
  );
  const seen: SeenEvent[] = [];
  let isStopped = false;
  let working: Promise<void> | undefined;
  let ticker: NodeJS.Timeout | undefined;
  clock.onMove(() => {
    deliveries.wake();
    tick();
  });

  const read = new WeakMap<DeployedResource, Rule>();
  /** Read at each use: while the stack is deployed, rules come after what they are for. */
  function rules(): Rule[] {
    return resources
      .filter(({ type }) => type === 'AWS::Events::Rule')
      .map((resource) => {
        const rule = read.get(resource) ?? readRule(resource);
        read.set(resource, rule);
        return rule;
      });
  }
  const busArn = (name: string): string => `arn:aws:events:${region}:${account}:event-bus/${name}`;
  const isBus = (name: string): boolean =>
    name === 'default' || resources.some(({ type, ref }) => type === 'AWS::Events::EventBus' && ref === name);
  const policyOf = (bus: string): unknown => {
    const statements = resources
      .filter(({ type }) => type === 'AWS::Events::EventBusPolicy')
      .filter(({ properties }) => busNameOf(String(properties['EventBusName'] ?? 'default')) === bus)
      .map(({ properties }) => properties['Statement']);
    return statements.length === 0 ? undefined : { Version: '2012-10-17', Statement: statements };
  };

  /** Puts an event on a bus: each target of each rule that it matches will get it. */
  function accept(bus: string, event: Json): void {
    const matching = isBus(bus)
      ? rules().filter((rule) => rule.isEnabled && rule.bus === bus && rule.matches?.(event))
      : undefined;
    if (matching === undefined)
      o.log(`there is no bus ${bus}: an event of ${event['source']} is lost, as in AWS`);
    seen.push({ bus, event, rules: matching?.map(({ name }) => name) });
    if (seen.length > MOST_SEEN) seen.shift();
    for (const rule of matching ?? []) dispatch(rule, event);
  }

  function dispatch(rule: Rule, event: Json): void {
    const facts = { arn: rule.arn, name: rule.name, ingestedAt: iso(clock.now()) };
    for (const target of rule.targets) {
      const delivery: Delivery = { rule: rule.arn, target: target.id, payload: target.input(event, facts) };
      deliveries.send({ body: JSON.stringify(delivery), senderId: SERVICE });
    }
  }

  const eventOf = (
    source: string,
    detailType: string,
    more: { time: number; resources?: string[]; detail: unknown },
  ) => ({
    version: '0',
    id: randomUUID(),
    'detail-type': detailType,
    source,
    account,
    time: iso(more.time),
    region,
    resources: more.resources ?? [],
    detail: more.detail,
  });

  function putEvents({ input }: AwsCall): Json {
    const entries = entriesOf(input);
    const size = entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
    if (size > LARGEST_REQUEST)
      throw new AwsError(
        'ValidationException',
        'Total size of the entries in the request is over the limit.',
      );
    const answers = entries.map((entry) => {
      const problem = problemOf(entry);
      if (problem !== undefined) return problem;
      const event = eventOf(entry.Source!, entry.DetailType!, {
        time: entry.Time === undefined ? clock.now() : entry.Time * 1000,
        resources: entry.Resources ?? [],
        detail: JSON.parse(entry.Detail!),
      });
      accept(busNameOf(entry.EventBusName ?? 'default'), event);
      return { EventId: event.id };
    });
    return { FailedEntryCount: answers.filter((answer) => 'ErrorCode' in answer).length, Entries: answers };
  }

  /** https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html */
  function questionsOfPutEvents(input: Json): Question[] {
    return entriesOf(input).map(({ EventBusName = 'default', Source, DetailType }) => {
      const bus = busNameOf(EventBusName);
      return {
        action: 'events:PutEvents',
        resource: busArn(bus),
        context: {
          'events:source': [Source ?? ''],
          'events:detail-type': DetailType ?? '',
          'events:eventBusInvocation': 'false',
        },
        resourcePolicy: policyOf(bus),
      };
    });
  }

  async function work(): Promise<void> {
    while (!isStopped) {
      await deliveries.arrival(IDLE_MS);
      for (const message of isStopped ? [] : deliveries.receive(10)) await attempt(message);
    }
  }

  async function attempt(message: Message): Promise<void> {
    const delivery = JSON.parse(message.body) as Delivery;
    const rule = rules().find(({ arn }) => arn === delivery.rule);
    const target = rule?.targets.find(({ id }) => id === delivery.target);
    if (rule === undefined || target === undefined) {
      o.log(`${delivery.rule} has no target ${delivery.target} any more: an event for it is dropped`);
      return deliveries.delete(message.receipt!);
    }
    const age = (clock.now() - message.sentAt) / 1000;
    const problem =
      age > target.oldestSeconds && message.receiveCount > 1
        ? { code: 'SDK_CLIENT_ERROR', text: 'The event is too old.', isLast: 'MaximumEventAgeInSeconds' }
        : await send(rule, target, delivery.payload);
    if (problem === undefined) return deliveries.delete(message.receipt!);
    const isLast =
      problem.isLast ??
      (HOPELESS.has(problem.code)
        ? 'NotRetried'
        : message.receiveCount >= target.mostAttempts
          ? 'MaximumRetryAttempts'
          : undefined);
    if (isLast === undefined) {
      const wait = Math.min(LONGEST_WAIT_SECONDS, 2 ** (message.receiveCount - 1));
      deliveries.changeVisibility(message.receipt!, wait * (0.5 + Math.random() / 2));
      return;
    }
    await giveUp(rule, target, delivery, { ...problem, isLast, attempts: message.receiveCount - 1 });
    deliveries.delete(message.receipt!);
  }

  async function send(
    rule: Rule,
    { arn }: Target,
    payload: string,
  ): Promise<{ code: string; text: string; isLast?: string } | undefined> {
    try {
      if (arn.includes(':sqs:')) {
        await sqs.deliver({
          queueArn: arn,
          body: payload,
          caller: { service: SERVICE, sourceArn: rule.arn },
        });
        return undefined;
      }
      if (!o.mayInvoke(arn, rule.arn)) {
        const text = `${SERVICE} is not authorized to perform: lambda:InvokeFunction on resource: ${arn} because no resource-based policy allows the lambda:InvokeFunction action`;
        return { code: 'NO_PERMISSIONS', text };
      }
      o.invoke(arn, JSON.parse(payload));
      return undefined;
    } catch (error) {
      const { code = 'SDK_CLIENT_ERROR', message } = error as Error & { code?: string };
      return { code: code === 'AccessDeniedException' ? 'NO_PERMISSIONS' : code, text: message };
    }
  }

  /** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html */
  async function giveUp(
    rule: Rule,
    target: Target,
    { payload }: Delivery,
    why: { code: string; text: string; isLast: string; attempts: number },
  ): Promise<void> {
    o.log(`${rule.name}: ${target.id}: ${why.code}: ${why.text}`);
    if (target.deadLetters === undefined) return;
    const text = (StringValue: string) => ({ DataType: 'String', StringValue });
    await sqs
      .deliver({
        queueArn: target.deadLetters,
        body: payload,
        caller: { service: SERVICE, sourceArn: rule.arn },
        attributes: {
          RULE_ARN: text(rule.arn),
          TARGET_ARN: text(target.arn),
          ERROR_CODE: text(why.code),
          ERROR_MESSAGE: text(why.text),
          ...(why.isLast !== 'NotRetried' && { EXHAUSTED_RETRY_CONDITION: text(why.isLast) }),
          RETRY_ATTEMPTS: text(String(why.attempts)),
        },
      })
      // What the dead letters do not take is lost, as in AWS (its metric: InvocationsFailedToBeSentToDlq).
      .catch((error: Error) => o.log(`${rule.name}: ${target.id}: its dead letters: ${error.message}`));
  }

  /** By rule: what it said, since when it counts, and when it was last due. */
  type Kept = Record<string, { expression: string; since: number }>;
  let kept: Kept = readState<Kept>(schedulePath) ?? {};

  /** A schedule that was missed several times, because the clock moved or nothing ran, is due once. */
  function tick(): void {
    if (isStopped || ticker === undefined) return;
    const now = clock.now();
    const next: Kept = {};
    for (const rule of rules()) {
      if (rule.schedule === undefined || !rule.isEnabled) continue;
      const { expression } = rule.schedule;
      const earlier = kept[rule.arn];
      const since = earlier?.expression === expression ? earlier.since : now;
      const due = rule.schedule.of.lastAt(now, since);
      next[rule.arn] = { expression, since: due ?? since };
      if (due === undefined) continue;
      const event = eventOf('aws.events', 'Scheduled Event', {
        time: due,
        resources: [rule.arn],
        detail: {},
      });
      seen.push({ bus: rule.bus, event, rules: [rule.name] });
      if (seen.length > MOST_SEEN) seen.shift();
      dispatch(rule, event);
    }
    if (JSON.stringify(next) === JSON.stringify(kept)) return;
    kept = next;
    writePrivate(schedulePath, kept);
  }

  return {
    name: 'events',
    protocol: { kind: 'json', version: '1.1', targets: ['AWSEvents'] },
    questions: ({ operation, input }) =>
      operation === 'PutEvents' ? questionsOfPutEvents(input) : undefined,
    handle: async (call) => putEvents(call),
    seen: () => seen,
    tick,
    start() {
      for (const { bus, name, targets } of rules()) {
        if (!isBus(bus)) throw new Error(`the rule ${name} is on the bus ${bus}, which is not there`);
        for (const { arn, deadLetters } of targets)
          for (const queue of [arn, deadLetters]) if (queue?.includes(':sqs:')) sqs.queue(queue);
      }
      for (const message of journal.earlier.get('deliveries') ?? []) {
        const visibleAt = message.isInFlight ? clock.now() : message.visibleAt;
        deliveries.add({ ...message, receipt: undefined, isInFlight: false, visibleAt });
      }
      working = work();
      ticker = setInterval(tick, TICK_MS);
      ticker.unref();
      tick();
    },
    async stop() {
      isStopped = true;
      clearInterval(ticker);
      deliveries.wake();
      await Promise.race([working, sleep(STOPS_WITHIN_MS, undefined, { ref: false })]);
      journal.close();
    },
  };
}

const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** @throws AwsError */
function entriesOf({ Entries }: Json): Entry[] {
  if (!Array.isArray(Entries) || Entries.length === 0 || Entries.length > MOST_ENTRIES) {
    const length = Array.isArray(Entries) && Entries.length > 0 ? 'less' : 'greater';
    throw new AwsError(
      'ValidationException',
      `1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length ${length} than or equal to ${length === 'less' ? MOST_ENTRIES : 1}`,
    );
  }
  return Entries as Entry[];
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html */
function bytesOf({ Source = '', DetailType = '', Detail = '', Resources = [], Time }: Entry): number {
  const texts = [Source, DetailType, Detail, ...Resources];
  return (
    (Time === undefined ? 0 : TIME_BYTES) + texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  );
}

/** What is wrong with one entry: the others are not hindered by it. */
function problemOf(entry: Entry): { ErrorCode: string; ErrorMessage: string } | undefined {
  for (const name of ['Source', 'DetailType', 'Detail'] as const) {
    if (typeof entry[name] !== 'string' || entry[name] === '') {
      return {
        ErrorCode: 'InvalidArgument',
        ErrorMessage: `Parameter ${name} is not valid. Reason: ${name} is a required argument.`,
      };
    }
  }
  if (entry.Source!.startsWith('aws.'))
    return { ErrorCode: 'NotAuthorizedForSourceException', ErrorMessage: 'Not authorized for the source.' };
  try {
    const detail: unknown = JSON.parse(entry.Detail!);
    if (typeof detail === 'object' && detail !== null && !Array.isArray(detail)) return undefined;
  } catch {
    // Answered as a detail that is no object.
  }
  return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' };
}
