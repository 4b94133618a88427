import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { Sha256 } from '@aws-crypto/sha256-js';
import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DescribeTableCommand,
  DynamoDBClient,
  ExecuteStatementCommand,
  GetItemCommand,
  ListTablesCommand,
  PutItemCommand,
  QueryCommand,
  ScanCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SignatureV4 } from '@smithy/signature-v4';
import { startAwsFront } from '../../local/aws-front.ts';
import { createTables, type Engine, startEngine, supported, sweepTtl } from '../../local/dynamodb/index.ts';
import { dynamoDbService } from '../../local/dynamodb/service.ts';
import { checkSupported, type DeployedResource } from '../../local/resource.ts';

const account = '000000000000';
const region = 'us-east-1';
const tableName = 'Rekey-Keys';
const arn = `arn:aws:dynamodb:${region}:${account}:table/${tableName}`;
const keyAttribute = (AttributeName: string, KeyType: string) => ({ AttributeName, KeyType });

const table: DeployedResource = {
  stack: 'Rekey',
  logicalId: 'Keys',
  type: 'AWS::DynamoDB::Table',
  ref: tableName,
  attributes: { Arn: arn },
  properties: {
    AttributeDefinitions: ['pk', 'sk', 'owner_id', 'id'].map((AttributeName) => ({
      AttributeName,
      AttributeType: 'S',
    })),
    KeySchema: [keyAttribute('pk', 'HASH'), keyAttribute('sk', 'RANGE')],
    BillingMode: 'PAY_PER_REQUEST',
    GlobalSecondaryIndexes: [
      {
        IndexName: 'by_owner',
        KeySchema: [keyAttribute('owner_id', 'HASH'), keyAttribute('id', 'RANGE')],
        Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['name'] },
      },
    ],
    TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true },
    StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' },
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    SSESpecification: { SSEEnabled: true },
    DeletionProtectionEnabled: true,
  },
};

/** A request without the SDK, for bodies that it would not send. */
async function signedFetch(
  endpoint: string,
  credentials: { accessKeyId: string; secretAccessKey: string },
  operation: string,
  body: string,
): Promise<Response> {
  const signer = new SignatureV4({ credentials, region, service: 'dynamodb', sha256: Sha256 });
  const { host, hostname } = new URL(endpoint);
  const target = {
    host,
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-target': `DynamoDB_20120810.${operation}`,
  };
  const { headers } = await signer.sign({
    ...{ method: 'POST', protocol: 'http:', hostname, path: '/', query: {} },
    ...{ headers: target, body },
  });
  return await fetch(endpoint, { method: 'POST', headers, body });
}

const folders: string[] = [];
const folder = async () => {
  const made = await mkdtemp(join(tmpdir(), 'rekey-dynamodb-'));
  folders.push(made);
  return made;
};
const start = async (stateDir: string, fresh = false) =>
  startEngine({ stateDir, fresh, log: () => undefined, env: { PATH: process.env['PATH'] } });
const client = (endpoint: string, credentials = { accessKeyId: 'test', secretAccessKey: 'test' }) =>
  new DynamoDBClient({ endpoint, region, credentials, maxAttempts: 1 });
const key = (pk: string) => ({ pk: { S: pk }, sk: { S: 'api_key' } });

afterAll(async () => {
  for (const made of folders) await rm(made, { recursive: true, force: true });
});

