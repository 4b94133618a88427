import { createHash } from 'node:crypto';
import type { ApiKeyRecord } from './api-key.schema.ts';

/** What a key's future depends on: its own facts, and where its stack's settings take their place. */
export type Scheduled = Pick<
  ApiKeyRecord,
  'id' | 'created_at' | 'expires_at' | 'rotated_at' | 'revoked_at'
> & { notify_days_before: readonly number[] | null; swept_until: string | null };

/** `notify_days_before`: for keys that have no list of their own; none is no notices. */
export interface ScheduleSettings {
  notify_days_before: readonly number[];
}

/**
 * Something that is to happen to a key once.
 *
 * - `notice`: tell that it expires; `step` is the days before the end at which this was to be told.
 * - `expire`: record that it has ended.
 */
export type Action = { at: string } & ({ type: 'notice'; step: number } | { type: 'expire' });

/** Where a key stands in the index `by_due`; undefined, so that a write removes it, when nothing is ahead. */
export interface Due {
  due_shard: string | undefined;
  next_action_at: string | undefined;
}

const MS_PER_DAY = 86_400_000;
/** A partition of an index takes 1,000 writes a second; a sweep asks each shard for itself. */
const KEY_SHARDS = 8;
export const keyShards: readonly string[] = Array.from({ length: KEY_SHARDS }, (_, shard) => `key_${shard}`);

const instant = (ms: number): string => new Date(ms).toISOString();

/**
 * Everything that is ever to happen to a key as it is now, in order, done or not. It depends on no clock, so what
 * is late is still in it, in its place.
 *
 * A rotated key has an heir and needs no notice; a revoked one has had its end told. No two actions are at the same
 * instant: `swept_until` alone says which are done.
 */
export function actionsOf(record: Scheduled, settings: ScheduleSettings): Action[] {
  const { expires_at, revoked_at, rotated_at } = record;
  if (revoked_at !== null || expires_at === null) return [];
  const notices = rotated_at === null ? noticesOf(record, Date.parse(expires_at), settings) : [];
  return [...notices, { at: expires_at, type: 'expire' }];
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
  return actionsOf(record, settings).find(({ at }) => swept_until === null || at > swept_until);
}

/** What every write that moves a key's future sets, or removes, in the same write. */
export function dueOf(record: Scheduled, settings: ScheduleSettings): Due {
  const next = nextAction(record, settings);
  return { due_shard: next && shardOf(record.id), next_action_at: next?.at };
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
