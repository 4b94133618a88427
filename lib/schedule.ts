import { createHash } from 'node:crypto';
import type { ApiKeyRecord } from './api-key.schema.ts';
import { instant } from './instant.ts';
import { duePlanStep, nextCountAt, planSteps } from './rotation-due.ts';

/** What a key's future depends on: its own facts, and where its stack's settings take their place. */
export type Scheduled = Pick<
  ApiKeyRecord,
  | 'id'
  | 'created_at'
  | 'expires_at'
  | 'rotated_at'
  | 'revoked_at'
  | 'notify_days_before'
  | 'swept_until'
  | 'pending_until'
  | 'rotation'
  | 'rotation_due_at'
  | 'rotation_told'
  | 'overdue_counted_at'
>;

/**
 * `notify_days_before`: for keys that have no list of their own; none is no notices. `max_age_days`: how old a key may
 * become; absent, as old as it lives.
 */
export interface ScheduleSettings {
  notify_days_before: readonly number[];
  max_age_days?: number | undefined;
}

/**
 * Something that is to happen to a key once.
 *
 * - `notice`: tell that it expires; `step` is the days before the end at which this was to be told.
 * - `expire`: record that it has ended.
 * - `drop`: end a successor that nobody has used.
 * - `overdue`: count it among the keys that are older than allowed.
 * - `rotation`: have it rotated and delivered, or remind that it is to be rotated; `step` counts both.
 */
export type Action =
  | { at: string; type: 'notice'; step: number }
  | { at: string; type: 'rotation'; step: number }
  | { at: string; type: 'expire' }
  | { at: string; type: 'overdue' }
  | { at: string; type: 'drop' };

/** Where a key stands in the index `by_due`; undefined, so that a write removes it, when nothing is ahead. */
export type Due = Required<{ [Name in 'due_shard' | 'next_action_at']: ApiKeyRecord[Name] }>;

const MS_PER_DAY = 86_400_000;
/** A partition of an index takes 1,000 writes a second; a sweep asks each shard for itself. */
const KEY_SHARDS = 8;
export const keyShards: readonly string[] = Array.from({ length: KEY_SHARDS }, (_, shard) => `key_${shard}`);

/** For a key with nothing ahead. */
export const NOTHING_DUE: Due = { due_shard: undefined, next_action_at: undefined };

/**
 * Everything that is ever to happen to a key as it is now, in order, done or not. It depends on no clock, so what
 * is late is still in it, in its place.
 *
 * A rotated key has an heir and needs no notice; a revoked one has had its end told. No two notices or ends are at the
 * same instant: `swept_until` alone says which are done. A key that was dropped is revoked,
 * and reminders have a count of their own. Of the days on which a key is overdue only the next one is in it.
 */
