import type { ApiKeyRecord } from './api-key.schema.ts';
import { isValid } from './api-key.ts';
import { startGrace } from './grace.ts';
import { isEndRecorded } from './schedule.ts';
import { firstUseOf } from './version.ts';

const MS_PER_HOUR = 3_600_000;

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
  settings: { retention_days: number },
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

  // Its own end may have been further away, and is not kept: nobody takes back a rotation whose successor is used.
  return { used, parent: startGrace(parent, (record.pending_grace_hours ?? 0) * MS_PER_HOUR, now, settings) };
}
