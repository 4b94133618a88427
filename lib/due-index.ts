import { z } from 'zod';
import { Instant } from './api-key.schema.ts';
import { environmentTable, type KeyTable, names, query } from './table-client.ts';
import { BY_DUE } from './table-layout.ts';

/** What the index by_due knows of an item: where it is, and since when it is due. */
export const DueItem = z.object({ pk: z.string(), sk: z.string(), next_action_at: Instant });
export type DueItem = z.infer<typeof DueItem>;

/** Items of one query's page: read in one call, and few enough to be still true when they are come to. */
const PAGE = 250;

/**
 * Everything of a shard whose time has come, the longest due first. An index follows the table with a delay: what is
 * found here may have been done or moved already, so the item is read before anything is done.
 *
 * @param now epoch milliseconds
 */
export async function* dueItems(
  shard: string,
  now: number,
  table: KeyTable = environmentTable(),
): AsyncGenerator<DueItem, void, undefined> {
  let after: Record<string, unknown> | undefined;
  do {
    const page = await query(table, {
      IndexName: BY_DUE,
      KeyConditionExpression: '#due_shard = :shard AND #next_action_at <= :now',
      ExpressionAttributeNames: names('due_shard', 'next_action_at'),
      ExpressionAttributeValues: { ':shard': shard, ':now': new Date(now).toISOString() },
      Limit: PAGE,
      ...(after && { ExclusiveStartKey: after }),
    });
    for (const item of page.Items ?? []) yield DueItem.parse(item);
    after = page.LastEvaluatedKey;
  } while (after);
}
