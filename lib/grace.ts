import type { ApiKeyRecord } from './api-key.schema.ts';
import { ttlOf } from './api-key.ts';
import { reschedule } from './schedule.ts';

/** A key in its grace has an heir, and gets no notices. */
const NO_NOTICES = { notify_days_before: [] };

/**
 * What begins the grace of a key. It moves the key's own end nearer, or leaves it; never further away.
 *
 * @param grace milliseconds
 * @param now epoch milliseconds
 */
export function startGrace(
  record: ApiKeyRecord,
  grace: number,
  now: number,
  { retention_days }: { retention_days: number },
) {
  const graceEnd = now + grace;
  const ownEnd = record.expires_at === null ? graceEnd : Date.parse(record.expires_at);
  const expires_at = new Date(Math.min(ownEnd, graceEnd)).toISOString();
  const rotated_at = record.rotated_at ?? new Date(now).toISOString();
  return {
    rotated_at,
    expires_at,
    ttl: ttlOf({ expires_at, revoked_at: null }, retention_days)!,
    ...reschedule(record, { rotated_at, expires_at }, NO_NOTICES, now),
  };
}
