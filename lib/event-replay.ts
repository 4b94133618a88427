import type { Event } from './event.schema.ts';
import { earliestEventId } from './event.ts';
import { type BusEntry, busEntryOf, type EventBus, sendToBus } from './event-bus.ts';
import { DAY_PARTS, eventDay } from './event-item.ts';
import { timeOfId } from './key-format.ts';
import { Unavailable } from './problem.ts';
import { environmentTable, type KeyTable, names, query } from './table-client.ts';
import { EVENTS_BY_DAY } from './table-layout.ts';

const MS_PER_DAY = 86_400_000;
/** Events that one call looks at. */
const LOOK_AT = 1_000;
/** Events that are sent before the next ones are read. */
const AT_ONCE = 100;
/**
 * Milliseconds. Nothing is read after this time, and nothing sent after as much again: with the last call to the bus,
 * which has limits of its own, it stays under the 28 s of an operation.
 */
const LONGEST_LOOKING = 5_000;

export interface ReplayRequest {
  /** Epoch milliseconds: the first that counts, and the first that no longer does. */
  from: number;
  to: number;
  filter: (event: Event) => boolean;
  /** Ids above this one only: the `last` of the call before. */
  after?: string | undefined;
}

/** An event that no replay can put on the bus. */
export interface NotReplayed {
  id: string;
  error: string;
}

/** The next events of one day after an id, in the order of their ids, and whether there may be more. */
async function eventsOfDay(
  day: number,
  after: string,
  end: string,
  table: KeyTable,
): Promise<{ found: { id: string; text: string }[]; more: boolean }> {
  const parts = await Promise.all(
    Array.from({ length: DAY_PARTS }, (_, part) =>
      query(table, {
        IndexName: EVENTS_BY_DAY,
        KeyConditionExpression: '#event_day = :day AND #sk BETWEEN :after AND :end',
        ExpressionAttributeNames: names('event_day', 'sk'),
        ExpressionAttributeValues: { ':day': eventDay(day, part), ':after': after, ':end': end },
        // The bounds may be read too, and do not count.
        Limit: AT_ONCE + 2,
      }),
    ),
  );
  // Of a part that was not read to its end nothing is known behind what came, so nothing of the others counts there.
  const known = parts
    .filter(({ LastEvaluatedKey }) => LastEvaluatedKey !== undefined)
    .map(({ LastEvaluatedKey }) => String(LastEvaluatedKey!['sk']))
    .sort()[0];
  const all = parts
    .flatMap(({ Items = [] }) => Items)
    .map((item) => ({ id: String(item['sk']), text: String(item['event']) }))
    .filter(({ id }) => id > after && id < end && (known === undefined || id <= known))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  return { found: all.slice(0, AT_ONCE), more: known !== undefined || all.length > AT_ONCE };
}

/**
 * Puts stored events on the bus again, in the order of their ids, each as it was recorded. A call does a bounded part;
 * the next one goes on from `last`. What was sent without that being known is sent again: at least once.
 *
 * @returns `last` is absent when there is no more
 * @throws Unavailable when the bus takes nothing
 */
export async function replayEvents(
  { from, to, filter, after }: ReplayRequest,
  {
    table = environmentTable(),
    bus,
    send = sendToBus,
    now = () => performance.now(),
  }: {
    table?: KeyTable;
    bus?: EventBus;
    send?: typeof sendToBus;
    now?: () => number;
  } = {},
): Promise<{ replayed: number; not_replayed: NotReplayed[]; last?: string }> {
  const until = now() + LONGEST_LOOKING;
  const end = earliestEventId(to);
  let position = after ?? earliestEventId(from);
  let day = Math.floor((after === undefined ? from : timeOfId(after)) / MS_PER_DAY) * MS_PER_DAY;
  let looked = 0;
  let replayed = 0;
  const not_replayed: NotReplayed[] = [];

  while (day < to) {
    if (looked >= LOOK_AT || now() >= until) return { replayed, not_replayed, last: position };
    const { found, more } = await eventsOfDay(day, position, end, table);
    looked += found.length;

    const entries: BusEntry[] = [];
    for (const { id, text } of found) {
      try {
        if (filter(JSON.parse(text) as Event)) entries.push(busEntryOf(text));
      } catch (error) {
        not_replayed.push({ id, error: (error as Error).message });
      }
    }
    const unsent = await send(entries, bus, { longest: LONGEST_LOOKING });
    const passing = unsent.find(({ permanent }) => !permanent);
    const done = passing ? entries.indexOf(passing.entry) : entries.length;
    const failed = unsent.filter(({ entry, permanent }) => permanent && entries.indexOf(entry) < done);
    not_replayed.push(...failed.map(({ entry, error }) => ({ id: entry.id, error })));
    replayed += done - failed.length;
    if (passing) {
      if (replayed === 0) throw new Unavailable(5);
      const before = found.findIndex(({ id }) => id === passing.entry.id) - 1;
      return { replayed, not_replayed, last: before < 0 ? position : found[before]!.id };
    }

    position = found.at(-1)?.id ?? position;
    if (!more) {
      day += MS_PER_DAY;
      position = later(position, earliestEventId(day));
    }
  }
  return { replayed, not_replayed };
}

const later = (a: string, b: string): string => (a > b ? a : b);
