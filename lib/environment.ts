import type { GraceStarts, RotationPlan } from './api-key.schema.ts';
import type { OnLeak } from './leak.ts';
import type { LifetimeSettings } from './lifetime.ts';
import type { MisuseSettings } from './misuse.ts';
import type { LineSettings } from './rotation.ts';
import type { ScheduleSettings } from './schedule.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** A hundred years: dates stay four-digit, and nobody means more. */
const MOST_DAYS = 36_500;

/** Reads one variable, or stops the start of the function with its name. The value is never repeated. */
const read = (env: Variables, name: string, pattern: RegExp, form: string): string => {
  const value = env[name];
  if (value === undefined || value === '') throw new Error(`${name} is not set: it must be ${form}`);
  if (!pattern.test(value)) throw new Error(`${name} is not valid: it must be ${form}`);
  return value;
};

const days = (env: Variables, name: string): number => {
  const form = `a whole number of days from 1 to ${MOST_DAYS}`;
  const value = Number(read(env, name, /^[1-9]\d{0,4}$/, form));
  if (value > MOST_DAYS) throw new Error(`${name} is not valid: it must be ${form}`);
  return value;
};

/** `REKEY_TABLE_NAME`: the one table. A name or an ARN, as DynamoDB takes either. */
export function tableName(env: Variables = process.env): string {
  return read(env, 'REKEY_TABLE_NAME', /^[A-Za-z0-9_.:/-]{3,1024}$/, 'the name of the table');
}

/** `REKEY_KEY_PREFIX`: the first part of every key of this stack. */
export function keyPrefix(env: Variables = process.env): string {
  return read(env, 'REKEY_KEY_PREFIX', /^[a-z]{2,12}$/, '2 to 12 lower-case letters');
}

/** `REKEY_DEFAULT_LIFETIME_DAYS`, `REKEY_MAX_LIFETIME_DAYS`, `REKEY_ALLOW_NEVER_EXPIRING`. */
export function lifetimeSettings(env: Variables = process.env): LifetimeSettings {
  const settings = {
    default_lifetime_days: days(env, 'REKEY_DEFAULT_LIFETIME_DAYS'),
    max_lifetime_days: days(env, 'REKEY_MAX_LIFETIME_DAYS'),
    allow_never_expiring:
      read(env, 'REKEY_ALLOW_NEVER_EXPIRING', /^(?:true|false)$/, 'true or false') === 'true',
  };
  if (settings.default_lifetime_days > settings.max_lifetime_days) {
    throw new Error('REKEY_DEFAULT_LIFETIME_DAYS is not valid: it must not be above REKEY_MAX_LIFETIME_DAYS');
  }
  return settings;
}

/**
 * `REKEY_NOTIFY_DAYS_BEFORE`: days before its end at which a key is told of, such as `30,14,3`; and
 * `REKEY_MAX_AGE_DAYS`.
 */
export function scheduleSettings(env: Variables = process.env): ScheduleSettings {
  const name = 'REKEY_NOTIFY_DAYS_BEFORE';
  const form = 'one to five different whole numbers of days from 1 to 365, with commas between';
  const list = read(env, name, /^[1-9]\d{0,2}(?:,[1-9]\d{0,2}){0,4}$/, form)
    .split(',')
    .map(Number);
  if (new Set(list).size < list.length || Math.max(...list) > 365)
    throw new Error(`${name} is not valid: it must be ${form}`);
  return { notify_days_before: list, max_age_days: maxAgeDays(env) };
}

/** `REKEY_GRACE_STARTS`, `REKEY_PENDING_DAYS`, `REKEY_MOST_VALID_KEYS`: how the lines of keys go on. */
export function lineSettings(env: Variables = process.env): LineSettings {
  return {
    grace_starts: read(env, 'REKEY_GRACE_STARTS', /^(?:now|first_use)$/, 'now or first_use') as GraceStarts,
    pending_days: days(env, 'REKEY_PENDING_DAYS'),
    most_valid_keys: Number(
      read(env, 'REKEY_MOST_VALID_KEYS', /^(?:[2-9]|10)$/, 'a whole number from 2 to 10'),
    ),
  };
}

