import type { ApiKeyRecord, GraceStarts } from './api-key.schema.ts';
import { isValid, statusOf, ttlOf } from './api-key.ts';
import { startGrace } from './grace.ts';
import { decideExpiry, inheritExpiry, type LifetimeSettings } from './lifetime.ts';
import {
  AlreadyRotated,
  InvalidRequest,
  KeyExpired,
  KeyRevoked,
  NotRotated,
  PendingSuccessor,
  SuccessorUsed,
} from './problem.ts';
import { type Due, isEndRecorded, NOTHING_DUE, reschedule, type ScheduleSettings } from './schedule.ts';
import { missingScopes, normalizeScopes } from './scope.ts';

const MS_PER_HOUR = 3_600_000;
const MS_PER_DAY = 86_400_000;
const DEFAULT_GRACE_HOURS = 24;
const LONGEST_GRACE_HOURS = 720;

export interface RotationRequest {
  grace_period_hours?: number | undefined;
  /** By default as the key says, or else the stack. */
  grace_starts?: GraceStarts | undefined;
  /** Whether a successor that nobody has used is replaced by the new one. */
  replace_pending?: boolean | undefined;
  scopes?: readonly string[] | undefined;
  expires_in_days?: number | undefined;
  name?: string | undefined;
}

/** What every decision about the life of a key needs to know of its stack. */
export type KeySettings = LifetimeSettings & ScheduleSettings & { retention_days: number };

export interface LineSettings {
  grace_starts: GraceStarts;
  /** Days after which a pending successor is dropped. */
  pending_days: number;
  /** How many keys of a line may be valid at the same time, 2 at least. */
  most_valid_keys: number;
}

export type RotationSettings = KeySettings & LineSettings;

/** The keys around the one that is rotated. */
export interface Line {
  /** The key that `successor_key_id` names. */
  successor?: ApiKeyRecord | undefined;
  /** Whether it came while this request was under way: then it is another's, and is not replaced. */
  contested?: boolean;
  /** The keys before it, the nearest first; those that `most_valid_keys` can concern are enough. */
  ancestors?: readonly ApiKeyRecord[];
}

type Retired = Pick<ApiKeyRecord, 'revoked_at' | 'revoked_reason' | 'pending_until'> &
  Required<{ [Name in 'ttl' | 'pending_grace_hours']: ApiKeyRecord[Name] }> &
  Due;

export interface Rotation {
  /** What changes on the rotated key; the writer adds `successor_key_id` and the version. Nothing else, until its grace begins. */
  old: Partial<ApiKeyRecord>;
  /** The successor, but for what only minting knows, and for its place in the index by_due, which needs its id. */
  successor: Omit<ApiKeyRecord, 'id' | 'digest' | 'hint' | 'created_by' | keyof Due>;
  /** What changes on the unused successor that the new one takes the place of. */
  superseded?: Retired;
  /** Keys of the line that end now, since it would have too many valid ones. */
  ended: { record: ApiKeyRecord; changes: Partial<ApiKeyRecord> }[];
}

/** The reasons of what rotations do to other keys of the line, in their events. */
export const ROTATION_CANCELLED = 'rotation_cancelled';
export const SUPERSEDED = 'superseded';
export const NEVER_USED = 'never_used';
export const LINE_LIMIT = 'line_limit';

/** The end of a successor that nobody has used. */
const retired = (
  { expires_at }: ApiKeyRecord,
  revoked_reason: string,
  now: number,
  retention_days: number,
): Retired => {
  const revoked_at = new Date(now).toISOString();
  return {
    revoked_at,
    revoked_reason,
    pending_until: null,
    pending_grace_hours: undefined,
    ttl: ttlOf({ expires_at, revoked_at }, retention_days),
    ...NOTHING_DUE,
  };
};

