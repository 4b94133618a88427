import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BatchWriteCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { attributesOfKey } from '../../lib/key-item.ts';
import { newKey } from '../../lib/new-key.ts';
import { openTable } from '../../lib/table-client.ts';
import { askControl, invokeFunction } from './control.ts';
import { everyItem, forget, type RunningStack, sharedAssembly, startRunningStack } from './running-stack.ts';

const DAY = 86_400_000;
const KEYS = 80;
const NOTICES = [30, 14, 7, 3];
const SWEPT_WITHIN_MS = 100_000;
/** Of a sweep that is to do something and not all. */
const MOST_TRIES = 8;
/** In each sweep of this stack, and less than two answers take that never come. */
const SECONDS_FOR_KEYS = 5;

type Template = { Resources: Record<string, { Type: string; Properties: Record<string, unknown> }> };

const assembly = mkdtempSync(join(tmpdir(), 'rekey-assembly-'));
let stack: RunningStack;

/** A stack whose sweep has five seconds for its keys: it stops 30 s before its time-out. */
beforeAll(async () => {
  cpSync(sharedAssembly() ?? '', assembly, { recursive: true });
  const file = join(assembly, 'Rekey.template.json');
  const template = JSON.parse(readFileSync(file, 'utf8')) as Template;
  const [, sweep] = Object.entries(template.Resources).find(
    ([id, { Type }]) => Type === 'AWS::Lambda::Function' && id.startsWith('SweepKeys'),
  )!;
  sweep.Properties['Timeout'] = 30 + SECONDS_FOR_KEYS;
  writeFileSync(file, JSON.stringify(template));
  stack = await startRunningStack({ assembly });
});

afterAll(async () => {
  await stack?.stop();
  forget(assembly);
  if (stack) forget(stack.stateDir);
});

/** Keys of 90 days that ended yesterday, written past the API: four notices and an end are due of each. */
async function storeDueKeys(): Promise<void> {
  const table = openTable(stack.table, {
    endpoint: stack.dynamodb,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const made = Date.now() - 91 * DAY;
  const records = Array.from({ length: KEYS }, (): ApiKeyRecord => {
    const { record } = newKey(
      {
        owner_id: 'team',
        owner_access: 'own',
        name: 'n',
        environment: 'live',
        scopes: ['orders:read'],
        expires_at: new Date(made + 90 * DAY).toISOString(),
        metadata: {},
        notify_days_before: NOTICES,
        created_by: 'system:test',
      },
      made,
      { key_prefix: 'rk', retention_days: 90, notify_days_before: [14] },
    );
    return record;
  });
  for (let from = 0; from < KEYS; from += 25) {
    const Item = (record: ApiKeyRecord) => ({ pk: record.id, sk: 'api_key', ...attributesOfKey(record) });
    const puts = records.slice(from, from + 25).map((record) => ({ PutRequest: { Item: Item(record) } }));
    await table.client.send(new BatchWriteCommand({ RequestItems: { [stack.table]: puts } }));
  }
  table.client.destroy();
}

const told = async (): Promise<string[]> =>
  ((await everyItem(stack)) as Record<string, { S: string }>[])
    .filter(({ pk, event }) => pk?.S.startsWith('events_') && event?.S.includes('"system:sweep-keys"'))
    .map(({ pk, event }) => {
      const { type, data } = JSON.parse(event!.S);
      return `${pk!.S} ${type} ${data.notify_days_before ?? ''}`;
    });

const control = (method: string, path: string, body?: unknown) => askControl(stack, method, path, body);

it('a sweep that runs out of time is followed by others until all is done, each thing once', async () => {
  const sweep = async (): Promise<{ events: number; finished: boolean }> =>
    (await invokeFunction(stack, 'SweepKeys')).payload;
  /** The answers to its second query and to the one after that are lost, each for three seconds: its time is over. */
  const slowSweep = async (): Promise<{ events: number; finished: boolean }> => {
    await control('DELETE', '/faults');
    for (const nth of [2, 4])
      await control('POST', '/faults', {
        function: 'sweep-keys',
        call: 'dynamodb:Query',
        nth,
        fault: 'timeout',
      });
    return sweep();
  };
  await storeDueKeys();
  let keys = KEYS;
  let first = await slowSweep();
  for (let tries = 1; first.finished !== false || !(first.events > 0); tries++) {
    expect(tries).toBeLessThan(MOST_TRIES);
    // On a busy machine the time can be over before anything is done, and then the sweep asks for no other: it fails,
    // or has no events to tell of. On a quick one the rest can be done in the time between the two lost answers.
    if (first.finished) {
      await storeDueKeys();
      keys += KEYS;
    }
    first = await slowSweep();
  }
  await control('DELETE', '/faults');

  const all = keys * (NOTICES.length + 1);
  const deadline = Date.now() + SWEPT_WITHIN_MS;
  let before = 0;
  let idle = 0;
  while (before < all && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const now = (await told()).length;
    idle = now === before ? idle + 1 : 0;
    before = now;
    // One that got nothing done on a busy machine leaves it to the schedule, which is an hour away.
    if (idle === 15 && now > 0) await sweep();
  }
  expect(before).toBe(all);
  const events = await told();
  expect(events).toHaveLength(all);
  expect(new Set(events).size).toBe(all);
});
