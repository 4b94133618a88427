import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Principal } from '../aws-front.ts';
import type { Clock } from '../clock.ts';
import type { DeployedResource } from '../resource.ts';
import type { Sqs } from '../sqs/index.ts';
import { openJournal } from '../sqs/journal.ts';
import { type Message, Queue } from '../sqs/queue.ts';
import { InvokeProblem } from './service.ts';

/** Waits before the second and the third attempt: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html */
const WAITS_SECONDS = [60, 120];
/** An invocation that can't start (throttled) is tried again after so long; AWS begins with 1 s and goes up to 5 min. */
const THROTTLED_SECONDS = 5;
/** 6 hours. */
const OLDEST_SECONDS = 21_600;
/** Longer than the clock can move: an event that runs stays with its run. */
const WHILE_IT_RUNS_SECONDS = 20 * 366 * 86_400;
/** What runs longer when the stack stops is not waited for: the next start runs it again. */
const STOPS_WITHIN_MS = 2_000;
const IDLE_MS = 20_000;

interface Settings {
  retries: number;
  oldestSeconds: number;
  onSuccess: string | undefined;
  onFailure: string | undefined;
  /** `DeadLetterConfig` of the function itself: gets the event as it is. */
  deadLetters: string | undefined;
}

export interface AsyncInvocations {
  /** Accepts an event; what becomes of it is told to destinations and dead letters only. @throws InvokeProblem */
  accept(functionName: string, payload: unknown): void;
  /** Checks the destinations, and goes on with what an earlier start left. @throws Error */
  start(): void;
  stop(): Promise<void>;
}

/**
 * Lambda's asynchronous invocations: an event is tried up to three times, waits between are on the stack's clock, and
 * events survive a restart.
 */
