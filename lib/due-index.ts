import { z } from 'zod';
import { Instant } from './api-key.schema.ts';
import { instant } from './instant.ts';
import { environmentTable, type KeyTable, names, queryAll } from './table-client.ts';
import { BY_DUE } from './table-layout.ts';

/** What the index by_due knows of an item: where it is, and since when it is due. */
export const DueItem = z.object({ pk: z.string(), sk: z.string(), next_action_at: Instant });
export type DueItem = z.infer<typeof DueItem>;

/** Items of one query's page: read in one call, and few enough to be still true when they are come to. */
const PAGE = 250;

/** What of a shard is due, the longest due first. @param now epoch milliseconds */
export const dueQuery = (shard: string, now: number) => ({
  IndexName: BY_DUE,
  KeyConditionExpression: '#due_shard = :shard AND #next_action_at <= :now',
  ExpressionAttributeNames: names('due_shard', 'next_action_at'),
  ExpressionAttributeValues: { ':shard': shard, ':now': instant(now) },
});

/**
 * Everything of a shard whose time has come, the longest due first. An index follows the table with a delay: what is
 * found here may have been done or moved already, so the item is read before anything is done.
 *
 * @param now epoch milliseconds
 * @param page items of one call; fewer for whoever wants the first few only
 */
export async function* dueItems(
  shard: string,
  now: number,
  table: KeyTable = environmentTable(),
  page = PAGE,
): AsyncGenerator<DueItem, void, undefined> {
  for await (const item of queryAll(table, { ...dueQuery(shard, now), Limit: page }))
    yield DueItem.parse(item);
}
