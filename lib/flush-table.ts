import { UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { FlushState } from './flush-state.ts';
import type { Stage } from './stage.ts';
import { ConditionFailed, changing, type KeyTable, names, readItem, send } from './table-client.ts';

type StageName = Pick<Stage, 'api_id' | 'stage'>;

const placeOf = ({ api_id, stage }: StageName) => ({ pk: 'flushes', sk: `${api_id}/${stage}` });
const NOTHING_KNOWN = FlushState.parse({});

/** What is known of the flushes of a stage, read consistently. */
export async function readFlushState(stage: StageName, table: KeyTable): Promise<FlushState> {
  return FlushState.parse((await readItem(table, placeOf(stage))) ?? NOTHING_KNOWN);
}

/** Writes what is new, if all is still as it was seen. @returns whether it was */
export async function changeFlushState(
  stage: StageName,
  seen: FlushState,
  changes: Partial<FlushState>,
  table: KeyTable,
): Promise<boolean> {
  const { expression, values } = changing(changes);
  const unchanged = (['flushed_at', 'next_flush_at'] as const).map((name) =>
    seen[name] === null
      ? `(attribute_not_exists(#${name}) OR attribute_type(#${name}, :null))`
      : `#${name} = :${name}_seen`,
  );
  const seenValues = Object.entries(seen).flatMap(([name, value]) =>
    value === null ? [] : [[`:${name}_seen`, value]],
  );
  const outcome = await send(
    table,
    new UpdateCommand({
      TableName: table.tableName,
      Key: placeOf(stage),
      UpdateExpression: expression,
      ConditionExpression: unchanged.join(' AND '),
      ExpressionAttributeNames: names('flushed_at', 'next_flush_at'),
      ExpressionAttributeValues: {
        ...values,
        ...Object.fromEntries(seenValues),
        ...(seenValues.length < unchanged.length && { ':null': 'NULL' }),
      },
    }),
  );
  return !(outcome instanceof ConditionFailed);
}
