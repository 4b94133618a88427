import {
  InternalServerError,
  ProvisionedThroughputExceededException,
  RequestLimitExceeded,
  ResourceNotFoundException,
  ThrottlingException,
  TransactionCanceledException,
  TransactionConflictException,
  TransactionInProgressException,
} from '@aws-sdk/client-dynamodb';
import { GetCommand, PutCommand, QueryCommand, TransactWriteCommand } from '@aws-sdk/lib-dynamodb';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { mockClient } from 'aws-sdk-client-mock';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { cursorSecret } from '../../lib/cursor-secret.ts';
import { attributesOfKey } from '../../lib/key-item.ts';
import {
  createKey,
  getKey,
  listByOwner,
  markFirstUse,
  replaceSecret,
  revokeKey,
  rotateKey,
  updateKey,
} from '../../lib/key-table.ts';
import { openTable } from '../../lib/table-client.ts';
import { aKey, by, NOW, newDigest, RETENTION_DAYS, rotating } from '../engine/keys.ts';

const table = openTable('keys', { region: 'us-east-1' });
const dynamoDb = mockClient(table.client);
beforeEach(() => {
  dynamoDb.reset();
});

const named = { $metadata: { httpStatusCode: 400, attempts: 3 }, message: 'no' };
const cancelled = (...codes: string[]) =>
  new TransactionCanceledException({ ...named, CancellationReasons: codes.map((Code) => ({ Code })) });
const item = (record: ApiKeyRecord) => ({ pk: record.id, sk: 'api_key', ...attributesOfKey(record) });
const claim = {
  caller_key_id: 'key_0000000000000000000001',
  operation: 'rotate-key',
  idempotency_key: 'x',
  request_hash: '0'.repeat(64),
  now: NOW,
};
const revocation = { reason: 'leaked', retention_days: RETENTION_DAYS };
const unavailable = { code: 'unavailable', status: 503, headers: { 'retry-after': '1' } };

describe('a write that meets a transaction', () => {
  it('is sent again: a revoke', async () => {
    const key = aKey();
    dynamoDb
      .on(TransactWriteCommand)
      .rejectsOnce(new TransactionConflictException(named))
      .rejectsOnce(cancelled('TransactionConflict', 'None'))
      .resolves({});
    expect(await revokeKey(key, revocation, by(), table)).toMatchObject({ version: by().now });
    expect(dynamoDb.commandCalls(TransactWriteCommand)).toHaveLength(3);
  });

  it('is sent again as the same transaction: a rotation keeps its token and its successor', async () => {
    const key = aKey();
    dynamoDb
      .on(TransactWriteCommand)
      .rejectsOnce(cancelled('TransactionConflict', 'None'))
      .rejectsOnce(cancelled('ThrottlingError', 'None'))
      .rejectsOnce(cancelled('None', 'ProvisionedThroughputExceeded'))
      .resolves({});
    const rotated = await rotateKey(key, rotating(), by(), undefined, table);
    expect(rotated).toHaveProperty('successor.parent_key_id', key.id);
    const inputs = dynamoDb.commandCalls(TransactWriteCommand).map((call) => call.args[0].input);
    expect(inputs).toHaveLength(4);
    expect(new Set(inputs.map((input) => input.ClientRequestToken)).size).toBe(1);
    expect(inputs[0]?.ClientRequestToken).toMatch(/^[0-9a-f-]{36}$/);
    for (const input of inputs) expect(input).toEqual(inputs[0]);
  });

  it('is unavailable with a retry-after when it meets one every time', async () => {
    const key = aKey();
    dynamoDb.on(TransactWriteCommand).rejects(cancelled('TransactionConflict', 'None'));
    await expect(rotateKey(key, rotating(), by(), undefined, table)).rejects.toMatchObject(unavailable);
    await expect(revokeKey(key, revocation, by(), table)).rejects.toMatchObject(unavailable);
    await expect(markFirstUse(key, key.digest, by(NOW), { retention_days: 90 }, table)).rejects.toMatchObject(
      unavailable,
    );
    // A revoke matters more, and tries on for as long as one call may take.
    expect(dynamoDb.commandCalls(TransactWriteCommand)).toHaveLength(6 + 20 + 6);
    // It waits between its tries, for up to half a minute in all.
  }, 60_000);

  it('is decided anew with another token when a condition failed beside the conflict', async () => {
    const key = aKey();
    const renamed = { ...key, name: 'Renamed', version: 2 };
    dynamoDb
      .on(TransactWriteCommand)
      .rejectsOnce(cancelled('ConditionalCheckFailed', 'TransactionConflict'))
      .resolves({});
    dynamoDb.on(GetCommand).resolves({ Item: item(renamed) });
    expect(await rotateKey(key, rotating(), by(), undefined, table)).toHaveProperty(
      'successor.name',
      'Renamed',
    );
    const [first, second] = dynamoDb.commandCalls(TransactWriteCommand).map((call) => call.args[0].input);
    expect(first?.ClientRequestToken).not.toBe(second?.ClientRequestToken);
    expect(second?.TransactItems?.[0]?.Update?.ExpressionAttributeValues).toHaveProperty(':version', 2);
  });
});

