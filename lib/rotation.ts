import type { ApiKeyRecord } from './api-key.schema.ts';
import { statusOf, ttlOf } from './api-key.ts';
import { decideExpiry, inheritExpiry, type LifetimeSettings } from './lifetime.ts';
import {
  AlreadyRotated,
  InvalidRequest,
  KeyExpired,
  KeyRevoked,
  NotRotated,
  SuccessorUsed,
} from './problem.ts';
import { type Due, isEndRecorded, NOTHING_DUE, reschedule, type ScheduleSettings } from './schedule.ts';
import { missingScopes, normalizeScopes } from './scope.ts';

const MS_PER_HOUR = 3_600_000;
const DEFAULT_GRACE_HOURS = 24;
const LONGEST_GRACE_HOURS = 720;

export interface RotationRequest {
  grace_period_hours?: number | undefined;
  scopes?: readonly string[] | undefined;
  expires_in_days?: number | undefined;
  name?: string | undefined;
}

export type RotationSettings = LifetimeSettings & ScheduleSettings & { retention_days: number };

export interface Rotation {
  /** What changes on the rotated key; the writer adds `successor_key_id` and the version. */
  old: Required<Pick<ApiKeyRecord, 'rotated_at' | 'expires_at' | 'ttl' | 'swept_until' | 'before_rotation'>> &
    Due & { expires_at: string };
  /** The successor, but for what only minting knows, and for its place in the index by_due, which needs its id. */
  successor: Omit<ApiKeyRecord, 'id' | 'digest' | 'hint' | 'created_by' | keyof Due>;
}

const graceOf = ({ grace_period_hours = DEFAULT_GRACE_HOURS }: RotationRequest): number => {
  if (
    !Number.isInteger(grace_period_hours) ||
    grace_period_hours < 0 ||
    grace_period_hours > LONGEST_GRACE_HOURS
  ) {
    throw new InvalidRequest([
      { pointer: '/grace_period_hours', detail: `must be a whole number from 0 to ${LONGEST_GRACE_HOURS}` },
    ]);
  }
  return grace_period_hours * MS_PER_HOUR;
};

const scopesOf = (record: ApiKeyRecord, { scopes = record.scopes }: RotationRequest): string[] => {
  if (scopes.length === 0)
    throw new InvalidRequest([{ pointer: '/scopes', detail: 'must name at least one scope' }]);
  const excess = missingScopes(record.scopes, scopes);
  if (excess.length > 0) {
    throw new InvalidRequest(
      scopes.flatMap((scope, index) =>
        excess.includes(scope)
          ? [
              {
                pointer: `/scopes/${index}`,
                detail: 'must be covered by the scopes of the key that is rotated',
              },
            ]
          : [],
      ),
    );
  }
  return normalizeScopes(scopes);
};

/**
 * Decides a rotation: what is written to the old key, and what its successor is. The old key's end only ever
 * comes nearer, so a rotation neither prolongs nor revives it; the successor has the same scopes or fewer, and
 * as long a life as the old key had from its start.
 *
 * Whether the caller may hand out these scopes is not decided here.
 *
 * @param now epoch milliseconds
 * @throws AlreadyRotated naming the successor (also when the grace is over), KeyRevoked, KeyExpired
 * @throws InvalidRequest for a grace outside 0 to 720 hours, wider scopes, or a life beyond the maximum
 */
