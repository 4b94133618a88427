import { PutCommand } from '@aws-sdk/lib-dynamodb';
import { z } from 'zod';
import { environmentTable, type KeyTable, names, readItem, scan, send } from './table-client.ts';
import { BY_OWNER } from './table-layout.ts';

/** Which limit of age the places of keys in the index by_due were made for. */
const Placement = z.object({
  /** null: none. */
  max_age_days: z.int().min(1).nullable(),
  /** How far the keys have been gone through for it; null: to the end. */
  after: z.record(z.string(), z.string()).nullable(),
});
export type Placement = z.infer<typeof Placement>;

const PLACE = { pk: 'heartbeats', sk: 'placement' };
/** Of the index: what a scan goes on from, and all that it sees. */
export const PLACED_FIELDS = ['pk', 'sk', 'owner_id', 'id'];

/** Where nobody has said anything, no limit was there. */
export async function getPlacement(table: KeyTable = environmentTable()): Promise<Placement> {
  const item = await readItem(table, PLACE);
  return item ? Placement.parse(item) : { max_age_days: null, after: null };
}

export async function putPlacement(
  placement: Placement,
  table: KeyTable = environmentTable(),
): Promise<void> {
  await send(table, new PutCommand({ TableName: table.tableName, Item: { ...PLACE, ...placement } }));
}

/** Every key there is, from an index: in no order that means anything, but always in the same. */
export async function* everyKey(
  after: Placement['after'],
  table: KeyTable,
): AsyncGenerator<Record<string, string>, void, undefined> {
  let from: Record<string, unknown> | undefined = after ?? undefined;
  do {
    const page = await scan(table, {
      IndexName: BY_OWNER,
      ProjectionExpression: PLACED_FIELDS.map((field) => `#${field}`).join(', '),
      ExpressionAttributeNames: names(...PLACED_FIELDS),
      ExclusiveStartKey: from,
    });
    yield* (page.Items ?? []) as Record<string, string>[];
    from = page.LastEvaluatedKey;
  } while (from);
}