/** `REKEY_ROTATE_EVERY_DAYS`: how often keys are to be rotated that are made without a word about it; absent, they are not. */
export function defaultRotation(env: Variables = process.env): RotationPlan | null {
  return env['REKEY_ROTATE_EVERY_DAYS'] === undefined
    ? null
    : { every_days: days(env, 'REKEY_ROTATE_EVERY_DAYS') };
}

/** `REKEY_MAX_AGE_DAYS`: how old a key may become before it is overdue; absent, as old as it lives. */
export function maxAgeDays(env: Variables = process.env): number | undefined {
  return env['REKEY_MAX_AGE_DAYS'] === undefined ? undefined : days(env, 'REKEY_MAX_AGE_DAYS');
}

/** `REKEY_RETENTION_DAYS`: how long a record is kept after its key's end. */
export function retentionDays(env: Variables = process.env): number {
  return days(env, 'REKEY_RETENTION_DAYS');
}

/** `REKEY_LOG_SAMPLE_RATE`: the part of the refused requests that is logged, 0 to 1. */
export function logSampleRate(env: Variables = process.env): number {
  return Number(
    read(env, 'REKEY_LOG_SAMPLE_RATE', /^(?:0(?:\.\d{1,6})?|1(?:\.0{1,6})?)$/, 'a number from 0 to 1'),
  );
}

/** `REKEY_LATE_USE_MINUTES`: how long after its grace the use of a key is told as late rather than as reuse. */
export function misuseSettings(env: Variables = process.env): MisuseSettings {
  const form = 'a whole number of minutes from 0 to 10080';
  const late_use_minutes = Number(read(env, 'REKEY_LATE_USE_MINUTES', /^\d{1,5}$/, form));
  if (late_use_minutes > 10_080) throw new Error(`REKEY_LATE_USE_MINUTES is not valid: it must be ${form}`);
  return { late_use_minutes };
}

/** `REKEY_LEAKED_KEYS`: what becomes of a key that was reported as leaked. */
export function onLeak(env: Variables = process.env): OnLeak {
  return read(env, 'REKEY_LEAKED_KEYS', /^(?:revoke|report)$/, 'revoke or report') as OnLeak;
}

/** `REKEY_LEAKS_QUEUE_URL`: where reported keys wait. */
export function leaksQueueUrl(env: Variables = process.env): string {
  return read(env, 'REKEY_LEAKS_QUEUE_URL', /^https?:\/\/\S{1,1000}$/, 'the URL of the queue');
}

/** `REKEY_GITHUB_KEYS_URL`: where GitHub publishes the keys that it signs with. */
export function githubKeysUrl(env: Variables = process.env): string {
  return read(
    env,
    'REKEY_GITHUB_KEYS_URL',
    /^(?:https:\/\/[\x21-\x7e]{3,500}|http:\/\/127\.0\.0\.1:\d{1,5}\/[\x21-\x7e]{0,500})$/,
    'an https URL',
  );
}

/** `REKEY_EVENT_RETENTION_DAYS`: how long an event is kept. */
export function eventRetentionDays(env: Variables = process.env): number {
  return days(env, 'REKEY_EVENT_RETENTION_DAYS');
}

/** `REKEY_WEBHOOK_ROOT_SECRET_ARN`: what endpoints' secrets are derived from. */
export function webhookRootSecretArn(env: Variables = process.env): string {
  return read(env, 'REKEY_WEBHOOK_ROOT_SECRET_ARN', /^arn:[\x21-\x7e]{10,2048}$/, 'the ARN of a secret');
}

/** `REKEY_DELIVERIES_QUEUE_URL` and `REKEY_SLOW_DELIVERIES_QUEUE_URL`: the two lanes of webhooks. */
export function deliveryQueueUrls(env: Variables = process.env): { fast: string; slow: string } {
  const url = (name: string) => read(env, name, /^https?:\/\/[\x21-\x7e]{4,2048}$/, 'the URL of a queue');
  return { fast: url('REKEY_DELIVERIES_QUEUE_URL'), slow: url('REKEY_SLOW_DELIVERIES_QUEUE_URL') };
}

