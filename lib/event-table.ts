import type { Event } from './event.schema.ts';
import { earliestEventId } from './event.ts';
import { eventItem, trailOf } from './event-item.ts';
import { ConditionFailed, environmentTable, type KeyTable, names, query, transact } from './table-client.ts';
import { EVENTS_BY_OWNER } from './table-layout.ts';

/** Events that one page may look at to find those that were asked for. */
const LIST_BUDGET = 1_000;
/** Items of one query's page; 1 MB ends it sooner. */
const QUERY_PAGE = 250;
/** Characters of the events of one page: the answer of a Lambda function has 6 MB at most, and escapes every quote. */
const LARGEST_PAGE = 1_500_000;
/** Sorts after every id of an event. */
const ABOVE_ALL = 'evt_~';

/**
 * The part of a transaction that records an event, beside what it is the event of. It only ever adds: no event is
 * written over.
 */
export const putEvent = (event: Event, table: KeyTable) => ({
  Put: {
    TableName: table.tableName,
    Item: { ...eventItem(event, table.eventRetentionDays) },
    ConditionExpression: 'attribute_not_exists(#pk)',
    ExpressionAttributeNames: names('pk'),
  },
});

/** Records an event that goes with no change: somebody did something that leaves nothing else. */
export async function recordEvent(event: Event, table: KeyTable = environmentTable()): Promise<void> {
  const outcome = await transact(table, [putEvent(event, table)]);
  if (outcome instanceof ConditionFailed) throw new Error(`the event ${event.id} is there already`);
}

/** Which events, newest first. */
export interface EventQuery {
  /** All of one key or webhook endpoint, or all of an owner. */
  of: { subject_id: string } | { owner_id: string };
  /** Epoch milliseconds: the first that counts, and the first that no longer does. */
  from?: number | undefined;
  to?: number | undefined;
  filter?: ((event: Event) => boolean) | undefined;
  limit: number;
  /** The `last` of the page before. */
  after?: string | undefined;
  budget?: number;
}

/**
 * Events of a subject (read consistently) or of an owner (from an index, which follows with a delay). A page is full
 * if at most `budget` events had to be looked at for it, and if it does not become too large; else it is shorter, and
 * there is a `last` to go on from.
 *
 * @returns the events as they were recorded; `last` is absent when there is no more
 */
export async function listEvents(
  asked: EventQuery,
  table: KeyTable = environmentTable(),
): Promise<{ events: Event[]; last?: string }> {
  const { of, filter, limit, after, budget = LIST_BUDGET } = asked;
  const partition = 'owner_id' in of ? 'event_owner_id' : 'pk';
  const lowest = earliestEventId(Math.max(asked.from ?? 0, 0));
  let end = after ?? (asked.to === undefined ? ABOVE_ALL : earliestEventId(Math.max(asked.to, 0)));
  const events: Event[] = [];
  let bytes = 0;
  let left = budget;

  while (left > 0 && lowest < end) {
    const page = await query(table, {
      ...('owner_id' in of ? { IndexName: EVENTS_BY_OWNER } : { ConsistentRead: true }),
      KeyConditionExpression: `#${partition} = :partition AND #sk BETWEEN :lowest AND :end`,
      ExpressionAttributeNames: names(partition, 'sk'),
      ExpressionAttributeValues: {
        ':partition': 'owner_id' in of ? of.owner_id : trailOf(of.subject_id),
        ':lowest': lowest,
        ':end': end,
      },
      ScanIndexForward: false,
      // The one at the end may be read too, and does not count.
      Limit: Math.min(left, filter ? QUERY_PAGE : limit - events.length + 1) + 1,
    });
    for (const item of page.Items ?? []) {
      if (item['sk'] === end) continue;
      const text = String(item['event']);
      const event = JSON.parse(text) as Event;
      if (!filter || filter(event)) {
        // One more than fits was found: so there is a next page, and it begins with this one.
        if (events.length === limit || (events.length > 0 && bytes + text.length > LARGEST_PAGE))
          return { events, last: end };
        events.push(event);
        bytes += text.length;
      }
      end = event.id;
      left -= 1;
    }
    if (page.LastEvaluatedKey === undefined) return { events };
  }
  return left > 0 ? { events } : { events, last: end };
}