describe('the engine', () => {
  it('keeps its data over a restart, and forgets it when told to start fresh', async () => {
    const stateDir = await folder();
    const titles = async (fresh: boolean, write: boolean) => {
      const engine = await start(stateDir, fresh);
      try {
        await createTables({ endpoint: engine.endpoint, resources: [table] });
        const db = client(engine.endpoint);
        if (write) await db.send(new PutItemCommand({ TableName: tableName, Item: key('key_1') }));
        return (await db.send(new ScanCommand({ TableName: tableName }))).Items!.length;
      } finally {
        await engine.close();
      }
    };
    expect(await titles(false, true)).toBe(1);
    expect(await titles(false, false)).toBe(1);
    expect(await titles(true, false)).toBe(0);
  });

  // It has no index of its own for it, so each write and each read of a stream would take longer than the one before.
  it('finds the last record of a stream without going through all of them', async () => {
    const stateDir = await folder();
    const engine = await start(stateDir, true);
    try {
      if (engine.kind !== 'dynoxide') return;
      const database = new DatabaseSync(join(stateDir, 'dynamodb.sqlite'), { readOnly: true });
      const plan = database
        .prepare(
          'EXPLAIN QUERY PLAN SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?',
        )
        .all('any');
      database.close();
      expect(plan).toEqual([expect.objectContaining({ detail: expect.stringMatching(/^SEARCH .* USING/) })]);
    } finally {
      await engine.close();
    }
  });

  it('ends with the process that started it, even when that is killed', async () => {
    const stateDir = await folder();
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { startEngine } = await import(${JSON.stringify(new URL('../../local/dynamodb/index.ts', import.meta.url).href)});
         const engine = await startEngine({ stateDir: ${JSON.stringify(stateDir)}, fresh: false, log() {} });
         console.log(engine.endpoint); setInterval(() => {}, 1000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [endpoint] = (await once(parent.stdout, 'data')).map((data) => String(data).trim()) as [string];
    expect((await fetch(endpoint, { method: 'POST' })).status).toBe(400);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    let alive = true;
    for (let tries = 0; alive && tries < 100; tries += 1) {
      await sleep(50);
      alive = await fetch(endpoint, { method: 'POST' }).then(
        () => true,
        () => false,
      );
    }
    expect(alive).toBe(false);
  });

  it('is another one where REKEY_DYNAMODB_ENDPOINT names it', async () => {
    const stateDir = await folder();
    const first = await start(stateDir);
    const engine = await startEngine({
      stateDir: '/nonexistent',
      fresh: false,
      log: () => undefined,
      env: { REKEY_DYNAMODB_ENDPOINT: first.endpoint },
    });
    expect(engine).toMatchObject({ kind: 'external', endpoint: first.endpoint });
    await createTables({ endpoint: engine.endpoint, resources: [table] });
    await client(engine.endpoint).send(new PutItemCommand({ TableName: tableName, Item: key('key_1') }));
    await createTables({ endpoint: engine.endpoint, resources: [table], fresh: true });
    expect((await client(engine.endpoint).send(new ScanCommand({ TableName: tableName }))).Count).toBe(0);
    await engine.close();
    expect((await fetch(first.endpoint, { method: 'POST' })).status).toBe(400);
    await first.close();
  });

  it('says what to install where there is none', async () => {
    const none = startEngine({
      stateDir: await folder(),
      fresh: false,
      log: () => undefined,
      env: { REKEY_DYNAMODB_LOCAL_JAR: '/nonexistent/DynamoDBLocal.jar' },
      platform: 'darwin-arm64',
    });
    await expect(none).rejects.toThrow(/no file \/nonexistent.*\n.*Install.*\n.*DynamoDB Local/);
  });
});

describe('tables', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await start(await folder());
  });
  afterAll(() => engine.close());
  const resources = (properties: object, ref: string): DeployedResource[] => [
    { ...table, ref, properties: { ...table.properties, ...properties } },
  ];

  it('have the keys, indexes, stream and TTL of the template', async () => {
    await createTables({ endpoint: engine.endpoint, resources: [table] });
    await createTables({ endpoint: engine.endpoint, resources: [table] });
    const { Table } = await client(engine.endpoint).send(new DescribeTableCommand({ TableName: tableName }));
    expect(Table).toMatchObject({
      KeySchema: table.properties['KeySchema'],
      StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
    });
    expect(Table!.GlobalSecondaryIndexes![0]).toMatchObject({
      IndexName: 'by_owner',
      Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['name'] },
    });
  });

  it('stop the start when their keys or indexes are no longer the template’s', async () => {
    await createTables({ endpoint: engine.endpoint, resources: resources({}, 'Rekey-Changed') });
    const changed = resources({ GlobalSecondaryIndexes: [] }, 'Rekey-Changed');
    await expect(createTables({ endpoint: engine.endpoint, resources: changed })).rejects.toThrow(
      'Rekey-Changed has other keys, indexes or another stream than Rekey/Keys in the template. Start with --fresh',
    );
  });

  it('stop the start with the name of a property that is not known', async () => {
    for (const [properties, name] of [
      [{ ResourcePolicy: { PolicyDocument: {} } }, 'ResourcePolicy'],
      [
        { TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true, Grace: 1 } },
        'TimeToLiveSpecification.Grace',
      ],
      [
        { GlobalSecondaryIndexes: [{ IndexName: 'a', KeySchema: [], Projection: {}, Shards: 2 }] },
        'GlobalSecondaryIndexes.Shards',
      ],
    ] as const) {
      await expect(
        createTables({ endpoint: engine.endpoint, resources: resources(properties, 'Rekey-Unknown') }),
      ).rejects.toThrow(
        `Rekey/Keys (AWS::DynamoDB::Table): the laptop stack does not know the property ${name}`,
      );
    }
  });

  it('say why a property has no effect', () => {
    const { unknown, withoutEffect } = checkSupported([table], supported);
    expect(unknown).toEqual([]);
    expect(withoutEffect.map(({ property }) => property).sort()).toEqual([
      'BillingMode',
      'DeletionProtectionEnabled',
      'PointInTimeRecoverySpecification',
      'SSESpecification',
    ]);
  });

  it('lose the items whose time is past on the stack’s clock, and no others', async () => {
    const now = Date.parse('2030-01-01T00:00:00Z');
    const seconds = now / 1000;
    const [sweeping] = resources({}, 'Rekey-Sweep') as [DeployedResource];
    await createTables({ endpoint: engine.endpoint, resources: [sweeping] });
    const db = client(engine.endpoint);
    const times = {
      past: { N: `${seconds - 1}` },
      now: { N: `${seconds}` },
      future: { N: `${seconds + 1}` },
      text: { S: '1' },
      'six years ago': { N: `${seconds - 6 * 365 * 24 * 3600}` },
    };
    for (const [pk, ttl] of Object.entries(times)) {
      await db.send(new PutItemCommand({ TableName: sweeping.ref, Item: { ...key(pk), ttl } }));
    }
    await db.send(new PutItemCommand({ TableName: sweeping.ref, Item: key('no time') }));
    const sweep = (at: number) => sweepTtl({ endpoint: engine.endpoint, resources: [sweeping], now: at });
    expect(await sweep(now)).toBe(1);
    const left = await db.send(new ScanCommand({ TableName: sweeping.ref }));
    expect(left.Items!.map(({ pk }) => pk!.S).sort()).toEqual([
      'future',
      'no time',
      'now',
      'six years ago',
      'text',
    ]);
    expect(await sweep(now + 2000)).toBe(2);
    const off = { ...sweeping, properties: { ...sweeping.properties, TimeToLiveSpecification: undefined } };
    expect(await sweepTtl({ endpoint: engine.endpoint, resources: [off], now: now + 9e6 })).toBe(0);
  });
});

