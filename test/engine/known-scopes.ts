import { TransactWriteCommand } from '@aws-sdk/lib-dynamodb';
import { decideRegistration } from '../../lib/api-registration.ts';
import { writing } from '../../lib/api-table.ts';
import type { KeyTable } from '../../lib/table-client.ts';
import { NOW } from './keys.ts';

/** Registers an API that describes these scopes, so that keys of this table may have them. */
export async function knowScopes(table: KeyTable, ...scopes: string[]): Promise<void> {
  const declared = { routes: {}, stages: [], scopes: Object.fromEntries(scopes.map((name) => [name, name])) };
  const registrar = { source: 'request' as const, owner_id: 'tests', actor: 'system:tests' };
  const change = decideRegistration([], undefined, 'tests', declared, registrar, NOW);
  await table.client.send(new TransactWriteCommand({ TransactItems: [writing(change!, table)] }));
}
