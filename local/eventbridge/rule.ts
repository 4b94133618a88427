import { compilePattern } from '../event-pattern.ts';
import type { DeployedResource } from '../resource.ts';
import { readSchedule, type Schedule } from './schedule.ts';
import { readInput, type TargetInput } from './target-input.ts';

export interface Target {
  id: string;
  arn: string;
  input: ReturnType<typeof readInput>;
  mostAttempts: number;
  oldestSeconds: number;
  deadLetters: string | undefined;
}

export interface Rule {
  arn: string;
  name: string;
  bus: string;
  matches: ((event: unknown) => boolean) | undefined;
  schedule: { expression: string; of: Schedule } | undefined;
  isEnabled: boolean;
  targets: Target[];
}

/** Of a classic bus: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html */
const MOST_RETRIES = 185;
const OLDEST_SECONDS = 86_400;
/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html */
const MOST_TARGETS = 5;

interface TargetProperties extends TargetInput {
  Arn: string;
  Id: string;
  RetryPolicy?: { MaximumEventAgeInSeconds?: number; MaximumRetryAttempts?: number };
  DeadLetterConfig?: { Arn?: string };
}

/** The name in a name or an ARN of a bus. */
export const busNameOf = (nameOrArn: string): string =>
  /^arn:[^:]+:events:[^:]*:[^:]*:event-bus\/(.+)$/.exec(nameOrArn)?.[1] ?? nameOrArn;

/** Reads an `AWS::Events::Rule`. @throws Error for what AWS or the laptop stack would not run, with its place */
export function readRule({ stack, logicalId, properties, attributes }: DeployedResource): Rule {
  const place = `${stack}/${logicalId}`;
  const {
    EventBusName = 'default',
    EventPattern,
    ScheduleExpression,
    State = 'ENABLED',
  } = properties as {
    EventBusName?: string;
    EventPattern?: unknown;
    ScheduleExpression?: string;
    State?: string;
  };
  const targets = (properties['Targets'] ?? []) as TargetProperties[];
  const bus = busNameOf(EventBusName);
  const fail = (why: string): never => {
    throw new Error(`${place}: ${why}`);
  };
  if (EventPattern === undefined && ScheduleExpression === undefined)
    fail('a rule has EventPattern, ScheduleExpression or both');
  if (ScheduleExpression !== undefined && bus !== 'default')
    fail('ScheduleExpression is for rules of the default bus only');
  if (targets.length > MOST_TARGETS) fail(`a rule has ${MOST_TARGETS} targets at most`);
  if (new Set(targets.map(({ Id }) => Id)).size < targets.length) fail('two targets have one Id');
  if (!['ENABLED', 'DISABLED', 'ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS'].includes(State))
    fail(`State can't be ${State}`);

  const arn = attributes['Arn']!;
  return {
    arn,
    name: arn.split('/').at(-1)!,
    bus,
    matches: EventPattern === undefined ? undefined : compilePattern(EventPattern, `${place}: EventPattern`),
    schedule:
      ScheduleExpression === undefined
        ? undefined
        : { expression: ScheduleExpression, of: inPlace(place, () => readSchedule(ScheduleExpression)) },
    isEnabled: State !== 'DISABLED',
    targets: targets.map((target) => {
      if (!/^arn:[^:]+:(?:lambda|sqs):/.test(target.Arn))
        fail(`the laptop stack sends events to functions and queues, not to ${target.Arn}`);
      return {
        id: target.Id,
        arn: target.Arn,
        input: readInput(target, `${place}: the target ${target.Id}`),
        mostAttempts: Number(target.RetryPolicy?.MaximumRetryAttempts ?? MOST_RETRIES) + 1,
        oldestSeconds: Number(target.RetryPolicy?.MaximumEventAgeInSeconds ?? OLDEST_SECONDS),
        deadLetters: target.DeadLetterConfig?.Arn,
      };
    }),
  };
}

function inPlace<Result>(place: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw new Error(`${place}: ${(error as Error).message}`);
  }
}