export function actionsOf(record: Scheduled, settings: ScheduleSettings): Action[] {
  const { expires_at, revoked_at, rotated_at, pending_until } = record;
  if (revoked_at !== null) return [];
  const steps = rotated_at === null ? planSteps(record) : [];
  const actions: Action[] = steps
    .filter(({ at }) => expires_at === null || at < expires_at)
    .map(({ at, step }) => ({ at, step, type: 'rotation' }));
  if (settings.max_age_days !== undefined && rotated_at === null) {
    const at = nextCountAt(record, settings.max_age_days);
    if (expires_at === null || at < expires_at) actions.push({ at, type: 'overdue' });
  }
  if (expires_at !== null) {
    if (rotated_at === null) actions.push(...noticesOf(record, Date.parse(expires_at), settings));
    actions.push({ at: expires_at, type: 'expire' });
  }
  if (pending_until !== null && (expires_at === null || pending_until < expires_at))
    actions.push({ at: pending_until, type: 'drop' });
  return actions.sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** The notices before an end. Those that a short life has no room for become one, at half of it. */
function noticesOf(
  { created_at, notify_days_before }: Scheduled,
  end: number,
  settings: ScheduleSettings,
): Action[] {
  const start = Date.parse(created_at);
  const half = start + Math.floor((end - start) / 2);
  const steps = new Map<number, number>();
  for (const step of notify_days_before ?? settings.notify_days_before) {
    const early = end - step * MS_PER_DAY;
    const at = early < start ? half : early;
    // Of the steps that fall together the nearest to the end says it best.
    steps.set(at, Math.min(step, steps.get(at) ?? step));
  }
  return [...steps]
    .sort(([a], [b]) => a - b)
    .map(([at, step]) => ({ at: instant(at), type: 'notice', step }));
}

/** The first action that is not done yet, due or not. Instants have one width, so text order is time order. */
export function nextAction(record: Scheduled, settings: ScheduleSettings): Action | undefined {
  const { swept_until } = record;
  return actionsOf(record, settings).find(
    // Of the other types what is done is noted otherwise.
    ({ type, at }) => !(type === 'notice' || type === 'expire') || swept_until === null || at > swept_until,
  );
}

/**
 * What every write that moves a key's future sets, or removes, in the same write. An action whose time has passed is
 * due from `now` on: it is not late before anyone could have done it.
 *
 * @param now epoch milliseconds
 */
export function dueOf(record: Scheduled, settings: ScheduleSettings, now: number): Due {
  const next = nextAction(record, settings);
  if (!next) return NOTHING_DUE;
  return {
    due_shard: shardOf(record.id),
    next_action_at: instant(Math.max(now, Date.parse(next.at))),
  };
}

/**
 * What a change does to the schedule of a key. A new end has its own notices, so it begins anew.
 *
 * @param now epoch milliseconds
 */
export function reschedule(
  record: Scheduled,
  change: Partial<Scheduled>,
  settings: ScheduleSettings,
  now: number,
): Due & Pick<Scheduled, 'swept_until'> {
  const after = { ...record, ...change };
  const swept_until = after.expires_at === record.expires_at ? record.swept_until : null;
  return { swept_until, ...dueOf({ ...after, swept_until }, settings, now) };
}

/** What a sweep does with a key: ends a successor that was not used in time, or writes to it. */
export type DueStep = { drop: true; event?: undefined } | DueWrite;

/** What a sweep writes to a key, and the event that goes with it. */
interface DueWrite {
  changes: Due &
    Partial<Pick<Scheduled, 'swept_until' | 'rotation_due_at' | 'rotation_told' | 'overdue_counted_at'>>;
  /** The key is older than allowed, and counted. */
  overdue?: true;
  /** Absent when the key is only put where it belongs in the index. */
  event?: {
    type: 'api_key.expiring' | 'api_key.expired' | 'api_key.rotation_due' | 'api_key.rotation_requested';
    reason: string | null;
    data: Record<string, unknown>;
  };
}

/**
 * What is to be done next with a key that a sweep has come to. With an action it is one action: the sweep asks again
 * until there is none. Without one the key stands in the wrong place of the index, as it does when the stack's days
 * have changed, and is put right; otherwise it would be found there by every sweep.
 *
 * @param now epoch milliseconds
 * @returns undefined when there is nothing to do, as when another sweep was there first
 */
export function decideDue(
  record: ApiKeyRecord,
  settings: ScheduleSettings,
  now: number,
): DueStep | undefined {
  const next = nextAction(record, settings);
  if (!next || Date.parse(next.at) > now) {
    const due = dueOf(record, settings, now);
    return due.next_action_at === record.next_action_at && due.due_shard === record.due_shard
      ? undefined
      : { changes: due };
  }
  if (next.type === 'drop') return { drop: true };
  if (next.type === 'rotation') {
    const { changes, step } = duePlanStep(record, now);
    return {
      changes: { ...changes, ...dueOf({ ...record, ...changes }, settings, now) },
      event: {
        type: step.reminder ? 'api_key.rotation_due' : 'api_key.rotation_requested',
        reason: null,
        data: { ...step.reminder },
      },
    };
  }
  if (next.type === 'overdue') {
    const overdue_counted_at = instant(now);
    return {
      changes: { overdue_counted_at, ...dueOf({ ...record, overdue_counted_at }, settings, now) },
      overdue: true,
    };
  }
  const swept_until = next.at;
  return {
    changes: { swept_until, ...dueOf({ ...record, swept_until }, settings, now) },
    event: eventOf(next, record, now),
  };
}

function eventOf(
  action: Extract<Action, { type: 'notice' | 'expire' }>,
  record: ApiKeyRecord,
  now: number,
): NonNullable<DueWrite['event']> {
  if (action.type === 'expire') {
    return {
      type: 'api_key.expired',
      reason: record.rotated_at === null ? null : 'rotated',
      data: {},
    };
  }
  return {
    type: 'api_key.expiring',
    reason: null,
    data: {
      days_left: record.expires_at === null ? 0 : daysLeft(record.expires_at, now),
      notify_days_before: action.step,
    },
  };
}

/**
 * Whether the key's end stands in the trail. Clocks differ by a little: to one that lags, a key whose end is recorded
 * can look alive, and must not be moved or rotated any more.
 */
export function isEndRecorded({
  expires_at,
  swept_until,
}: Pick<Scheduled, 'expires_at' | 'swept_until'>): boolean {
  return expires_at !== null && swept_until !== null && swept_until >= expires_at;
}

/** Whole days until then, rounded down; 0 once it has passed. `now` in epoch milliseconds. */
export function daysLeft(expires_at: string, now: number): number {
  return Math.max(0, Math.floor((Date.parse(expires_at) - now) / MS_PER_DAY));
}

/** Of the id's hash: ids begin with their time, and keys that are made together often end together. */
function shardOf(id: string): string {
  return keyShards[createHash('sha256').update(id).digest().readUInt8() % KEY_SHARDS]!;
}
