import type { ApiKeyRecord, GraceStarts, OnReuse, RotationPlan } from './api-key.schema.ts';
import { statusOf, ttlOf } from './api-key.ts';
import { type Caller, demandEnvironment, demandGrantable, demandOwner } from './caller.ts';
import { decideNewExpiry } from './lifetime.ts';
import { KeyExpired, KeyRevoked, KeyRotated, PendingSuccessor } from './problem.ts';
import type { KeySettings } from './rotation.ts';
import { rotationDueAt } from './rotation-due.ts';
import { type Due, isEndRecorded, reschedule } from './schedule.ts';
import { normalizeScopes } from './scope.ts';

export interface ChangeRequest {
  name?: string | undefined;
  metadata?: Record<string, string> | undefined;
  scopes?: readonly string[] | undefined;
  /** null: never. */
  expires_at?: string | null | undefined;
  /** null: the stack's. */
  notify_days_before?: number[] | null | undefined;
  /** null: the stack's. */
  grace_starts?: GraceStarts | null | undefined;
  /** null: none. */
  rotation?: RotationPlan | null | undefined;
  on_reuse?: OnReuse | undefined;
}

/**
 * Only the attributes that change. `ttl` goes with `expires_at`, and the place in the index by_due with what is ahead:
 * undefined takes them away.
 */
export type Change = Partial<
  Pick<
    ApiKeyRecord,
    | 'name'
    | 'metadata'
    | 'scopes'
    | 'expires_at'
    | 'ttl'
    | 'notify_days_before'
    | 'grace_starts'
    | 'rotation'
    | 'rotation_due_at'
    | 'rotation_told'
    | 'on_reuse'
    | 'swept_until'
    | keyof Due
  >
>;

const isLater = (expires_at: string | null, than: string | null): boolean =>
  than !== null && (expires_at === null || expires_at > than);

/**
 * Decides a change of a key. One that has ended, or has a successor, does not change, so nothing brings it back. New
 * scopes must be the caller's to give, and so must all scopes of a key that is to live longer.
 *
 * @param now epoch milliseconds
 * @throws KeyRevoked, KeyExpired, KeyRotated, PendingSuccessor, ScopeEscalation, OwnerForbidden, EnvironmentForbidden
 * @throws InvalidRequest for an end in the past or beyond the stack's maximum
 */
export function decideChange(
  record: ApiKeyRecord,
  request: ChangeRequest,
  caller: Caller,
  now: number,
  settings: KeySettings,
): Change {
  demandOwner(caller, record);
  demandEnvironment(caller, record);

  const status = statusOf(record, now);
  if (status === 'revoked') throw new KeyRevoked();
  if (status === 'expired' || isEndRecorded(record)) throw new KeyExpired();
  if (status === 'rotated') throw new KeyRotated(record.successor_key_id ?? '');
  // Its successor has what this key had, and would go on with it.
  if (record.successor_key_id !== null) throw new PendingSuccessor(record.successor_key_id);

  const { name, metadata, scopes, expires_at, notify_days_before, grace_starts, on_reuse, rotation } =
    request;
  const change: Change = {};
  if (name !== undefined) change.name = name;
  if (metadata !== undefined) change.metadata = metadata;
  if (scopes !== undefined) {
    demandGrantable(caller, scopes);
    change.scopes = normalizeScopes(scopes);
  }
  if (expires_at !== undefined) {
    change.expires_at = decideNewExpiry(record, expires_at, now, settings);
    change.ttl = ttlOf({ expires_at: change.expires_at, revoked_at: null }, settings.retention_days);
    if (isLater(change.expires_at, record.expires_at)) demandGrantable(caller, scopes ?? record.scopes);
  }
  if (notify_days_before !== undefined) change.notify_days_before = notify_days_before;
  if (rotation !== undefined) {
    const due = rotationDueAt({ ...record, rotation });
    // Not in the past: what is overdue already is told next, and not as if it had been due for weeks.
    const soon = new Date(now).toISOString();
    Object.assign(change, {
      rotation,
      rotation_told: 0,
      rotation_due_at: due !== null && due < soon ? soon : due,
    });
  }
  if (grace_starts !== undefined) change.grace_starts = grace_starts;
  if (on_reuse !== undefined) change.on_reuse = on_reuse;
  if (expires_at !== undefined || notify_days_before !== undefined || rotation !== undefined)
    Object.assign(change, reschedule(record, change, settings, now));
  return change;
}
