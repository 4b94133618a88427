import { GetCommand, PutCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { authorize } from '../../lib/authorizer.ts';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import { attributesOfKey } from '../../lib/key-item.ts';
import { createKeyReader } from '../../lib/key-reader.ts';
import { getKey, updateKey } from '../../lib/key-table.ts';
import { createRouteReader } from '../../lib/route-reader.ts';
import { routesHash } from '../../lib/routes.ts';
import { API_ID, authorizerEvent } from '../lib/authorizer-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { awsEnvironment } from './environment.ts';
import { aKey, by } from './keys.ts';

const ROUTES = { 'GET /orders': ['orders:read'], 'POST /orders': ['orders:write'] };
const HASH = routesHash(ROUTES);
const AT = '2026-11-24T12:00:00.000Z';

let engine: Engine;
let table: string;
let call: ReturnType<typeof createDynamoDbCall>;

beforeAll(async () => {
  engine = await startEngine();
  table = engine.table.tableName;
  call = createDynamoDbCall(awsEnvironment(engine.endpoint));
  await engine.table.client.send(
    new PutCommand({
      TableName: table,
      Item: { pk: `routes_${API_ID}`, sk: HASH, routes: JSON.stringify(ROUTES) },
    }),
  );
}, 30_000);

afterAll(() => engine?.close());

/** A new key in the table, as the SDK writes it. */
const storedKey = async () => {
  const id = newKeyId(Date.now());
  const { key, digest } = mintKey({ prefix: 'rk', environment: 'live', id });
  const expires_at = new Date(Date.now() + 60_000).toISOString();
  const record: ApiKeyRecord = aKey({ id, digest, expires_at, scopes: ['orders:read'] });
  await engine.table.client.send(
    new PutCommand({ TableName: table, Item: { pk: id, sk: 'api_key', ...attributesOfKey(record) } }),
  );
  return { id, text: key.reveal(), record };
};

const change = (id: string, name: string, value: unknown) =>
  engine.table.client.send(
    new UpdateCommand({
      TableName: table,
      Key: { pk: id, sk: 'api_key' },
      UpdateExpression: 'SET #name = :value',
      ExpressionAttributeNames: { '#name': name },
      ExpressionAttributeValues: { ':value': value },
    }),
  );

const itemAt = async (id: string) =>
  (
    await engine.table.client.send(
      new GetCommand({ TableName: table, Key: { pk: id, sk: 'api_key' }, ConsistentRead: true }),
    )
  ).Item;

const reader = () => createKeyReader({ table, call, eventRetentionDays: 400, retentionDays: 90 });

const ask = (text: string, method = 'GET') =>
  authorize(authorizerEvent({ method, headers: { 'x-api-key': [text] }, routesHash: HASH }), {
    reader: reader(),
    readRoutes: createRouteReader({ table, call }),
    now: Date.now,
    prefix: 'rk',
    misuseSettings: { late_use_minutes: 60 },
    service: 'Rekey',
    log: () => {},
    sampled: () => true,
  });

describe('the key reader on a real table', () => {
  it('reads what the SDK wrote', async () => {
    const { id, record } = await storedKey();
    expect(await reader().getKey(id)).toEqual({
      id,
      owner_id: record.owner_id,
      pending_until: null,
      owner_access: record.owner_access,
      environment: record.environment,
      scopes: record.scopes,
      expires_at: record.expires_at,
      rotated_at: null,
      revoked_at: null,
      first_used_at: null,
      last_used_at: null,
      digest: record.digest,
      honey: false,
      told_at: undefined,
    });
  });

  it('finds no key that is not there', async () => {
    expect(await reader().getKey(newKeyId(Date.now()))).toBeUndefined();
  });

  it('notes the first use and changes nothing else', async () => {
    const { id, record } = await storedKey();
    expect(await reader().markFirstUse(id, record.digest, by(Date.parse(AT)))).toBe(true);
    expect(await itemAt(id)).toEqual({
      ...{ pk: id, sk: 'api_key', ...attributesOfKey(record) },
      first_used_at: AT,
    });
  });

  it('notes it once: of many simultaneous uses one writes', async () => {
    const { id, record } = await storedKey();
    const written = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        reader().markFirstUse(id, record.digest, by(Date.parse(AT) + 100 + n)),
      ),
    );
    expect(written.filter(Boolean)).toHaveLength(1);
    expect((await itemAt(id))?.['first_used_at']).toBe(`2026-11-24T12:00:00.${100 + written.indexOf(true)}Z`);
  });

  it('does not note the use of a secret that was replaced', async () => {
    const { id, record } = await storedKey();
    await change(id, 'digest', 'f'.repeat(64));
    expect(await reader().markFirstUse(id, record.digest, by(Date.parse(AT)))).toBe(false);
    expect((await itemAt(id))?.['first_used_at']).toBeNull();
  });

  it('does not note the use of a key that was revoked', async () => {
    const { id, record } = await storedKey();
    await change(id, 'revoked_at', AT);
    expect(await reader().markFirstUse(id, record.digest, by(Date.parse(AT)))).toBe(false);
  });

  it('does not bring a deleted key back', async () => {
    const id = newKeyId(Date.now());
    expect(await reader().markFirstUse(id, 'f'.repeat(64), by(Date.parse(AT)))).toBe(false);
    expect(await itemAt(id)).toBeUndefined();
  });
});

