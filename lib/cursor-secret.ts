import { randomBytes } from 'node:crypto';
import { PutCommand } from '@aws-sdk/lib-dynamodb';
import { environmentTable, type KeyTable, names, readItem, send } from './table-client.ts';
import { SORT_KEY } from './table-layout.ts';

const PLACE = { pk: 'secret_cursor', sk: SORT_KEY.secret };
const BYTES = 32;

const remembered = new WeakMap<KeyTable, Promise<Uint8Array>>();

/**
 * The secret that signs cursors: 32 random bytes, made once in the life of a table by whoever needs it first, and
 * read once in a process.
 */
export function cursorSecret(table: KeyTable = environmentTable()): Promise<Uint8Array> {
  const known = remembered.get(table);
  if (known) return known;
  const reading = readOrMake(table);
  remembered.set(table, reading);
  // A failure is not remembered: the next request reads again.
  reading.catch(() => remembered.delete(table));
  return reading;
}

async function readOrMake(table: KeyTable): Promise<Uint8Array> {
  const stored = await readSecret(table);
  if (stored) return stored;
  const value = randomBytes(BYTES).toString('base64url');
  await send(
    table,
    new PutCommand({
      TableName: table.tableName,
      Item: { ...PLACE, value },
      ConditionExpression: 'attribute_not_exists(#pk)',
      ExpressionAttributeNames: names('pk'),
    }),
  );
  // Whether this put or another's came first, or this one came twice: what lies there is the secret.
  const made = await readSecret(table);
  if (!made) throw new Error('the cursor secret was written and is not there');
  return made;
}

async function readSecret(table: KeyTable): Promise<Uint8Array | undefined> {
  const item = await readItem(table, PLACE);
  if (item === undefined) return undefined;
  const bytes = Buffer.from(String(item['value']), 'base64url');
  if (bytes.length !== BYTES) throw new Error('the cursor secret in the table is damaged');
  return bytes;
}
