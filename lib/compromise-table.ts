import { DeleteCommand, PutCommand } from '@aws-sdk/lib-dynamodb';
import { z } from 'zod';
import { Instant, KeyId } from './api-key.schema.ts';
import type { Line } from './compromise.ts';
import { dueItems } from './due-index.ts';
import type { Origin } from './event.ts';
import { newId } from './key-format.ts';
import { environmentTable, type KeyTable, names, readItem, send } from './table-client.ts';
import { SORT_KEY } from './table-layout.ts';

export const COMPROMISE_SHARD = 'compromise_0';
/** The request does it all by itself, unless it ends before. Only then somebody else goes on. */
const LEFT_TO_THE_REQUEST_MS = 30_000;

/** A line that is to be revoked whole, from before the first key is until after the last one has been. */
export const CompromiseRecord = z.object({
  id: z.string(),
  scope: z.enum(['key', 'subtree', 'family']),
  key_id: KeyId,
  root_key_id: KeyId,
  from_generation: z.int().min(0).nullable(),
  reason: z.string(),
  started_at: Instant,
  /** Who asked, and from where: the events of all the keys say so, whoever revokes them. */
  actor: z.string(),
  request_id: z.string().nullable(),
  source_ip: z.string().nullable(),
  user_agent: z.string().nullable(),
});
export type CompromiseRecord = z.infer<typeof CompromiseRecord>;

const placeOf = (id: string) => ({ pk: id, sk: SORT_KEY.compromise });

/** Notes what is going to be done, before anything of it is: whoever crashes on the way leaves it to be found. */
export async function beginCompromise(
  line: Line,
  reason: string,
  { now, ...who }: Origin,
  table: KeyTable = environmentTable(),
): Promise<CompromiseRecord> {
  const id = newId('compromise_', now);
  const record: CompromiseRecord = { id, ...line, reason, started_at: new Date(now).toISOString(), ...who };
  const due = {
    due_shard: COMPROMISE_SHARD,
    next_action_at: new Date(now + LEFT_TO_THE_REQUEST_MS).toISOString(),
  };
  await send(
    table,
    new PutCommand({
      TableName: table.tableName,
      // The id alone is the key: `id` with `root_key_id` must not bring it into an index of keys.
      Item: { ...placeOf(id), compromise: record, ...due },
      ConditionExpression: 'attribute_not_exists(#pk)',
      ExpressionAttributeNames: names('pk'),
    }),
  );
  return record;
}

/** What is begun and not finished, read consistently. */
export async function getCompromise(
  id: string,
  table: KeyTable = environmentTable(),
): Promise<CompromiseRecord | undefined> {
  const item = await readItem(table, placeOf(id));
  return item === undefined ? undefined : CompromiseRecord.parse(item['compromise']);
}

/** Everything that has been left to others, the longest first. */
export const dueCompromises = (now: number, table: KeyTable = environmentTable()) =>
  dueItems(COMPROMISE_SHARD, now, table);

/** It is all done. What was done stands in the trails of the keys. */
export async function endCompromise(id: string, table: KeyTable = environmentTable()): Promise<void> {
  await send(table, new DeleteCommand({ TableName: table.tableName, Key: placeOf(id) }));
}