export function openAsyncInvocations(o: {
  resources: readonly DeployedResource[];
  stateDir: string;
  fresh: boolean;
  clock: Clock;
  sqs: Sqs;
  /** @throws InvokeProblem */
  describe(name: string): { name: string; arn: string; role(): Principal };
  invoke(name: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
  log(line: string): void;
}): AsyncInvocations {
  const path = join(o.stateDir, 'async-invocations.jsonl');
  if (o.fresh) rmSync(path, { force: true });
  const journal = openJournal(path);
  const queues = new Map<string, Queue>();
  const running = new Set<Promise<void>>();
  let isStopped = false;
  const { clock } = o;
  clock.onMove(() => {
    for (const queue of queues.values()) queue.wake();
  });

  function queueOf(name: string): Queue {
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = new Queue(
        {
          ...{ name, arn: name, url: name, redrive: undefined, policy: undefined },
          ...{ delaySeconds: 0, waitSeconds: 0, visibilityTimeout: WHILE_IT_RUNS_SECONDS },
          // Events that are too old are told of, not dropped.
          ...{ retentionSeconds: Number.POSITIVE_INFINITY, maximumMessageSize: Number.POSITIVE_INFINITY },
        },
        () => clock.now(),
        journal,
      );
      queues.set(name, queue);
      running.add(work(name, queue));
    }
    return queue;
  }

  async function work(name: string, queue: Queue): Promise<void> {
    while (!isStopped) {
      await queue.arrival(IDLE_MS);
      for (const message of isStopped ? [] : queue.receive(1)) {
        const run = attempt(name, queue, message)
          .catch((error: Error) => o.log(`${name}: ${error.message}`))
          .finally(() => running.delete(run));
        running.add(run);
      }
    }
  }

  async function attempt(name: string, queue: Queue, message: Message): Promise<void> {
    const settings = settingsOf(name);
    const payload: unknown = JSON.parse(message.body);
    const isTooOld = (): boolean => clock.now() - message.sentAt > settings.oldestSeconds * 1000;
    // What can't be told is lost, as in AWS (its metric: DestinationDeliveryFailures).
    const tell = (condition: string, answer?: { payload: unknown; functionError?: string }) =>
      report(name, settings, { condition, message, payload, answer }).catch((error: Error) =>
        o.log(`${name}: ${message.id} (${condition}): ${error.message}`),
      );
    if (isTooOld()) {
      await tell('EventAgeExceeded');
      return queue.delete(message.receipt!);
    }
    let answer: { payload: unknown; functionError?: string };
    try {
      answer = await o.invoke(name, payload);
    } catch (error) {
      if (!(error instanceof InvokeProblem)) throw error;
      // It did not run: that costs no attempt.
      message.receiveCount -= 1;
      queue.changeVisibility(message.receipt!, THROTTLED_SECONDS);
      return;
    }
    if (isStopped && answer.functionError !== undefined) return; // Its process was ended: the next start tries again.
    const isLast = message.receiveCount > settings.retries;
    if (answer.functionError !== undefined && !isLast) {
      queue.changeVisibility(message.receipt!, WAITS_SECONDS[message.receiveCount - 1] ?? 120);
      return;
    }
    await tell(answer.functionError === undefined ? 'Success' : 'RetriesExhausted', answer);
    queue.delete(message.receipt!);
  }

  /** https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html */
  async function report(
    name: string,
    { onSuccess, onFailure, deadLetters }: Settings,
    told: {
      condition: string;
      message: Message;
      payload: unknown;
      answer?: { payload: unknown; functionError?: string } | undefined;
    },
  ): Promise<void> {
    const { condition, message, payload, answer } = told;
    const { arn, role } = o.describe(name);
    const destination = condition === 'Success' ? onSuccess : onFailure;
    if (destination !== undefined) {
      const body = JSON.stringify({
        version: '1.0',
        timestamp: new Date(clock.now()).toISOString(),
        requestContext: {
          requestId: message.id,
          functionArn: `${arn}:$LATEST`,
          condition,
          approximateInvokeCount: message.receiveCount,
        },
        requestPayload: payload,
        ...(answer && {
          responseContext: {
            statusCode: 200,
            executedVersion: '$LATEST',
            ...(answer.functionError !== undefined && { functionError: answer.functionError }),
          },
          responsePayload: answer.payload,
        }),
      });
      await o.sqs.deliver({ queueArn: destination, body, caller: role() });
    }
    if (condition !== 'Success' && deadLetters !== undefined) {
      const text = (StringValue: string) => ({ DataType: 'String', StringValue });
      const { errorMessage = condition } = (answer?.payload ?? {}) as { errorMessage?: string };
      await o.sqs.deliver({
        queueArn: deadLetters,
        body: message.body,
        caller: role(),
        attributes: {
          RequestID: text(message.id),
          ErrorCode: { DataType: 'Number', StringValue: '200' },
          ErrorMessage: text(errorMessage.slice(0, 1024)),
        },
      });
    }
  }

  function settingsOf(name: string): Settings {
    const config = o.resources.find(
      ({ type, properties }) =>
        type === 'AWS::Lambda::EventInvokeConfig' &&
        o.describe(String(properties['FunctionName'])).name === name,
    )?.properties as
      | {
          MaximumRetryAttempts?: number | string;
          MaximumEventAgeInSeconds?: number | string;
          DestinationConfig?: { OnSuccess?: { Destination?: string }; OnFailure?: { Destination?: string } };
        }
      | undefined;
    const of = o.resources.find(({ type, ref }) => type === 'AWS::Lambda::Function' && ref === name);
    return {
      retries: Number(config?.MaximumRetryAttempts ?? 2),
      oldestSeconds: Number(config?.MaximumEventAgeInSeconds ?? OLDEST_SECONDS),
      onSuccess: config?.DestinationConfig?.OnSuccess?.Destination,
      onFailure: config?.DestinationConfig?.OnFailure?.Destination,
      deadLetters: (of?.properties['DeadLetterConfig'] as { TargetArn?: string } | undefined)?.TargetArn,
    };
  }

  return {
    accept(nameOrArn, payload) {
      const { name } = o.describe(nameOrArn);
      queueOf(name).send({ body: JSON.stringify(payload) ?? 'null', senderId: 'lambda' });
    },
    start() {
      for (const { type, ref } of o.resources) {
        if (type !== 'AWS::Lambda::Function') continue;
        const { onSuccess, onFailure, deadLetters } = settingsOf(ref);
        // A destination that is no queue of the templates stops the start.
        for (const arn of [onSuccess, onFailure, deadLetters]) if (arn !== undefined) o.sqs.queue(arn);
        for (const message of journal.earlier.get(ref) ?? []) {
          // What ran when the last start ended runs again.
          const visibleAt = message.isInFlight ? clock.now() : message.visibleAt;
          queueOf(ref).add({ ...message, receipt: undefined, isInFlight: false, visibleAt });
        }
      }
    },
    async stop() {
      isStopped = true;
      for (const queue of queues.values()) queue.wake();
      await Promise.race([Promise.all(running), sleep(STOPS_WITHIN_MS, undefined, { ref: false })]);
      journal.close();
    },
  };
}