const graceOf = (
  { rotation }: ApiKeyRecord,
  { grace_period_hours = rotation?.grace_period_hours ?? DEFAULT_GRACE_HOURS }: RotationRequest,
): number => {
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
 * Whether the key may get a successor now.
 *
 * A successor that was used stays the only one, whatever became of it. One that nobody has used holds the line while
 * it is valid; when it has ended, or is to be replaced on purpose, the line is free.
 */
const demandFree = (
  record: ApiKeyRecord,
  { successor, contested = false, ancestors = [] }: Line,
  replace: boolean,
  now: number,
): void => {
  const { successor_key_id } = record;
  const status = statusOf(record, now);
  const ended = status === 'expired' || isEndRecorded(record);
  if (successor_key_id !== null) {
    const isOnlyOne = !successor || successor.first_used_at !== null || successor.successor_key_id !== null;
    if (isOnlyOne || ended) throw new AlreadyRotated(successor_key_id);
    if (isValid(successor, now) && (contested || !replace)) throw new PendingSuccessor(successor_key_id);
  }
  if (ended) throw new KeyExpired();
  // Its parent is the key that is in use: to end it for a third one would lock its client out.
  if (status === 'pending' && ancestors[0] && isValid(ancestors[0], now))
    throw new PendingSuccessor(record.id, 'itself');
};

/** The oldest keys of a line end when it would have too many that are valid. */
const endedBy = (
  old: Pick<ApiKeyRecord, 'expires_at'>,
  ancestors: readonly ApiKeyRecord[],
  now: number,
  settings: RotationSettings,
): Rotation['ended'] => {
  const expires_at = new Date(now).toISOString();
  const stays = old.expires_at === null || old.expires_at > expires_at;
  // The successor is one of them.
  const others = settings.most_valid_keys - 1 - (stays ? 1 : 0);
  return ancestors
    .filter((ancestor) => isValid(ancestor, now))
    .slice(others)
    .map((record) => ({
      record,
      changes: {
        expires_at,
        ttl: ttlOf({ expires_at, revoked_at: null }, settings.retention_days),
        ...reschedule(record, { expires_at }, settings, now),
      },
    }));
};

/**
 * Decides a rotation: what is written to the old key, and what its successor is. The old key's end only ever
 * comes nearer, so a rotation neither prolongs nor revives it; the successor has the same scopes or fewer, and
 * as long a life as the old key had from its start.
 *
 * With `grace_starts: "first_use"` the successor is pending and the old key stays as it is (lib/first-use.ts). A grace
 * that has begun cannot begin again: then this has no effect.
 *
 * Whether the caller may hand out these scopes is not decided here.
 *
 * @param now epoch milliseconds
 * @throws AlreadyRotated naming the successor (also when the grace is over), PendingSuccessor, KeyRevoked, KeyExpired
 * @throws InvalidRequest for a grace outside 0 to 720 hours, wider scopes, or a life beyond the maximum
 */
export function decideRotation(
  record: ApiKeyRecord,
  request: RotationRequest,
  now: number,
  settings: RotationSettings,
  line: Line = {},
): Rotation {
  if (record.revoked_at !== null) throw new KeyRevoked();
  demandFree(record, line, request.replace_pending ?? false, now);

  const created_at = new Date(now).toISOString();
  const grace = graceOf(record, request);
  const starts = request.grace_starts ?? record.grace_starts ?? settings.grace_starts;
  const pending = starts === 'first_use' && record.rotated_at === null;
  const old = pending
    ? {}
    : {
        ...startGrace(record, grace, now, settings),
        // What a successor that nobody used has already shortened is not its own end.
        before_rotation:
          record.rotated_at === null ? { expires_at: record.expires_at } : record.before_rotation,
      };

  const { expires_in_days } = request;
  const expires_at =
    expires_in_days === undefined
      ? inheritExpiry(record, now, settings)
      : decideExpiry({ expires_in_days }, now, settings);
  const dropped = line.successor;

  return {
    old: {
      ...old,
      // It has a heir of its own now, so nobody drops it.
      ...(record.pending_until !== null && { pending_until: null, pending_grace_hours: undefined }),
    },
    successor: {
      owner_id: record.owner_id,
      owner_access: record.owner_access,
      name: request.name ?? record.name,
      environment: record.environment,
      scopes: scopesOf(record, request),
      created_at,
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
      generation: dropped ? dropped.generation + 1 : (record.next_generation ?? record.generation + 1),
      metadata: record.metadata,
      notify_days_before: record.notify_days_before,
      grace_starts: record.grace_starts,
      rotation: record.rotation,
      rotation_due_at: null,
      pending_until: pending ? new Date(now + settings.pending_days * MS_PER_DAY).toISOString() : null,
      ...(pending && { pending_grace_hours: grace / MS_PER_HOUR }),
      on_reuse: record.on_reuse,
      replaces_key_id: null,
      honey: record.honey,
      swept_until: null,
      version: now,
      ttl: ttlOf({ expires_at, revoked_at: null }, settings.retention_days),
    },
    ...(dropped?.revoked_at === null && {
      superseded: retired(dropped, SUPERSEDED, now, settings.retention_days),
    }),
    ended: endedBy({ ...record, ...old }, line.ancestors ?? [], now, settings),
  };
}

/** What a cancellation writes. */
export interface Cancellation {
  old: Partial<ApiKeyRecord>;
  /** Absent when the successor was revoked before. */
  successor?: Retired;
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
  settings: KeySettings,
): Cancellation {
  const status = statusOf(record, now);
  if (status === 'revoked') throw new KeyRevoked();
  if (!successor) throw new NotRotated();
  if (status === 'expired' || isEndRecorded(record)) throw new KeyExpired();
  if (successor.first_used_at !== null) throw new SuccessorUsed(successor.id);
  if (successor.successor_key_id !== null) throw new AlreadyRotated(successor.successor_key_id);
  // One that was rotated before cancelling was possible does not know its own end any more.
  if (record.rotated_at !== null && !record.before_rotation) throw new NotRotated();

  const { expires_at } = record.before_rotation ?? record;
  return {
    old: {
      rotated_at: null,
      expires_at,
      ttl: ttlOf({ expires_at, revoked_at: null }, settings.retention_days),
      before_rotation: undefined,
      ...freed(successor),
      ...reschedule(record, { rotated_at: null, expires_at }, settings, now),
    },
    ...(successor.revoked_at === null && {
      successor: retired(successor, ROTATION_CANCELLED, now, settings.retention_days),
    }),
  };
}

/** The line goes on without this successor, whose generation stays its own. */
const freed = ({ generation }: ApiKeyRecord) => ({ successor_key_id: null, next_generation: generation + 1 });

/** What dropping a pending successor writes: to itself, and to its parent if that still waits for it. */
export interface Drop {
  successor: Retired;
  parent?: Partial<ApiKeyRecord>;
}

/**
 * What becomes of a successor whose time to be used is over. Its parent has kept its own end, and its line is free.
 *
 * @param parent the key that `parent_key_id` names
 * @param now epoch milliseconds
 */
export function decideDrop(
  successor: ApiKeyRecord,
  parent: ApiKeyRecord | undefined,
  now: number,
  settings: { retention_days: number },
): Drop {
  const waits = parent?.successor_key_id === successor.id && isValid(parent, now);
  return {
    successor: retired(successor, NEVER_USED, now, settings.retention_days),
    ...(waits && { parent: freed(successor) }),
  };
}