describe('the last use on a real table', () => {
  const at = (minutes: number) => Date.parse(AT) + minutes * 60_000;
  const use = (minutes: number) => ({ now: at(minutes), ip: '192.0.2.1', route: 'abc GET /orders' });
  const seen = async (id: string) => (await reader().getKey(id))!;

  it('is noted, and changes nothing else', async () => {
    const { id, record } = await storedKey();
    await reader().noteLastUse(await seen(id), use(0));
    expect(await itemAt(id)).toEqual({
      ...{ pk: id, sk: 'api_key', ...attributesOfKey(record) },
      ...{ last_used_at: AT, last_used_ip: '192.0.2.1', last_used_route: 'abc GET /orders' },
    });
  });

  it('is noted of a record of an earlier version, which has no such attributes', async () => {
    const { id } = await storedKey();
    await engine.table.client.send(
      new UpdateCommand({
        TableName: table,
        Key: { pk: id, sk: 'api_key' },
        UpdateExpression: 'REMOVE last_used_at, last_used_ip, last_used_route',
      }),
    );
    expect((await seen(id)).last_used_at).toBeNull();
    await reader().noteLastUse(await seen(id), use(0));
    expect((await itemAt(id))?.['last_used_at']).toBe(AT);
  });

  it('is noted once an hour, of however many uses', async () => {
    const { id } = await storedKey();
    const before = await seen(id);
    // Each in a process of its own, all from what they read before.
    await Promise.all(Array.from({ length: 20 }, (_, n) => reader().noteLastUse(before, use(n))));
    const first = (await itemAt(id))?.['last_used_at'] as string;
    expect(Date.parse(first)).toBeLessThan(at(20));
    await reader().noteLastUse(before, { ...use(0), now: Date.parse(first) + 3_599_999 });
    expect((await itemAt(id))?.['last_used_at']).toBe(first);
    await reader().noteLastUse(before, { ...use(0), now: Date.parse(first) + 3_600_000 });
    expect((await itemAt(id))?.['last_used_at']).not.toBe(first);
  });

  it.each([
    ['is gone', async () => ({ id: newKeyId(Date.now()), digest: 'f'.repeat(64), last_used_at: null })],
    [
      'was revoked meanwhile',
      async () => {
        const { id } = await storedKey();
        const before = await seen(id);
        await change(id, 'revoked_at', AT);
        return before;
      },
    ],
    [
      'has another secret by now',
      async () => {
        const { id } = await storedKey();
        const before = await seen(id);
        await change(id, 'digest', 'f'.repeat(64));
        return before;
      },
    ],
  ])('is not noted of a key that %s', async (_, prepared) => {
    const before = await prepared();
    const item = await itemAt(before.id);
    await reader().noteLastUse(before, use(0));
    expect(await itemAt(before.id)).toEqual(item);
  });

  it('disturbs no write that was decided before it', async () => {
    const { id } = await storedKey();
    const record = (await getKey(id, engine.table))!;
    await reader().noteLastUse(await seen(id), use(0));
    await updateKey(record, () => ({ name: 'Renamed' }), by(), engine.table);
    expect(await itemAt(id)).toMatchObject({ name: 'Renamed', last_used_at: AT });
  });

  it('fails silently', async () => {
    const nowhere = createKeyReader({
      table: 'no-such-table',
      call: async () => {
        throw new Error('down');
      },
      eventRetentionDays: 400,
      retentionDays: 90,
    });
    const before = { id: 'key_x', digest: 'f'.repeat(64), last_used_at: null };
    await expect(nowhere.noteLastUse(before, use(0))).resolves.toBeUndefined();
  });

  it('is noted by the authorizer without waiting for it', async () => {
    const { id, text } = await storedKey();
    await ask(text);
    for (let tries = 0; tries < 100 && !(await itemAt(id))?.['last_used_at']; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await itemAt(id)).toMatchObject({ last_used_route: `${API_ID} GET /orders` });
  });
});

describe('the authorizer on a real table', () => {
  it('allows, and has noted the first use by then', async () => {
    const { id, text } = await storedKey();
    expect(await ask(text)).toMatchObject({ policyDocument: { Statement: [{ Effect: 'Allow' }] } });
    expect((await itemAt(id))?.['first_used_at']).toEqual(expect.any(String));
  });

  it('allows all of many simultaneous first uses', async () => {
    const { text } = await storedKey();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(text)));
    for (const answer of answers)
      expect(answer).toMatchObject({ policyDocument: { Statement: [{ Effect: 'Allow' }] } });
  });

  it('refuses a key that was revoked a moment ago', async () => {
    const { id, text } = await storedKey();
    await ask(text);
    await change(id, 'revoked_at', new Date().toISOString());
    await expect(ask(text)).rejects.toThrow(/^Unauthorized$/);
  });

  it('denies a scope the key lacks', async () => {
    const { text } = await storedKey();
    expect(await ask(text, 'POST')).toMatchObject({
      policyDocument: { Statement: [{ Effect: 'Deny' }] },
      context: { missing_scopes: '"orders:write"' },
    });
  });

  it('refuses a stranger’s key that has this stack’s form', async () => {
    const { id } = await storedKey();
    const forged = mintKey({ prefix: 'rk', environment: 'live', id });
    await expect(ask(forged.key.reveal())).rejects.toThrow(/^Unauthorized$/);
  });
});