describe('a write that loses every race', () => {
  it('is unavailable after a bounded number of decisions, not endless', async () => {
    const key = aKey();
    let version = 1;
    dynamoDb.on(TransactWriteCommand).rejects(cancelled('ConditionalCheckFailed', 'None'));
    dynamoDb.on(GetCommand).callsFake(() => ({ Item: item({ ...key, version: ++version }) }));
    let decisions = 0;
    const deciding = updateKey(key, () => ({ name: `Name ${++decisions}` }), by(), table);
    await expect(deciding).rejects.toMatchObject(unavailable);
    expect(decisions).toBe(8);
  }, 30_000);

  it('reads consistently before it decides again', async () => {
    const key = aKey();
    dynamoDb.on(TransactWriteCommand).rejectsOnce(cancelled('ConditionalCheckFailed', 'None')).resolves({});
    dynamoDb.on(GetCommand).resolves({ Item: item({ ...key, version: 2 }) });
    await updateKey(key, () => ({ name: 'Renamed' }), by(), table);
    const [read] = dynamoDb.commandCalls(GetCommand);
    expect(read?.args[0].input).toMatchObject({ ConsistentRead: true, Key: { pk: key.id, sk: 'api_key' } });
  });
});

describe('a revoke that loses every race', () => {
  it('is in the end written whatever the version, and answers with the key as it is then', async () => {
    const key = aKey();
    let version = 1;
    let revoked = false;
    dynamoDb.on(TransactWriteCommand).callsFake(({ TransactItems }) => {
      if (TransactItems[0].Update.ConditionExpression.includes('#version'))
        throw cancelled('ConditionalCheckFailed', 'None');
      revoked = true;
    });
    dynamoDb.on(GetCommand).callsFake(() => ({
      Item: item({ ...key, version: ++version, revoked_at: revoked ? key.created_at : null }),
    }));
    expect(await revokeKey(key, revocation, by(), table)).toMatchObject({ version: 5 });
    const writes = dynamoDb
      .commandCalls(TransactWriteCommand)
      .map((call) => call.args[0].input.TransactItems);
    expect(writes).toHaveLength(4);
    const [update, event] = writes.at(-1)!;
    expect(update?.Update).toMatchObject({
      UpdateExpression: expect.stringMatching(/ REMOVE #due_shard, #next_action_at ADD #version :one$/),
      ConditionExpression: 'attribute_exists(#pk) AND attribute_type(#revoked_at, :null)',
    });
    expect(event?.Put?.Item).toMatchObject({ event_type: 'api_key.revoked' });
  });
});

describe('a rotation', () => {
  it('does not take a failed condition on the key for a held Idempotency-Key', async () => {
    const key = aKey();
    dynamoDb
      .on(TransactWriteCommand)
      .rejects(cancelled('ConditionalCheckFailed', 'None', 'None', 'None', 'None'));
    const rotated = { ...key, version: 2, rotated_at: key.created_at, successor_key_id: aKey().id };
    dynamoDb.on(GetCommand).resolves({ Item: item(rotated) });
    await expect(rotateKey(key, rotating(), by(), claim, table)).rejects.toMatchObject({
      code: 'already_rotated',
    });
  });

  it('knows its own successor when an engine forgot the token of a lost answer', async () => {
    const key = aKey();
    let stored = key;
    dynamoDb.on(TransactWriteCommand).callsFake((input) => {
      const values = input.TransactItems[0].Update.ExpressionAttributeValues;
      stored = { ...key, version: 2, successor_key_id: values[':successor_key_id_new'] };
      throw cancelled(...input.TransactItems.map(() => 'ConditionalCheckFailed'));
    });
    dynamoDb.on(GetCommand).callsFake(() => ({ Item: item(stored) }));
    for (const own of [claim, undefined]) {
      stored = key;
      const rotated = await rotateKey(key, rotating(), by(), own, table);
      if (rotated === 'taken') throw new Error('taken');
      expect(rotated.successor.id).toBe(stored.successor_key_id);
    }
  });
});

describe('when DynamoDB fails', () => {
  const failures = {
    throttling: new ThrottlingException({ ...named, throttlingReasons: [] }),
    'too little throughput': new ProvisionedThroughputExceededException(named),
    'the limit of the account': new RequestLimitExceeded(named),
    'an error of its own': new InternalServerError({ ...named, $metadata: { httpStatusCode: 500 } }),
    'a transaction still in progress': new TransactionInProgressException({ ...named, Message: 'no' }),
    'a time-out': Object.assign(new Error('no'), { name: 'TimeoutError' }),
    'the end of the time for one call': Object.assign(new Error('no'), { name: 'AbortError' }),
    'a broken connection': Object.assign(new Error('no'), { code: 'ECONNRESET', $metadata: { attempts: 3 } }),
    'a gateway in between': Object.assign(new Error('no'), {
      $metadata: { httpStatusCode: 502, attempts: 3 },
    }),
  };
  const deeds: Record<string, () => Promise<unknown>> = {
    getKey: () => getKey(aKey().id, table),
    createKey: () => createKey(aKey(), by(), undefined, table),
    'createKey with a claim': () => createKey(aKey(), by(), claim, table),
    updateKey: () => updateKey(aKey(), () => ({ name: 'x' }), by(), table),
    rotateKey: () => rotateKey(aKey(), rotating(), by(), undefined, table),
    revokeKey: () => revokeKey(aKey(), revocation, by(), table),
    replaceSecret: () => replaceSecret(aKey(), { digest: newDigest(), hint: 'wxyz' }, by(), table),
    markFirstUse: () =>
      markFirstUse(aKey({ digest: '0'.repeat(64) }), '0'.repeat(64), by(NOW), { retention_days: 90 }, table),
    listByOwner: () => listByOwner({ owner_id: 'x', limit: 1 }, table),
    cursorSecret: () => cursorSecret(table),
  };

  it.each(Object.entries(failures))(
    '%s makes every operation unavailable with a retry-after',
    async (_, failure) => {
      dynamoDb.onAnyCommand().rejects(failure);
      for (const deed of Object.values(deeds)) await expect(deed()).rejects.toMatchObject(unavailable);
      // The SDK has tried three times; trying again here would multiply the load that was too much.
      expect(dynamoDb.calls()).toHaveLength(Object.keys(deeds).length);
    },
  );

  it('what is no fault of the moment is not called one: it stays an error of ours', async () => {
    const missing = new ResourceNotFoundException(named);
    dynamoDb.onAnyCommand().rejects(missing);
    for (const deed of Object.values(deeds)) await expect(deed()).rejects.toBe(missing);
    dynamoDb.on(TransactWriteCommand).rejects(cancelled('ValidationError', 'None'));
    await expect(rotateKey(aKey(), rotating(), by(), undefined, table)).rejects.toMatchObject({
      name: 'TransactionCanceledException',
    });
  });

  it('the cursor secret is asked for again after a failure, and then remembered', async () => {
    const other = openTable('keys', { region: 'us-east-1' });
    const mock = mockClient(other.client);
    const value = Buffer.alloc(32, 7).toString('base64url');
    mock.on(GetCommand).rejectsOnce(failures.throttling).resolves({ Item: { value } });
    await expect(cursorSecret(other)).rejects.toMatchObject(unavailable);
    expect(Buffer.from(await cursorSecret(other))).toEqual(Buffer.alloc(32, 7));
    await cursorSecret(other);
    expect(mock.commandCalls(GetCommand)).toHaveLength(2);
    expect(mock.commandCalls(PutCommand)).toHaveLength(0);
  });
});

describe('every expression', () => {
  it('names its attributes with #, so that a policy can be about attributes', async () => {
    const key = aKey();
    dynamoDb.on(QueryCommand).resolves({ Items: [] });
    await createKey(key, by(), claim, table);
    await createKey(key, by(), undefined, table);
    await updateKey(key, () => ({ name: 'x', expires_at: null, ttl: undefined }), by(), table);
    await rotateKey(key, rotating(), by(), claim, table);
    await revokeKey(key, revocation, by(), table);
    await replaceSecret(key, { digest: newDigest(), hint: 'wxyz' }, by(), table);
    await markFirstUse(key, key.digest, by(NOW), { retention_days: 90 }, table);
    await listByOwner({ owner_id: 'x', limit: 1, after: key.id }, table);

    const writes = dynamoDb.calls().flatMap(({ args }) => {
      const input = args[0].input as Record<string, unknown>;
      const parts = input['TransactItems'] as Record<string, Record<string, unknown>>[] | undefined;
      return parts ? parts.flatMap((part) => Object.values(part)) : [input];
    });
    expect(writes.length).toBeGreaterThan(10);
    for (const write of writes) {
      const expressions = Object.entries(write).flatMap(([name, value]) =>
        name.endsWith('Expression') ? [String(value)] : [],
      );
      const words = expressions.join(' ').match(/[#:]?\b[a-z][A-Za-z_]*\b/g) ?? [];
      const bare = words.filter((word) => !/^[#:]/.test(word) && !word.startsWith('attribute_'));
      expect(bare).toEqual([]);
      const used = new Set(words.filter((word) => word.startsWith('#')));
      expect([...used].sort()).toEqual(Object.keys(write['ExpressionAttributeNames'] as object).sort());
    }
  });
});
