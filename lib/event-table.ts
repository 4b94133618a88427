import type { Event } from './event.schema.ts';
import { eventItem } from './event-item.ts';
import { type KeyTable, names } from './table-client.ts';

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
