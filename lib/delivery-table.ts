import { PutCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { DeliveryRecord } from './delivery.schema.ts';
import type { DeliveryChanges } from './delivery.ts';
import { dueQuery } from './due-index.ts';
import {
  ConditionFailed,
  changing,
  environmentTable,
  type KeyTable,
  names,
  present,
  query,
  readItem,
  send,
} from './table-client.ts';

const PREFIX = 'deliveries_';
/** Not the event's id alone: what begins like one is an event, to whoever reads the table's stream. */
const SORT_PREFIX = 'delivery_';
/** Deliveries that one page may look at to find those that were asked for. */
const LIST_BUDGET = 1_000;
const QUERY_PAGE = 250;

/** Which delivery: its endpoint, and the event. */
export interface DeliveryKey {
  webhook_endpoint_id: string;
  id: string;
}

const placeOf = ({ webhook_endpoint_id, id }: DeliveryKey) => ({
  pk: PREFIX + webhook_endpoint_id,
  sk: SORT_PREFIX + id,
});
const eventIdIn = (item: Record<string, unknown>): string => String(item['sk']).slice(SORT_PREFIX.length);
const recordOf = (item: Record<string, unknown>): DeliveryRecord =>
  DeliveryRecord.parse({ ...item, id: eventIdIn(item) });

/** The delivery, read consistently. */
export async function getDelivery(
  key: DeliveryKey,
  table: KeyTable = environmentTable(),
): Promise<DeliveryRecord | undefined> {
  const item = await readItem(table, placeOf(key));
  return item && recordOf(item);
}

/** Stores a delivery, unless there is one of this event to this endpoint already. */
export async function putDelivery(
  record: DeliveryRecord,
  table: KeyTable = environmentTable(),
): Promise<'stored' | 'already'> {
  const { id: _id, ...fields } = record;
  const outcome = await send(
    table,
    new PutCommand({
      TableName: table.tableName,
      Item: present({ ...placeOf(record), ...fields }),
      ConditionExpression: 'attribute_not_exists(#pk)',
      ExpressionAttributeNames: names('pk'),
    }),
  );
  return outcome instanceof ConditionFailed ? 'already' : 'stored';
}

/**
 * Writes what was decided from a record, if nothing else was written since.
 *
 * @returns the record as written; undefined when somebody else's write came first
 */
export async function changeDelivery(
  record: DeliveryRecord,
  decided: DeliveryChanges,
  table: KeyTable = environmentTable(),
): Promise<DeliveryRecord | undefined> {
  const changes = { ...decided, version: record.version + 1 };
  const { expression, values } = changing(changes);
  const outcome = await send(
    table,
    new UpdateCommand({
      TableName: table.tableName,
      Key: placeOf(record),
      UpdateExpression: expression,
      ConditionExpression: 'attribute_exists(#pk) AND #version = :version',
      ExpressionAttributeNames: names('pk', ...Object.keys(changes)),
      ExpressionAttributeValues: { ...values, ':version': record.version },
    }),
  );
  if (!(outcome instanceof ConditionFailed)) return { ...record, ...changes };
  // An answer was lost, and the write was ours: nobody else writes the same attempt.
  const stored = await getDelivery(record, table);
  return stored && sameDecision(stored, { ...record, ...changes }) ? stored : undefined;
}

const sameDecision = (a: DeliveryRecord, b: DeliveryRecord): boolean =>
  JSON.stringify(DeliveryRecord.parse(a)) === JSON.stringify(DeliveryRecord.parse(b));

/**
 * Deliveries to an endpoint. A filtered page is filled within a bounded read, so it can be short and have a `last` to
 * go on from.
 *
 * @param request `after`: the `last` of the page before
 */
export async function listDeliveries(
  request: {
    webhook_endpoint_id: string;
    filter?: (delivery: DeliveryRecord) => boolean;
    order: 'newest_first' | 'oldest_first';
    limit: number;
    after?: string | undefined;
  },
  table: KeyTable = environmentTable(),
): Promise<{ deliveries: DeliveryRecord[]; last?: string }> {
  const { webhook_endpoint_id, filter, order, limit, after } = request;
  const beyond = order === 'newest_first' ? '<' : '>';
  const deliveries: DeliveryRecord[] = [];
  let last = after;
  for (let left = LIST_BUDGET; left > 0; ) {
    const page = await query(table, {
      KeyConditionExpression: last === undefined ? '#pk = :pk' : `#pk = :pk AND #sk ${beyond} :last`,
      ExpressionAttributeNames: names('pk', ...(last === undefined ? [] : ['sk'])),
      ExpressionAttributeValues: {
        ':pk': PREFIX + webhook_endpoint_id,
        ...(last !== undefined && { ':last': SORT_PREFIX + last }),
      },
      ConsistentRead: true,
      ScanIndexForward: order === 'oldest_first',
      Limit: Math.min(left, filter ? QUERY_PAGE : limit + 1 - deliveries.length),
    });
    for (const item of page.Items ?? []) {
      const delivery = recordOf(item);
      if (!filter || filter(delivery)) {
        // One more than asked for was found: so there is a next page, and it begins with this one.
        if (deliveries.length === limit) return { deliveries, last: last! };
        deliveries.push(delivery);
      }
      last = delivery.id;
      left -= 1;
    }
    if (page.LastEvaluatedKey === undefined) return { deliveries };
  }
  return { deliveries, ...(last !== undefined && { last }) };
}

/** A delivery in the due index, which has no more of it. */
export interface DueDelivery extends DeliveryKey {
  next_action_at: string;
}

/** Deliveries of one shard that are due, the longest due first; one page of at most `limit`. */
export async function dueDeliveries(
  shard: string,
  now: number,
  limit: number,
  table: KeyTable = environmentTable(),
): Promise<DueDelivery[]> {
  const page = await query(table, {
    ...dueQuery(shard, now),
    Limit: limit,
  });
  return (page.Items ?? []).map((item) => ({
    webhook_endpoint_id: String(item['pk']).slice(PREFIX.length),
    id: eventIdIn(item),
    next_action_at: String(item['next_action_at']),
  }));
}

/**
 * Puts off when the due index asks again, while a message is under way. It leaves `version` alone: an attempt that is
 * being made does not care.
 *
 * @returns whether it did; not, when the delivery has moved on or another sweep came first
 */
export async function postpone(
  due: DueDelivery,
  next_action_at: string,
  table: KeyTable = environmentTable(),
): Promise<boolean> {
  const outcome = await send(
    table,
    new UpdateCommand({
      TableName: table.tableName,
      Key: placeOf(due),
      UpdateExpression: 'SET #next_action_at = :next',
      ConditionExpression: '#next_action_at = :seen',
      ExpressionAttributeNames: names('next_action_at'),
      ExpressionAttributeValues: { ':seen': due.next_action_at, ':next': next_action_at },
    }),
  );
  return !(outcome instanceof ConditionFailed);
}
