import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb';
import { jest } from '@jest/globals';
import { type KeyTable, openTable } from '../../lib/table-client.ts';
import { startEngine as startDynamoDb } from '../../local/dynamodb/engine.ts';
import { makeTable } from './new-table.ts';

/** Hundreds of writes are done in a second or two, but not on a machine that has other work. */
jest.setTimeout(60_000);

/** A DynamoDB engine of its own with the table and all its indexes. */
export interface Engine {
  endpoint: string;
  table: KeyTable;
  /** The same table through a client of its own, with other settings or another endpoint. */
  open(config?: DynamoDBClientConfig): KeyTable;
  close(): Promise<void>;
}

/** Any will do: the engine asks for some and looks at none. */
export const CREDENTIALS: DynamoDBClientConfig = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'engine', secretAccessKey: 'engine' },
};

/** Hundreds of requests at the same time share two cores here: longer time limits and as many sockets. */
const PATIENT: DynamoDBClientConfig = {
  ...CREDENTIALS,
  requestHandler: { requestTimeout: 20_000, throwOnRequestTimeout: true, httpAgent: { maxSockets: 400 } },
};

/** Starts an engine, or takes the one named in `REKEY_DYNAMODB_ENDPOINT`, and makes a new table in it. */
export async function startEngine(): Promise<Engine> {
  const stateDir = await mkdtemp(join(tmpdir(), 'rekey-engine-'));
  const { endpoint, close } = await startDynamoDb({ stateDir, fresh: true, log: () => undefined });
  const tableName = `keys-${process.pid}-${Date.now()}`;
  const clients: { destroy(): void }[] = [];

  const maker = new DynamoDBClient({ ...PATIENT, endpoint });
  await makeTable(maker, tableName);
  maker.destroy();

  const open = (config: DynamoDBClientConfig = {}): KeyTable => {
    const table = openTable(tableName, { ...PATIENT, endpoint, ...config });
    clients.push(table.client);
    return table;
  };
  return {
    endpoint,
    table: open(),
    open,
    async close() {
      for (const client of clients) client.destroy();
      await close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
