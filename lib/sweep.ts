import type { ApiKeyRecord } from './api-key.schema.ts';
import { dueItems } from './due-index.ts';
import { logFailure } from './error-log.ts';
import { systemOrigin } from './event.ts';
import { doWhatIsDue, getKey } from './key-table.ts';
import { everyKey, getPlacement, putPlacement } from './placement-table.ts';
import { NotFound, Unavailable } from './problem.ts';
import { decideDrop } from './rotation.ts';
import { decideDue, keyShards, type ScheduleSettings } from './schedule.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** Keys that are worked on at the same time. Each waits for DynamoDB nearly all of its time. */
const CONCURRENCY = 32;
/** Keys that are logged one by one; the number of all of them is in the sweep's own line. */
const MOST_FAILURES_LOGGED = 20;
const MOST_OVERDUE_LOGGED = 100;

/** What a sweep did. */
export interface SweepResult {
  /** Keys that the index gave, done by this sweep or by another before it came to them. */
  keys: number;
  /** Events recorded: notices and ends. */
  events: number;
  /** Keys that are older than the stack allows. Each is counted once a day. */
  overdue: number;
  /** Keys left as they were, and shards left unasked: a record cannot be read, or DynamoDB did not answer. */
  failed: number;
  /** How long the longest waiting key had been due, when it was come to. Of records that cannot be read it says nothing. */
  oldest_due_age_seconds: number;
  /** Whether all that was due has been come to. */
  finished: boolean;
}

interface Run {
  /** Asked before each key. */
  hasTime: () => boolean;
  /** Epoch milliseconds. */
  now?: () => number;
  request_id?: string;
}
type SweepSettings = ScheduleSettings & { retention_days: number };

/**
 * A sweep, and when the stack allows another age than before, one over every key there is, so that each stands in the
 * index where it would have been written. That goes on where the one before ran out of time.
 */
export async function sweep(
  run: Run,
  settings: SweepSettings,
  table: KeyTable = environmentTable(),
): Promise<SweepResult> {
  const result = await sweepKeys(run, settings, table);
  if (!result.finished) return result;
  const { max_age_days = null } = settings;
  const placed = await getPlacement(table);
  const isSame = placed.max_age_days === max_age_days;
  if (isSame && placed.after === null) return result;

  let after = isSame ? placed.after : null;
  /** Ends by itself when time is up, so that whatever it gave is done. */
  const every = async function* () {
    try {
      for await (const key of everyKey(after, table)) {
        if (!run.hasTime()) return;
        yield { pk: key['pk']! };
        after = key;
      }
      after = null;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      logFailure('sweep_placing_failed', error, {});
    }
  };
  const placing = await sweepKeys({ ...run, hasTime: () => true }, settings, table, every());
  await putPlacement({ max_age_days, after }, table);
  return {
    keys: result.keys,
    events: result.events + placing.events,
    overdue: result.overdue + placing.overdue,
    failed: result.failed + placing.failed,
    oldest_due_age_seconds: result.oldest_due_age_seconds,
    finished: after === null,
  };
}

/**
 * Does all that is due of all keys. Any number of sweeps may run at once, and each may be killed anywhere: what is
 * done is done once, and what is not stays in the index for the next one. A key that fails does not hold up the others.
 *
 * @param those the keys to look at, rather than what the index by_due gives
 */
export async function sweepKeys(
  run: Run,
  settings: SweepSettings,
  table: KeyTable = environmentTable(),
  those?: AsyncIterableIterator<{ pk: string; next_action_at?: string }>,
): Promise<SweepResult> {
  const { hasTime, now = Date.now, request_id } = run;
  const result: SweepResult = {
    keys: 0,
    events: 0,
    overdue: 0,
    failed: 0,
    oldest_due_age_seconds: 0,
    finished: true,
  };

  const sweepOne = async (id: string, dueSince: string | undefined): Promise<void> => {
    const origin = systemOrigin('sweep-keys', now(), request_id);
    const age = () => {
      if (dueSince === undefined) return;
      const seconds = Math.floor((origin.now - Date.parse(dueSince)) / 1000);
      result.oldest_due_age_seconds = Math.max(result.oldest_due_age_seconds, seconds);
    };
    try {
      const record = await getKey(id, table);
      // An item that DynamoDB has tidied away can stay in the index for a moment.
      if (!record) return;
      const { events, overdue } = await doWhatIsDue(
        record,
        (seen) => decideDue(seen, settings, origin.now),
        (successor, parent) => decideDrop(successor, parent, origin.now, settings),
        origin,
        table,
      );
      result.events += events;
      if (overdue) {
        result.overdue += 1;
        if (result.overdue <= MOST_OVERDUE_LOGGED) logOverdue(record);
      }
      age();
    } catch (error) {
      if (error instanceof NotFound) return;
      // Not what is wrong with one key: it waits longer than it should, as many others may.
      if (error instanceof Unavailable) age();
      result.failed += 1;
      if (result.failed <= MOST_FAILURES_LOGGED)
        logFailure('sweep_key_failed', error, {
          api_key_id: id,
          ...(request_id && { request_id }),
        });
    }
  };

  /** A shard that cannot be asked holds up no other; what is in it is for the next sweep. */
  const leaveShard = (shard: string, error: Unavailable): void => {
    result.finished = false;
    result.failed += 1;
    logFailure('sweep_shard_failed', error, { shard, ...(request_id && { request_id }) });
  };
  const due = those ?? dueKeys(now(), leaveShard, table);
  const work = async (): Promise<void> => {
    for await (const { pk, next_action_at } of due) {
      if (!hasTime()) {
        result.finished = false;
        return;
      }
      result.keys += 1;
      await sweepOne(pk, next_action_at);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return result;
}

/** For whoever asks which keys the metric has counted. */
const logOverdue = ({ id, owner_id, created_at }: ApiKeyRecord): void =>
  console.info(JSON.stringify({ level: 'info', event: 'key_overdue', api_key_id: id, owner_id, created_at }));

/** Shard after shard, each sweep in an order of its own: those that run at once seldom meet. */
async function* dueKeys(
  now: number,
  leaveShard: (shard: string, error: Unavailable) => void,
  table: KeyTable,
) {
  const shards = keyShards
    .map((shard) => ({ shard, place: Math.random() }))
    .sort((a, b) => a.place - b.place);
  for (const { shard } of shards) {
    try {
      yield* dueItems(shard, now, table);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      leaveShard(shard, error);
    }
  }
}