/**
 * `REKEY_ALLOW_LOOPBACK_HTTP_WEBHOOKS`: whether webhooks may go to http://127.0.0.1. Only a stack in development mode
 * sets it; absent, it is false.
 */
export function allowLoopbackHttpWebhooks(env: Variables = process.env): boolean {
  return env['REKEY_ALLOW_LOOPBACK_HTTP_WEBHOOKS'] === 'true';
}

/** `REKEY_EVENT_BUS_NAME`: the bus that events go over. */
export function eventBusName(env: Variables = process.env): string {
  return read(
    env,
    'REKEY_EVENT_BUS_NAME',
    /^[A-Za-z0-9_.:/-]{1,1600}$/,
    'the name or the ARN of the event bus',
  );
}

/** `REKEY_UNPUBLISHED_QUEUE_URL`: the queue of events that could not be published. */
export function unpublishedQueueUrl(env: Variables = process.env): string {
  return read(env, 'REKEY_UNPUBLISHED_QUEUE_URL', /^https?:\/\/\S{1,1000}$/, 'the URL of the queue');
}

/** `POWERTOOLS_SERVICE_NAME`: the stack, by which metrics of several are told apart. */
export function serviceName(env: Variables = process.env): string {
  return read(env, 'POWERTOOLS_SERVICE_NAME', /^[A-Za-z0-9-]{1,255}$/, 'the name of the stack');
}

/** `REKEY_ACCOUNT_ID` and, as Lambda sets it, `AWS_REGION`: where the stack is. */
export function homeOfStack(env: Variables = process.env): { account: string; region: string } {
  return {
    account: read(env, 'REKEY_ACCOUNT_ID', /^\d{12}$/, 'the id of the account'),
    region: read(env, 'AWS_REGION', /^[a-z0-9-]{5,40}$/, 'the name of the Region'),
  };
}

/** `REKEY_SWEEP_INTERVAL_MINUTES`: from one sweep to the next. */
export function sweepIntervalMinutes(env: Variables = process.env): number {
  return Number(read(env, 'REKEY_SWEEP_INTERVAL_MINUTES', /^[1-9]\d{0,3}$/, 'a whole number of minutes'));
}

/** `REKEY_CANARY_CACHED_URL` and `REKEY_CANARY_UNCACHED_URL`: what the canary asks. */
export function canaryUrls(env: Variables = process.env): { cached: string; uncached: string } {
  const url = (name: string) => read(env, name, /^https?:\/\/[\x21-\x7e]{4,2048}$/, 'the URL of a route');
  return { cached: url('REKEY_CANARY_CACHED_URL'), uncached: url('REKEY_CANARY_UNCACHED_URL') };
}

/** `REKEY_MANAGEMENT_API_URL`: the management API with its stage, without a slash at the end. */
export function managementUrl(env: Variables = process.env): string {
  const url = read(env, 'REKEY_MANAGEMENT_API_URL', /^https?:\/\/[\x21-\x7e]{4,2048}$/, 'the URL of an API');
  return url.replace(/\/+$/, '');
}

/** `REKEY_ADMIN_SECRET_ARN`: the secret of the administrator's key, the only one that gets a key for everything. */
export function adminSecretArn(env: Variables = process.env): string {
  return read(env, 'REKEY_ADMIN_SECRET_ARN', /^arn:[\x21-\x7e]{10,2048}$/, 'the ARN of a secret');
}

/** The scopes that keys may get at deploy time, by owner. */
export type DeployableKeys = Readonly<Record<string, string[]>>;

/** `REKEY_DEPLOYABLE_KEYS`: such as `{"team-orders":["orders:*"]}`. */
export function deployableKeys(env: Variables = process.env): DeployableKeys {
  const name = 'REKEY_DEPLOYABLE_KEYS';
  const form = 'a JSON object of lists of scopes';
  const text = read(env, name, /^\{.*\}$/s, form);
  try {
    const rules = JSON.parse(text) as Record<string, unknown>;
    const isList = (value: unknown) =>
      Array.isArray(value) && value.every((scope) => typeof scope === 'string');
    if (Object.values(rules).every(isList)) return rules as DeployableKeys;
  } catch {
    // As any other text that is none.
  }
  throw new Error(`${name} is not valid: it must be ${form}`);
}