describe('what a function may do with DynamoDB', () => {
  let engine: Engine;
  let proxy: Awaited<ReturnType<typeof startAwsFront>>;
  let db: DynamoDBClient;
  const lines: Record<string, unknown>[] = [];
  const clock = { ahead: 0 };
  const role = {
    roleArn: `arn:aws:iam::${account}:role/Rekey-Reader`,
    accessKeyId: 'AKIAREADER',
    secretAccessKey: 'its secret',
    sessionName: 'get-key',
    policies: [] as unknown[],
  };
  const allow = (actions: string | string[], resource: string | string[] = arn, condition?: object) => ({
    Effect: 'Allow',
    Action: [actions].flat().map((action) => `dynamodb:${action}`),
    Resource: resource,
    ...(condition ? { Condition: condition } : {}),
  });
  /** The role has these statements from now on. */
  const grant = (...Statement: object[]) => {
    role.policies = [{ Version: '2012-10-17', Statement }];
  };
  const leading = (...keys: string[]) => ({ 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': keys } });
  const denied = (action: string, resource = arn) => ({
    name: 'AccessDeniedException',
    message: `User: arn:aws:sts::${account}:assumed-role/Rekey-Reader/get-key is not authorized to perform: dynamodb:${action} on resource: ${resource} because no identity-based policy allows the dynamodb:${action} action`,
  });
  const get = (pk: string, more: object = {}) =>
    db.send(new GetItemCommand({ TableName: tableName, Key: key(pk), ...more }));

  beforeAll(async () => {
    engine = await start(await folder());
    await createTables({ endpoint: engine.endpoint, resources: [table] });
    proxy = await startAwsFront({
      services: [dynamoDbService({ engine: engine.endpoint, account, region })],
      principals: (id) => (id === role.accessKeyId ? role : undefined),
      now: () => Date.now() + clock.ahead,
      account,
      region,
      log: (line) => lines.push(line),
    });
    db = client(proxy.endpoint, role);
    const seed = client(engine.endpoint);
    for (const pk of ['key_1', 'key_2', 'secret_cursor']) {
      const Item = {
        ...key(pk),
        owner_id: { S: 'acme' },
        id: { S: pk },
        name: { S: 'A' },
        digest: { S: 'd' },
      };
      await seed.send(new PutItemCommand({ TableName: tableName, Item }));
    }
  });
  afterAll(async () => {
    await proxy.close();
    await engine.close();
  });
  beforeEach(() => {
    clock.ahead = 0;
    lines.length = 0;
  });

  it('is what its role allows, and stops when the statement is removed', async () => {
    grant(allow('GetItem'), allow('PutItem'));
    expect((await get('key_1')).Item!['name']).toEqual({ S: 'A' });
    grant(allow('PutItem'));
    await expect(get('key_1')).rejects.toMatchObject(denied('GetItem'));
  });

  it('says so when a statement denies it', async () => {
    grant(allow('GetItem'), { Effect: 'Deny', Action: 'dynamodb:Get*', Resource: '*' });
    await expect(get('key_1')).rejects.toThrow('with an explicit deny in an identity-based policy');
  });

  it('needs a right signature of a known key', async () => {
    grant(allow('GetItem'));
    const command = () => new GetItemCommand({ TableName: tableName, Key: key('key_1') });
    await expect(
      client(proxy.endpoint, { ...role, secretAccessKey: 'a guess' }).send(command()),
    ).rejects.toMatchObject({ name: 'InvalidSignatureException' });
    await expect(
      client(proxy.endpoint, { ...role, accessKeyId: 'AKIASTRANGER' }).send(command()),
    ).rejects.toMatchObject({ name: 'UnrecognizedClientException' });
    const bare = await fetch(proxy.endpoint, { method: 'POST', body: '{}' });
    expect(bare.status).toBe(400);
    expect(bare.headers.get('content-type')).toBe('application/x-amz-json-1.0');
    expect(await bare.json()).toEqual({
      __type: 'com.amazon.coral.service#MissingAuthenticationTokenException',
      message: 'Request is missing Authentication Token',
    });
  });

  it('needs a date that is right on the stack’s clock', async () => {
    grant(allow('GetItem'));
    const getAt = async (minutes: number) => {
      clock.ahead = minutes * 60_000;
      // A client of its own: one that was refused corrects its clock, as the next test shows.
      const fresh = client(proxy.endpoint, role);
      try {
        return await fresh.send(new GetItemCommand({ TableName: tableName, Key: key('key_1') }));
      } finally {
        fresh.destroy();
      }
    };
    for (const minutes of [6, -6])
      await expect(getAt(minutes)).rejects.toMatchObject({ name: 'InvalidSignatureException' });
    expect((await getAt(4)).Item).toBeDefined();
  });

  it('tells the time of the stack’s clock, by which an SDK corrects its own', async () => {
    grant(allow('GetItem'));
    clock.ahead = 48 * 3_600_000;
    const fresh = client(proxy.endpoint, role);
    const send = () => fresh.send(new GetItemCommand({ TableName: tableName, Key: key('key_1') }));
    await expect(send()).rejects.toMatchObject({ name: 'InvalidSignatureException' });
    expect((await send()).Item).toBeDefined();
    fresh.destroy();
  });

  it('is limited to the leading keys of its statement', async () => {
    grant(allow(['GetItem', 'UpdateItem', 'Query'], arn, leading('key_*')));
    expect((await get('key_1')).Item).toBeDefined();
    await expect(get('secret_cursor')).rejects.toMatchObject(denied('GetItem'));
    const query = (condition: string, pk: string) =>
      db.send(
        new QueryCommand({
          TableName: tableName,
          KeyConditionExpression: condition,
          ExpressionAttributeNames: { '#pk': 'pk', '#sk': 'sk' },
          ExpressionAttributeValues: { ':pk': { S: pk }, ':sk': { S: 'a' } },
        }),
      );
    expect((await query('#pk = :pk AND #sk > :sk', 'key_1')).Count).toBe(1);
    expect((await query('begins_with(#sk, :sk) AND (:pk = #pk)', 'key_1')).Count).toBe(1);
    expect((await query('#pk = :pk AND #sk = :sk', 'key_1')).Count).toBe(0);
    await expect(query('#sk > :sk AND #pk = :pk', 'secret_cursor')).rejects.toMatchObject(denied('Query'));
    await expect(query('begins_with(#pk, :pk) AND #sk > :sk', 'key_1')).rejects.toMatchObject({
      name: 'ValidationException',
    });
  });

  it('reaches an index only with a statement for it, and by the index’s own key', async () => {
    const index = `${arn}/index/by_owner`;
    const query = (owner: string) =>
      db.send(
        new QueryCommand({
          TableName: tableName,
          IndexName: 'by_owner',
          KeyConditionExpression: '#owner_id = :owner_id',
          ExpressionAttributeNames: { '#owner_id': 'owner_id' },
          ExpressionAttributeValues: { ':owner_id': { S: owner } },
        }),
      );
    grant(allow('Query', arn));
    await expect(query('acme')).rejects.toMatchObject(denied('Query', index));
    grant(allow('Query', index, leading('acme')));
    expect((await query('acme')).Count).toBe(3);
    await expect(query('globex')).rejects.toMatchObject(denied('Query', index));
    grant(allow('Query', index, { StringEquals: { 'dynamodb:Select': 'ALL_PROJECTED_ATTRIBUTES' } }));
    expect((await query('acme')).Count).toBe(3);
  });

  it('needs every action of a transaction, for every item', async () => {
    const transaction = (update: string, check: string) =>
      db.send(
        new TransactWriteItemsCommand({
          TransactItems: [
            {
              Update: {
                TableName: tableName,
                Key: key(update),
                UpdateExpression: 'SET #name = :name',
                ExpressionAttributeNames: { '#name': 'name' },
                ExpressionAttributeValues: { ':name': { S: 'B' } },
              },
            },
            {
              ConditionCheck: {
                TableName: tableName,
                Key: key(check),
                ConditionExpression: 'attribute_exists(#pk)',
                ExpressionAttributeNames: { '#pk': 'pk' },
              },
            },
          ],
        }),
      );
    grant(allow('UpdateItem'), allow('ConditionCheckItem'));
    await transaction('key_1', 'key_2');
    grant(allow('UpdateItem'));
    await expect(transaction('key_1', 'key_2')).rejects.toMatchObject(denied('ConditionCheckItem'));
    grant(allow('UpdateItem', arn, leading('key_*')), allow('ConditionCheckItem', arn, leading('secret_*')));
    await transaction('key_1', 'secret_cursor');
    await expect(transaction('secret_cursor', 'secret_cursor')).rejects.toMatchObject(denied('UpdateItem'));
    grant(
      allow(['UpdateItem', 'ConditionCheckItem'], arn, {
        StringEquals: { 'dynamodb:EnclosingOperation': 'TransactWriteItems' },
      }),
    );
    await transaction('key_1', 'key_2');
    const alone = new UpdateItemCommand({ TableName: tableName, Key: key('key_1') });
    await expect(db.send(alone)).rejects.toMatchObject(denied('UpdateItem'));
  });

  it('needs every key of a batch to be allowed, together and one by one', async () => {
    const read = (...pks: string[]) =>
      db.send(new BatchGetItemCommand({ RequestItems: { [tableName]: { Keys: pks.map(key) } } }));
    grant(allow('BatchGetItem', arn, leading('key_*')));
    expect((await read('key_1', 'key_2')).Responses![tableName]).toHaveLength(2);
    await expect(read('key_1', 'secret_cursor')).rejects.toMatchObject(denied('BatchGetItem'));
    grant(allow('BatchGetItem', arn, { 'ForAnyValue:StringLike': { 'dynamodb:LeadingKeys': 'key_*' } }));
    await expect(read('key_1', 'secret_cursor')).rejects.toMatchObject(denied('BatchGetItem'));
    grant(allow('BatchGetItem', arn, leading('key_1')), allow('BatchGetItem', arn, leading('key_2')));
    await expect(read('key_1', 'key_2')).rejects.toMatchObject(denied('BatchGetItem'));
    grant(allow('BatchWriteItem', arn, leading('key_*')));
    const write = (pk: string) =>
      db.send(
        new BatchWriteItemCommand({
          RequestItems: {
            [tableName]: [{ PutRequest: { Item: key(pk) } }, { DeleteRequest: { Key: key('key_9') } }],
          },
        }),
      );
    await write('key_8');
    await expect(write('secret_other')).rejects.toMatchObject(denied('BatchWriteItem'));
  });

  it('is limited to the attributes of its statement, in every expression', async () => {
    const attributes = (...names: string[]) => ({
      'ForAllValues:StringEquals': { 'dynamodb:Attributes': ['pk', 'sk', ...names] },
    });
    const update = (expression: string, condition?: string) =>
      db.send(
        new UpdateItemCommand({
          TableName: tableName,
          Key: key('key_1'),
          UpdateExpression: expression,
          ConditionExpression: condition,
          ExpressionAttributeNames: {
            '#n': 'first_used_at',
            ...(condition?.includes('#d') ? { '#d': 'digest' } : {}),
          },
          ExpressionAttributeValues: { ':v': { S: 'd' } },
        }),
      );
    grant(allow('UpdateItem', arn, attributes('first_used_at')));
    await update('SET #n = :v');
    await expect(update('SET #n = :v REMOVE metadata.first_used_at')).rejects.toMatchObject(
      denied('UpdateItem'),
    );
    await expect(update('SET #n = :v, scopes = :v')).rejects.toMatchObject(denied('UpdateItem'));
    await expect(update('SET #n = if_not_exists(digest, :v)')).rejects.toMatchObject(denied('UpdateItem'));
    await expect(update('SET #n = :v', '#d = :v')).rejects.toMatchObject(denied('UpdateItem'));
    grant(allow('UpdateItem', arn, attributes('first_used_at', 'metadata')));
    await update('SET #n = :v', 'attribute_not_exists(metadata.digest[0].first_used_at)');
    grant(allow('UpdateItem', arn, attributes('first_used_at', 'digest')));
    await update('SET #n = :v', 'attribute_exists(pk) AND NOT (#d <> :v)');

    grant(
      allow('GetItem', arn, {
        ...attributes('name'),
        StringEquals: { 'dynamodb:Select': 'SPECIFIC_ATTRIBUTES' },
      }),
    );
    const projected = (ProjectionExpression: string) =>
      get('key_1', { ProjectionExpression, ExpressionAttributeNames: { '#n': 'name' } });
    expect((await projected('#n, pk')).Item).toEqual({ name: { S: expect.any(String) }, pk: { S: 'key_1' } });
    await expect(projected('#n, digest')).rejects.toMatchObject(denied('GetItem'));
    await expect(get('key_1')).rejects.toMatchObject(denied('GetItem'));
  });

  it('can be kept from reading an item by writing it', async () => {
    grant(allow('UpdateItem', arn, { StringEquals: { 'dynamodb:ReturnValues': ['NONE', 'UPDATED_NEW'] } }));
    const update = (more: object) =>
      db.send(new UpdateItemCommand({ TableName: tableName, Key: key('key_1'), ...more }));
    await update({});
    await expect(update({ ReturnValues: 'ALL_OLD' })).rejects.toMatchObject(denied('UpdateItem'));
    await expect(update({ ReturnValuesOnConditionCheckFailure: 'ALL_OLD' })).rejects.toMatchObject(
      denied('UpdateItem'),
    );
  });

  it('does not include operations that the laptop stack can’t check', async () => {
    grant({ Effect: 'Allow', Action: '*', Resource: '*' });
    await expect(
      db.send(new ExecuteStatementCommand({ Statement: `SELECT * FROM "${tableName}"` })),
    ).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: expect.stringContaining('does not know that operation'),
    });
    expect((await db.send(new ListTablesCommand({}))).TableNames).toEqual([tableName]);
    grant(allow('ListTables', arn));
    await expect(db.send(new ListTablesCommand({}))).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });

  it('reads the engine’s own errors', async () => {
    grant(allow('GetItem'));
    await expect(get('key_1', { Key: { pk: { S: 'key_1' } } })).rejects.toMatchObject({
      name: 'ValidationException',
    });
    const missing = db.send(new GetItemCommand({ TableName: 'Rekey-Keys', Key: key('nobody') }));
    expect((await missing).Item).toBeUndefined();
    grant(allow('*', '*'));
    await expect(db.send(new GetItemCommand({ TableName: 'Other', Key: key('a') }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
  });

  it('is decided by what the engine will read, not by what else a request carries', async () => {
    const raw = async (operation: string, body: object) => {
      const answer = await signedFetch(proxy.endpoint, role, operation, JSON.stringify(body));
      return ((await answer.json()) as { __type?: string }).__type?.replace(/.*#/, '') ?? answer.status;
    };
    grant(allow(['PutItem', 'Query', 'BatchWriteItem'], arn, leading('key_*')));
    const put = { TableName: tableName, Item: key('secret_2') };
    expect(await raw('PutItem', { ...put, Key: key('key_1') })).toBe('AccessDeniedException');
    const write = { PutRequest: { Item: key('key_1') }, DeleteRequest: { Key: key('secret_cursor') } };
    expect(await raw('BatchWriteItem', { RequestItems: { [tableName]: [write] } })).toBe(
      'ValidationException',
    );
    const query = {
      TableName: tableName,
      ExpressionAttributeValues: { ':a': { S: 'key_1' }, ':b': { S: 'secret_cursor' } },
    };
    for (const KeyConditionExpression of ['pk = :a AND pk = :b', 'pk = :b AND pk = :a', 'sk = :a']) {
      expect(await raw('Query', { ...query, KeyConditionExpression })).toBe('ValidationException');
    }
    const old = { ComparisonOperator: 'EQ', AttributeValueList: [{ S: 'secret_cursor' }] };
    expect(await raw('Query', { TableName: tableName, KeyConditions: { pk: old } })).toBe(
      'AccessDeniedException',
    );
    expect(
      await raw('Query', { ...query, KeyConditionExpression: 'pk = :a', KeyConditions: { pk: old } }),
    ).toBe('ValidationException');
    expect(await raw('TransactWriteItems', { TransactItems: { 0: { Put: put } } })).toBe(
      'ValidationException',
    );
    expect(await raw('TransactWriteItems', { TransactItems: [] })).toBe('ValidationException');
    expect(await raw('BatchWriteItem', { RequestItems: {} })).toBe('ValidationException');
    expect(await raw('PutItem', { ...put, TableName: '../x' })).toBe('ValidationException');
    expect(await raw('PutItem', [])).toBe('SerializationException');
  });

  it('is answered byte for byte, with the engine’s checksum', async () => {
    grant(allow('GetItem'));
    const body = JSON.stringify({ TableName: tableName, Key: key('key_2') });
    const answer = await signedFetch(proxy.endpoint, role, 'GetItem', body);
    const whole = Buffer.from(await answer.arrayBuffer());
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-amz-crc32')).toBe(String(crc32(whole)));
    expect(JSON.parse(whole.toString()).Item.name).toEqual({ S: 'A' });
    const refused = await signedFetch(proxy.endpoint, role, 'PutItem', body.replace('"Key"', '"Item"'));
    expect(await refused.clone().json()).toEqual({
      __type: 'com.amazon.coral.service#AccessDeniedException',
      message: denied('PutItem').message,
    });
    expect(refused.headers.get('x-amz-crc32')).toBe(String(crc32(Buffer.from(await refused.arrayBuffer()))));
  });

  it('is logged without keys, values and credentials', async () => {
    grant(allow('PutItem'));
    const Item = { ...key('key_private'), digest: { S: 'do not log me' } };
    await db.send(new PutItemCommand({ TableName: tableName, Item }));
    await expect(get('key_private')).rejects.toThrow();
    expect(lines).toMatchObject([
      { operation: 'PutItem', role: role.roleArn, asked: [`dynamodb:PutItem ${arn}`], status: 200 },
      { operation: 'GetItem', role: role.roleArn, status: 400, error: 'AccessDeniedException' },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/key_private|do not log me|its secret|AWS4/);
  });

  it('ends in a 500 that names the engine when that is gone', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    gone.close();
    grant(allow('GetItem'));
    const broken = await startAwsFront({
      services: [dynamoDbService({ engine: `http://127.0.0.1:${port}`, account, region })],
      principals: () => role,
      now: Date.now,
      account,
      region,
      log: () => undefined,
    });
    const failing = client(broken.endpoint, role).send(
      new GetItemCommand({ TableName: tableName, Key: key('key_1') }),
    );
    await expect(failing).rejects.toMatchObject({ name: 'InternalServerError' });
    await broken.close();
  });
});
