import type { ApiKeyRecord } from './api-key.schema.ts';
import { instant } from './instant.ts';
import { InvalidRequest } from './problem.ts';

/** Properties of the stack; the default is never above the maximum (environment.ts sees to it). */
export interface LifetimeSettings {
  default_lifetime_days: number;
  max_lifetime_days: number;
  allow_never_expiring: boolean;
}

const MS_PER_DAY = 86_400_000;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/;

const refuse = (pointer: string, detail: string): never => {
  throw new InvalidRequest([{ pointer, detail }]);
};

/** Epoch milliseconds of a real instant in UTC. The 30th of February rolls over in Date, so it is compared back. */
const readInstant = (text: string): number => {
  const ms = INSTANT.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms) || instant(ms).slice(0, 19) !== text.slice(0, 19)) {
    return refuse('/expires_at', 'must be an instant in UTC such as 2027-01-31T00:00:00.000Z');
  }
  return ms;
};

const limitExpiry = (
  expires_at: string | null,
  now: number,
  latest: number,
  settings: LifetimeSettings,
): string | null => {
  if (expires_at === null) {
    return settings.allow_never_expiring
      ? null
      : refuse('/expires_at', 'must not be null: here every key expires; name an instant');
  }
  const ms = readInstant(expires_at);
  if (ms <= now) return refuse('/expires_at', 'must be in the future');
  if (ms > latest) {
    return refuse(
      '/expires_at',
      `must be ${instant(latest)} at the latest: a key lives ${settings.max_lifetime_days} days at most`,
    );
  }
  return instant(ms);
};

/**
 * When a new key expires: after `expires_in_days`, at `expires_at`, or after the stack's default.
 *
 * @param now epoch milliseconds
 * @returns an ISO instant with milliseconds; null for never, only where the stack allows it
 * @throws InvalidRequest naming the field: both given, not a whole day, in the past, past the maximum
 */
export function decideExpiry(
  request: { expires_in_days?: number | undefined; expires_at?: string | null | undefined },
  now: number,
  settings: LifetimeSettings,
): string | null {
  const { expires_in_days, expires_at } = request;
  const { default_lifetime_days, max_lifetime_days } = settings;
  if (expires_in_days !== undefined && expires_at !== undefined) {
    return refuse('/expires_at', 'must not be given together with expires_in_days; leave one of them out');
  }
  if (expires_at !== undefined)
    return limitExpiry(expires_at, now, now + max_lifetime_days * MS_PER_DAY, settings);

  const days = expires_in_days === undefined ? default_lifetime_days : expires_in_days;
  if (!Number.isInteger(days) || days < 1 || days > max_lifetime_days) {
    return refuse('/expires_in_days', `must be a whole number from 1 to ${max_lifetime_days}`);
  }
  return instant(now + days * MS_PER_DAY);
}

/**
 * When an existing key is to expire from now on. It may be moved either way, but never past its creation plus the
 * stack's maximum: prolonging again and again does not make a key immortal. The value it already has is no change
 * and stays allowed, also after the stack's maximum was lowered.
 *
 * @param now epoch milliseconds
 * @throws InvalidRequest naming `/expires_at`
 */
export function decideNewExpiry(
  record: Pick<ApiKeyRecord, 'created_at' | 'expires_at'>,
  expires_at: string | null,
  now: number,
  settings: LifetimeSettings,
): string | null {
  if (expires_at === record.expires_at && (expires_at === null || readInstant(expires_at) > now))
    return expires_at;
  const latest = Date.parse(record.created_at) + settings.max_lifetime_days * MS_PER_DAY;
  return limitExpiry(expires_at, now, latest, settings);
}

/**
 * When the successor of a key expires, if nobody says: as long after now as the old key's end was after its
 * creation, within the stack's maximum.
 *
 * @param now epoch milliseconds
 */
export function inheritExpiry(
  record: Pick<ApiKeyRecord, 'created_at' | 'expires_at'>,
  now: number,
  settings: LifetimeSettings,
): string | null {
  const longest = settings.max_lifetime_days * MS_PER_DAY;
  if (record.expires_at === null) return settings.allow_never_expiring ? null : instant(now + longest);
  return instant(now + Math.min(Date.parse(record.expires_at) - Date.parse(record.created_at), longest));
}
