import { randomUUID } from 'node:crypto';
import { AwsError } from '../aws-error.ts';
import type { Json } from '../aws-front.ts';
import { readSchedule, type Schedule } from '../eventbridge/schedule.ts';

/** How a secret is rotated, and how far that is; kept with the secret. */
export interface Rotation {
  /** Of the template's part that gave it: when it changes, the secret is rotated anew. */
  made_of?: string;
  function_arn: string;
  rules: RotationRules;
  /** When it was last rotated, given up, or its value changed: the schedule counts from here. Epoch milliseconds. */
  since: number;
  last_rotated?: number;
  /** The rotation that goes on, or the test of one. */
  run?: { version_id: string; attempts: number; due_at: number; only_test?: boolean };
}

export interface RotationRules {
  AutomaticallyAfterDays?: number;
  ScheduleExpression?: string;
}

/** https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html */
const STEPS = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'];

/** Before the second and each further attempt. AWS says that it tries "multiple times", and no more. */
const WAITS_MS = [10_000, 60_000, 300_000, 900_000];

const HOUR_MS = 3_600_000;
const SHORTEST_MS = 4 * HOUR_MS;
const LONGEST_MS = 999 * 24 * HOUR_MS;

const invalid = (message: string): AwsError => new AwsError('InvalidParameterException', message);

/**
 * Reads rotation rules. https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
 *
 * @throws AwsError for what AWS does not take
 */
export function scheduleOf({
  AutomaticallyAfterDays,
  ScheduleExpression,
}: RotationRules): Schedule | undefined {
  if (AutomaticallyAfterDays !== undefined && ScheduleExpression !== undefined)
    throw invalid('RotationRules has AutomaticallyAfterDays or ScheduleExpression, not both.');
  const days = AutomaticallyAfterDays && Number(AutomaticallyAfterDays);
  const expression = ScheduleExpression ?? (days && `rate(${days} day${days === 1 ? '' : 's'})`);
  if (expression === undefined || expression === 0) return undefined;
  let schedule: Schedule;
  try {
    schedule = readSchedule(expression);
  } catch (error) {
    throw invalid((error as Error).message);
  }
  const isRate = expression.startsWith('rate(');
  if (
    isRate &&
    (schedule.lastAt(SHORTEST_MS - 1, 0) !== undefined || schedule.lastAt(LONGEST_MS, 0) === undefined)
  )
    throw invalid(`${expression}: a secret is rotated every 4 hours to 999 days.`);
  if (!isRate && !/^cron\(0 \S+ \S+ \S+ \S+ \*\)$/.test(expression))
    throw invalid(`${expression}: minutes are 0 and the year is *.`);
  return schedule;
}

/** Starts a rotation, or goes on with one that was given up: its version is the one that still has AWSPENDING. */
export const runOf = (
  pendingVersionId: string | undefined,
  now: number,
  versionId: string = randomUUID(),
) => ({
  version_id: pendingVersionId ?? versionId,
  attempts: 0,
  due_at: now,
});

/**
 * Calls the rotation function for each step, as Secrets Manager does.
 *
 * @returns why a step failed, undefined if none did
 */
export async function callSteps(o: {
  secretArn: string;
  rotation: Rotation;
  mayInvoke(functionArn: string, sourceArn: string): boolean;
  invoke(functionArn: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
}): Promise<string | undefined> {
  const { function_arn, run } = o.rotation;
  if (!o.mayInvoke(function_arn, o.secretArn))
    return `Secrets Manager may not invoke ${function_arn}: a permission for secretsmanager.amazonaws.com is missing`;
  const RotationToken = randomUUID();
  for (const Step of run?.only_test ? ['testSecret'] : STEPS) {
    const event = { Step, SecretId: o.secretArn, ClientRequestToken: run!.version_id, RotationToken };
    const { payload, functionError } = await o.invoke(function_arn, event).catch((error: Error) => ({
      payload: { errorMessage: error.message },
      functionError: 'Unhandled',
    }));
    if (functionError !== undefined)
      return `${Step}: ${(payload as Json | null)?.['errorMessage'] ?? functionError}`;
  }
  return undefined;
}

/** When a failed rotation is tried again; undefined: it is given up until the schedule comes again. */
export function retryOf(run: NonNullable<Rotation['run']>, now: number): Rotation['run'] {
  const wait = WAITS_MS[run.attempts];
  return wait === undefined || run.only_test
    ? undefined
    : { ...run, attempts: run.attempts + 1, due_at: now + wait };
}
