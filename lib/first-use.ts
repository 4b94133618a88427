import type { ApiKeyRecord } from './api-key.schema.ts';
import { isValid, ttlOf } from './api-key.ts';
import { isEndRecorded, reschedule } from './schedule.ts';
import { firstUseOf } from './version.ts';

const MS_PER_HOUR = 3_600_000;
/** A key in its grace has an heir, and gets no notices. */
const NO_NOTICES = { notify_days_before: [] };

/** The reason of what the first use of a key does to its parent. */
export const GRACE_STARTED = 'grace_started';

/** What the first use of a key writes: to itself, and to a parent whose grace begins with it. */
export interface FirstUse {
  used: Partial<ApiKeyRecord>;
  parent?: Partial<ApiKeyRecord>;
}

/**
 * Decides what the first use of a key changes. The grace of a parent that has been waiting for it begins, and moves
 * the parent's own end nearer, never further away. A first use happens once, and so does this.
 *
 * @param parent the key that `parent_key_id` names; only a pending key needs it
 * @param now epoch milliseconds
 */
export function decideFirstUse(
  record: ApiKeyRecord,
  parent: ApiKeyRecord | undefined,
  now: number,
  { retention_days }: { retention_days: number },
): FirstUse {
  const first_used_at = firstUseOf(record, now);
  if (record.pending_until === null) return { used: { first_used_at } };

  const used = { first_used_at, pending_until: null, pending_grace_hours: undefined };
  const waits =
    parent?.successor_key_id === record.id &&
    parent.rotated_at === null &&
    isValid(parent, now) &&
    !isEndRecorded(parent);
  if (!waits) return { used };

  const graceEnd = now + (record.pending_grace_hours ?? 0) * MS_PER_HOUR;
  const ownEnd = parent.expires_at === null ? graceEnd : Date.parse(parent.expires_at);
  const expires_at = new Date(Math.min(ownEnd, graceEnd)).toISOString();
  const ending = { rotated_at: new Date(now).toISOString(), expires_at };
  return {
    used,
    parent: {
      ...ending,
      // Its own end may have been further away: nobody takes back a rotation whose successor is used.
      ttl: ttlOf({ expires_at, revoked_at: null }, retention_days),
      ...reschedule(parent, ending, NO_NOTICES, now),
    },
  };
}
