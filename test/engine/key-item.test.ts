import { PutCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { authorize } from '../../lib/authorizer.ts';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import { createKeyReader } from '../../lib/key-reader.ts';
import { getKey, lineage, listByOwner, rotateKey, updateKey } from '../../lib/key-table.ts';
import { createRouteReader } from '../../lib/route-reader.ts';
import { routesHash } from '../../lib/routes.ts';
import { countHolders } from '../../lib/scope-holders.ts';
import { API_ID, authorizerEvent } from '../lib/authorizer-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { awsEnvironment } from './environment.ts';
import { by, everything, NOW, rotating, storeKey } from './keys.ts';

const ROUTES = { 'GET /orders': ['orders:read'] };

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
  await put({ pk: `routes_${API_ID}`, sk: routesHash(ROUTES), routes: JSON.stringify(ROUTES) });
});
afterAll(() => engine?.close());

const put = (Item: Record<string, unknown>) =>
  engine.table.client.send(new PutCommand({ TableName: engine.table.tableName, Item }));
const itemAt = async (id: string) =>
  (await everything(engine.table)).find(({ pk, sk }) => pk === id && sk === 'api_key')!;

/** A key as a version before stored it. */
async function listedKey(facts: Partial<ApiKeyRecord> = {}) {
  const { text, record } = await storeKey(engine.table, facts);
  await put({ ...(await itemAt(record.id)), scopes: record.scopes });
  return { text, record };
}

const ask = (text: string) => {
  const table = engine.table.tableName;
  const call = createDynamoDbCall(awsEnvironment(engine.endpoint));
  const event = authorizerEvent({ headers: { 'x-api-key': [text] }, routesHash: routesHash(ROUTES) });
  return authorize(event, {
    reader: createKeyReader({ table, call, eventRetentionDays: 400, retentionDays: 90 }),
    readRoutes: createRouteReader({ table, call }),
    now: () => NOW + 1_000,
    prefix: 'rk',
    misuseSettings: { late_use_minutes: 60 },
    service: 'Rekey',
    log: () => {},
    sampled: () => true,
  });
};

describe('the scopes of a key', () => {
  it('lie in the table as one text, whoever wrote them', async () => {
    const { record } = await storeKey(engine.table);
    expect((await itemAt(record.id))['scopes']).toBe('orders:read orders:write');
    await updateKey(record, () => ({ scopes: ['orders:*', 'orders:read'] }), by(), engine.table);
    expect((await itemAt(record.id))['scopes']).toBe('orders:* orders:read');
    expect((await getKey(record.id, engine.table))?.scopes).toEqual(['orders:*', 'orders:read']);
  });

  it('come back as they were when there are as many and as long ones as there can be', async () => {
    const part = (n: number) => String(n).padStart(63, 'x');
    const scopes = Array.from({ length: 100 }, (_, n) => `${part(n)}:${part(n)}`);
    const { record } = await storeKey(engine.table, { scopes });
    expect(await getKey(record.id, engine.table)).toEqual(record);
    // DynamoDB takes 400 KB. A hundred scopes are 12.8 KB of it.
    expect(JSON.stringify(await itemAt(record.id)).length).toBeLessThan(20_000);
  });

  it.each(['', 'orders:read ', 'orders:read  orders:write', 'orders'])(
    'are no scopes when the text is %j',
    async (scopes) => {
      const { text, record } = await storeKey(engine.table);
      const whole = await itemAt(record.id);
      await put({ ...whole, scopes });
      await expect(getKey(record.id, engine.table)).rejects.toThrow('scopes');
      await expect(ask(text)).rejects.toThrow('could not decide');
      await put(whole);
    },
  );
});

describe('a key whose scopes a version before stored as a list', () => {
  it('is let in, and its first use tells of them as of others', async () => {
    const { text, record } = await listedKey();
    expect(await ask(text)).toMatchObject({
      policyDocument: { Statement: [{ Effect: 'Allow' }] },
      context: { scopes: 'orders:read orders:write' },
    });
    const [told] = (await everything(engine.table)).filter(
      ({ pk, event_type }) => pk === `events_${record.id}` && event_type === 'api_key.first_used',
    );
    const { data } = JSON.parse(String(told?.['event']));
    expect(data.api_key.scopes).toEqual(['orders:read', 'orders:write']);
  });

  it('is read, listed and counted', async () => {
    const { record } = await listedKey({ owner_id: 'team-of-before', scopes: ['listed:read', 'others:*'] });
    expect(await getKey(record.id, engine.table)).toEqual(record);
    const { keys } = await listByOwner({ owner_id: 'team-of-before', limit: 10 }, engine.table);
    expect(keys.map(({ scopes }) => scopes)).toEqual([record.scopes]);
    const line = await lineage({ root_key_id: record.id, limit: 10 }, engine.table);
    expect(line.keys.map(({ scopes }) => scopes)).toEqual([record.scopes]);
    const { holders } = await countHolders(['listed:read', 'others:write'], NOW + 1_000, engine.table);
    expect(holders).toEqual([
      { scope: 'listed:read', active_keys: 1, active_keys_by_wildcard: 0 },
      { scope: 'others:write', active_keys: 0, active_keys_by_wildcard: 1 },
    ]);
  });

  it('keeps its list while something else of it changes, and has a text once they do', async () => {
    const { record } = await listedKey();
    const renamed = await updateKey(record, () => ({ name: 'Renamed' }), by(), engine.table);
    expect(await itemAt(record.id)).toMatchObject({ name: 'Renamed', scopes: record.scopes });
    const narrowed = await updateKey(renamed, () => ({ scopes: ['orders:read'] }), by(), engine.table);
    expect((await itemAt(record.id))['scopes']).toBe('orders:read');
    expect(await getKey(record.id, engine.table)).toEqual(narrowed);
  });

  it('is rotated: its successor has the same scopes, as a text', async () => {
    const { record } = await listedKey();
    const rotated = await rotateKey(record, rotating(), by(), undefined, engine.table);
    if (rotated === 'taken') throw new Error('taken');
    expect(rotated.successor.scopes).toEqual(record.scopes);
    expect((await itemAt(rotated.successor.id))['scopes']).toBe('orders:read orders:write');
    expect((await itemAt(record.id))['scopes']).toEqual(record.scopes);
  });
});
