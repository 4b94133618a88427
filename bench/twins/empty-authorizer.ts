/** The physical limit of a cold start with a table: nothing is checked, and one item is read. */
import { parseKey } from '../../lib/key-format.ts';
import { policyFor } from '../../lib/policy.ts';
import { bareGetItem } from './bare-get-item.ts';

export const handler = async (event: { methodArn: string; multiValueHeaders: Record<string, string[]> }) => {
  const id = parseKey(event.multiValueHeaders['x-api-key']?.[0] ?? '', 'rk')?.id ?? '';
  const { Item } = await bareGetItem({
    TableName: process.env['REKEY_TABLE_NAME'],
    Key: { pk: { S: id }, sk: { S: 'api_key' } },
    ConsistentRead: true,
  });
  if (!Item) throw new Error('Unauthorized');
  return { principalId: id, policyDocument: policyFor('Allow', event.methodArn) };
};