export function decideRotation(
  record: ApiKeyRecord,
  request: RotationRequest,
  now: number,
  settings: RotationSettings,
): Rotation {
  const status = statusOf(record, now);
  if (status === 'revoked') throw new KeyRevoked();
  if (record.successor_key_id !== null) throw new AlreadyRotated(record.successor_key_id);
  if (status === 'expired' || isEndRecorded(record)) throw new KeyExpired();

  const rotated_at = new Date(now).toISOString();
  const graceEnd = now + graceOf(request);
  const ownEnd = record.expires_at === null ? graceEnd : Date.parse(record.expires_at);
  const oldEnd = new Date(Math.min(ownEnd, graceEnd)).toISOString();

  const { expires_in_days } = request;
  const expires_at =
    expires_in_days === undefined
      ? inheritExpiry(record, now, settings)
      : decideExpiry({ expires_in_days }, now, settings);

  return {
    old: {
      rotated_at,
      expires_at: oldEnd,
      before_rotation: { expires_at: record.expires_at },
      ttl: ttlOf({ expires_at: oldEnd, revoked_at: null }, settings.retention_days)!,
      ...reschedule(record, { rotated_at, expires_at: oldEnd }, settings, now),
    },
    successor: {
      owner_id: record.owner_id,
      owner_access: record.owner_access,
      name: request.name ?? record.name,
      environment: record.environment,
      scopes: scopesOf(record, request),
      created_at: rotated_at,
      expires_at,
      rotated_at: null,
      revoked_at: null,
      revoked_reason: null,
      first_used_at: null,
      last_used_at: null,
      last_used_ip: null,
      last_used_route: null,
      parent_key_id: record.id,
      successor_key_id: null,
      root_key_id: record.root_key_id,
      generation: record.next_generation ?? record.generation + 1,
      metadata: record.metadata,
      notify_days_before: record.notify_days_before,
      on_reuse: record.on_reuse,
      replaces_key_id: null,
      honey: record.honey,
      swept_until: null,
      version: now,
      ttl: ttlOf({ expires_at, revoked_at: null }, settings.retention_days),
    },
  };
}

/** What the revoked successor of a cancelled rotation, and the events of both keys, have as their reason. */
export const ROTATION_CANCELLED = 'rotation_cancelled';

/** What a cancellation writes. */
export interface Cancellation {
  old: Pick<ApiKeyRecord, 'rotated_at' | 'successor_key_id' | 'expires_at' | 'swept_until'> &
    Required<{ [Name in 'ttl' | 'before_rotation' | 'next_generation']: ApiKeyRecord[Name] }> &
    Due;
  /** Absent when the successor was revoked before. */
  successor?: Pick<ApiKeyRecord, 'revoked_at' | 'revoked_reason'> &
    Required<{ ttl: ApiKeyRecord['ttl'] }> &
    Due;
}

/**
 * Decides to take a rotation back whose successor nobody has used: the successor is revoked, and the old key has
 * its own end again. Only while the old key still works, so nothing revives it, and never beyond the end it had.
 *
 * Whether the caller may let the old key live longer than its grace is not decided here.
 *
 * @param successor the key that `successor_key_id` names
 * @param now epoch milliseconds
 * @throws NotRotated, KeyRevoked, KeyExpired; SuccessorUsed; AlreadyRotated when the successor has one of its own
 */
export function decideCancellation(
  record: ApiKeyRecord,
  successor: ApiKeyRecord | undefined,
  now: number,
  settings: RotationSettings,
): Cancellation {
  const status = statusOf(record, now);
  if (status === 'revoked') throw new KeyRevoked();
  if (!successor || !record.before_rotation) throw new NotRotated();
  if (status === 'expired' || isEndRecorded(record)) throw new KeyExpired();
  if (successor.first_used_at !== null) throw new SuccessorUsed(successor.id);
  if (successor.successor_key_id !== null) throw new AlreadyRotated(successor.successor_key_id);

  const { expires_at } = record.before_rotation;
  const revoked_at = new Date(now).toISOString();
  return {
    old: {
      rotated_at: null,
      successor_key_id: null,
      expires_at,
      ttl: ttlOf({ expires_at, revoked_at: null }, settings.retention_days),
      before_rotation: undefined,
      next_generation: successor.generation + 1,
      ...reschedule(record, { rotated_at: null, expires_at }, settings, now),
    },
    ...(successor.revoked_at === null && {
      successor: {
        revoked_at,
        revoked_reason: ROTATION_CANCELLED,
        ttl: ttlOf({ expires_at: successor.expires_at, revoked_at }, settings.retention_days),
        ...NOTHING_DUE,
      },
    }),
  };
}
