/**
 * What a sweep costs, on a DynamoDB engine of its own and by the capacity that the engine says was consumed:
 * 100 keys that are due among 100,000, beside a scan of the same table; and a backlog of 50,000 due keys, worked off
 * by one sweep after the other, each with the time that it has on Lambda.
 *
 * `npm run bench:sweep`; with other numbers `npm run bench:sweep -- <keys> <due> <backlog>`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { BatchWriteCommand, ScanCommand } from '@aws-sdk/lib-dynamodb';
import { keyEvent, newEventId, systemOrigin } from '../lib/event.ts';
import { eventItem } from '../lib/event-item.ts';
import { newKey } from '../lib/new-key.ts';
import { sweepKeys } from '../lib/sweep.ts';
import { type KeyTable, openTable, present } from '../lib/table-client.ts';
import { SORT_KEY } from '../lib/table-layout.ts';
import { startEngine } from '../local/dynamodb/engine.ts';
import { type Consumed, countConsumed } from '../test/engine/consumed.ts';
import { makeTable } from '../test/engine/new-table.ts';

const [KEYS = 100_000, DUE = 100, BACKLOG = 50_000] = process.argv.slice(2).map(Number);
/** Milliseconds in which a sweep begins keys: the function's time-out less its reserve. */
const SWEEP_MS = 270_000;
const DAY = 86_400_000;
const MADE = Date.parse('2026-11-24T10:00:00.000Z');
const settings = { notify_days_before: [14], retention_days: 90 };
const origin = systemOrigin('bench', MADE);

const whole = (value: number): string => Math.round(value).toLocaleString('en');
const total = (consumed: Consumed, ...operations: string[]): number =>
  operations.reduce((sum, operation) => sum + (consumed[operation] ?? 0), 0);

/** A key as it lies in the table after it was made, and the event of that. */
function itemsOf(number: number, lifeDays: number): Record<string, unknown>[] {
  const { record } = newKey(
    {
      owner_id: `team-${number % 500}`,
      owner_access: 'own',
      name: `Worker ${number}`,
      environment: 'live',
      scopes: ['orders:read', 'orders:write'],
      expires_at: new Date(MADE + lifeDays * DAY).toISOString(),
      metadata: { ticket: `OPS-${number}` },
      notify_days_before: null,
      created_by: 'key_0000000000000000000001',
    },
    MADE,
    { key_prefix: 'rk', ...settings },
  );
  const event = keyEvent('api_key.created', record, origin, { id: newEventId(MADE) });
  return [present({ pk: record.id, sk: SORT_KEY.apiKey, ...record }), { ...eventItem(event, 400) }];
}

async function fill(table: KeyTable, count: number, lifeDays: number): Promise<void> {
  let made = 0;
  const write = async (): Promise<void> => {
    while (made < count) {
      const from = made;
      made = Math.min(count, made + 12);
      const items = Array.from({ length: made - from }, (_, i) => itemsOf(from + i, lifeDays)).flat();
      const RequestItems = { [table.tableName]: items.map((Item) => ({ PutRequest: { Item } })) };
      const { UnprocessedItems } = await table.client.send(new BatchWriteCommand({ RequestItems }));
      if (Object.keys(UnprocessedItems ?? {}).length > 0) throw new Error('the engine left items out');
    }
  };
  await Promise.all(Array.from({ length: 8 }, write));
}

async function scan(table: KeyTable): Promise<void> {
  let from: Record<string, unknown> | undefined;
  do {
    const command = new ScanCommand({ TableName: table.tableName, ExclusiveStartKey: from });
    from = (await table.client.send(command)).LastEvaluatedKey;
  } while (from);
}

const stateDir = await mkdtemp(join(tmpdir(), 'rekey-bench-'));
const engine = await startEngine({ stateDir, fresh: true, log: () => undefined });
const config = {
  endpoint: engine.endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
  requestHandler: { requestTimeout: 20_000, throwOnRequestTimeout: true, httpAgent: { maxSockets: 100 } },
};
const maker = new DynamoDBClient(config);
const newTable = async (name: string): Promise<KeyTable> => {
  await makeTable(maker, name);
  return openTable(name, config);
};

try {
  console.log(`1. ${whole(DUE)} due among ${whole(KEYS)} keys, each with the event of its creation\n`);
  const table = await newTable('few-due');
  await fill(table, KEYS - DUE, 365);
  await fill(table, DUE, 90);
  const consumed = countConsumed(table);
  const result = await sweepKeys({ hasTime: () => true, now: () => MADE + 76 * DAY }, settings, table);
  const swept = consumed();
  if (result.events !== DUE) throw new Error(`${result.events} events instead of ${DUE}`);
  await scan(table);
  const scanned = total(consumed(), 'Scan');
  const read = total(swept, 'Query', 'GetItem');
  console.log(`   sweep, to find and read what is due   ${whole(read).padStart(8)} units`);
  console.log(
    `   sweep, to write it and its events     ${whole(total(swept, 'TransactWriteItems')).padStart(8)} units`,
  );
  console.log(`   scan, to find the same                ${whole(scanned).padStart(8)} units`);
  console.log(`   the sweep reads ${((100 * read) / scanned).toFixed(2)} % of what the scan does\n`);
  if (read >= scanned / 100) throw new Error('the sweep reads 1 % of a scan or more');

  console.log(`2. a backlog of ${whole(BACKLOG)} due keys\n`);
  const backlog = await newTable('backlog');
  await fill(backlog, BACKLOG, 90);
  const started = performance.now();
  for (let keys = 0, sweeps = 1; ; sweeps++) {
    const until = performance.now() + SWEEP_MS;
    const one = await sweepKeys(
      { hasTime: () => performance.now() < until, now: () => MADE + 76 * DAY },
      settings,
      backlog,
    );
    keys += one.events;
    const seconds = (performance.now() - started) / 1000;
    if (one.events === 0) throw new Error('a sweep got nothing done');
    console.log(
      `   sweep ${sweeps}: ${whole(keys)} keys in ${whole(seconds)} s, ${whole(keys / seconds)} a second${one.failed ? `, ${whole(one.failed)} left to the next` : ''}${one.finished ? '' : '; goes on'}`,
    );
    // What the engine did not answer in time on a busy machine is what the next sweep finds.
    if (one.finished && one.failed === 0) {
      if (keys !== BACKLOG) throw new Error(`${keys} events instead of ${BACKLOG}`);
      break;
    }
  }
} finally {
  maker.destroy();
  await engine.close();
  await rm(stateDir, { recursive: true, force: true });
}
