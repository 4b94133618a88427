import { describe, expect, it } from '@jest/globals';
import { type DynamoDbCall, DynamoDbFailure } from '../../lib/dynamodb-http.ts';
import { Event, eventSchemaOf } from '../../lib/event.schema.ts';
import { createKeyReader } from '../../lib/key-reader.ts';

const ID = 'key_0123456789abcdefghijkl';

const ITEM = {
  id: { S: ID },
  owner_id: { S: 'team:billing/eu' },
  owner_access: { S: 'own' },
  environment: { S: 'live' },
  scopes: { S: 'orders:* orders:read' },
  expires_at: { S: '2026-12-24T12:00:00.000Z' },
  rotated_at: { NULL: true },
  revoked_at: { NULL: true },
  first_used_at: { NULL: true },
  pending_until: { NULL: true },
  digest: { S: 'a'.repeat(64) },
};

const reader = (answer: unknown) => {
  const calls: [string, Record<string, unknown>][] = [];
  const call: DynamoDbCall = async (operation, input) => {
    calls.push([operation, input as Record<string, unknown>]);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { ...createKeyReader({ table: 'keys', call, eventRetentionDays: 400, retentionDays: 90 }), calls };
};

describe('reading a key', () => {
  it('gives the facts that a decision needs', async () => {
    expect(await reader({ Item: ITEM }).getKey(ID)).toEqual({
      id: ID,
      owner_id: 'team:billing/eu',
      owner_access: 'own',
      pending_until: null,
      environment: 'live',
      scopes: ['orders:*', 'orders:read'],
      expires_at: '2026-12-24T12:00:00.000Z',
      rotated_at: null,
      revoked_at: null,
      first_used_at: null,
      last_used_at: null,
      digest: 'a'.repeat(64),
      honey: false,
      told_at: undefined,
    });
  });

  it('knows a trap, and when its use was told', async () => {
    const told_at = '2026-11-24T12:00:00.000Z';
    const { getKey } = reader({ Item: { ...ITEM, honey: { BOOL: true }, told_at: { S: told_at } } });
    expect(await getKey(ID)).toMatchObject({ honey: true, told_at });
  });

  it.each([{ S: 'true' }, { BOOL: 'true' }, { NULL: true }])(
    'takes %j for no answer to whether it is a trap',
    async (honey) => {
      await expect(reader({ Item: { ...ITEM, honey } }).getKey(ID)).rejects.toThrow('honey');
    },
  );

  it('is one consistent read of one item, without its name and metadata', async () => {
    const { getKey, calls } = reader({ Item: ITEM });
    await getKey(ID);
    expect(calls).toHaveLength(1);
    const [operation, input] = calls[0]!;
    expect(operation).toBe('GetItem');
    expect(input).toMatchObject({
      TableName: 'keys',
      Key: { pk: { S: ID }, sk: { S: 'api_key' } },
      ConsistentRead: true,
    });
    expect(Object.values(input['ExpressionAttributeNames'] as object).sort()).toEqual(
      [...Object.keys(ITEM), 'honey', 'last_used_at', 'told_at'].sort(),
    );
  });

  it('is undefined when there is no such key', async () => {
    expect(await reader({}).getKey(ID)).toBeUndefined();
  });

  const changed = (name: string, value: unknown) => ({ Item: { ...ITEM, [name]: value } });
  const without = (name: string) => ({
    Item: Object.fromEntries(Object.entries(ITEM).filter(([n]) => n !== name)),
  });

  it.each(Object.keys(ITEM).filter((name) => name !== 'pending_until'))(
    'refuses a record without %s',
    async (name) => {
      await expect(reader(without(name)).getKey(ID)).rejects.toMatchObject({ name: 'UnexpectedItem' });
    },
  );

  it('takes a record of a version that knew no pending keys', async () => {
    expect(await reader(without('pending_until')).getKey(ID)).toMatchObject({ pending_until: null });
  });

  it('takes a record of a version that listed its scopes', async () => {
    const listed = changed('scopes', { L: [{ S: 'orders:*' }, { S: 'orders:read' }] });
    expect(await reader(listed).getKey(ID)).toMatchObject({ scopes: ['orders:*', 'orders:read'] });
  });

  it.each([
    ['another id', changed('id', { S: 'key_0123456789abcdefghijkm' })],
    ['revoked_at of no form', changed('revoked_at', { S: '' })],
    ['revoked_at NULL false', changed('revoked_at', { NULL: false })],
    ['revoked_at with two types', changed('revoked_at', { NULL: true, S: '2026-11-24T12:00:00.000Z' })],
    ['expires_at without milliseconds', changed('expires_at', { S: '2026-12-24T12:00:00Z' })],
    ['expires_at as a number', changed('expires_at', { N: '1790000000' })],
    ['expires_at followed by a line', changed('expires_at', { S: '2026-12-24T12:00:00.000Z\n' })],
    ['no scopes', changed('scopes', { S: '' })],
    ['101 scopes', changed('scopes', { S: Array(101).fill('a:b').join(' ') })],
    ['two spaces between scopes', changed('scopes', { S: 'a:b  a:c' })],
    ['a space after its scopes', changed('scopes', { S: 'a:b ' })],
    ['a line break between scopes', changed('scopes', { S: 'a:b\n*:*' })],
    ['a scope of no form', changed('scopes', { S: 'a:b orders' })],
    ['scopes of two types', changed('scopes', { S: 'a:b', L: [{ S: '*:*' }] })],
    ['scopes that are NULL', changed('scopes', { NULL: true })],
    ['scopes as a set', changed('scopes', { SS: ['*:*'] })],
    ['a list of no scopes', changed('scopes', { L: [] })],
    ['a list of 101 scopes', changed('scopes', { L: Array(101).fill({ S: 'a:b' }) })],
    ['a listed scope with a space, which would be two', changed('scopes', { L: [{ S: 'a:b *:*' }] })],
    ['a listed scope that is a number', changed('scopes', { L: [{ N: '1' }] })],
    ['a listed scope that is a list', changed('scopes', { L: [{ L: [{ S: 'a:b' }] }] })],
    ['an owner with a quote', changed('owner_id', { S: 'a","admin":"true' })],
    ['an owner with a line break', changed('owner_id', { S: 'a\nb' })],
    ['no owner', changed('owner_id', { S: '' })],
    ['an unknown access', changed('owner_access', { S: 'all' })],
    ['an unknown environment', changed('environment', { S: 'prod' })],
    ['a short digest', changed('digest', { S: 'a'.repeat(63) })],
    ['an item that is a list', { Item: [] }],
    ['an item that is null', { Item: null }],
    ['an answer that is null', null],
    ['an answer that is text', 'x'],
  ])('refuses a record with %s', async (_, answer) => {
    await expect(reader(answer).getKey(ID)).rejects.toMatchObject({ name: 'UnexpectedItem' });
  });
});

describe('noting the first use', () => {
  const AT = '2026-11-24T12:00:00.000Z';
  const DIGEST = 'a'.repeat(64);
  const origin = {
    actor: ID,
    now: Date.parse(AT),
    request_id: 'request-1',
    source_ip: '192.0.2.1',
    user_agent: 'curl',
  };
  const WHOLE = {
    ...ITEM,
    pk: { S: ID },
    sk: { S: 'api_key' },
    name: { S: 'Billing worker' },
    hint: { S: 'x7Qa' },
    created_at: { S: '2026-11-24T09:00:00.000Z' },
    created_by: { S: 'system:create-admin-key' },
    revoked_reason: { NULL: true },
    parent_key_id: { NULL: true },
    successor_key_id: { NULL: true },
    root_key_id: { S: ID },
    generation: { N: '0' },
    metadata: { M: { ticket: { S: 'OPS-1' } } },
    notify_days_before: { L: [{ N: '30' }, { N: '3' }] },
    swept_until: { NULL: true },
    due_shard: { S: 'key_3' },
    next_action_at: { S: '2026-12-10T12:00:00.000Z' },
    version: { N: '3' },
    ttl: { N: '1800000000' },
  };
  /** The table answers the read with this item, and the write with this. */
  const writer = (item: object | undefined, written: unknown = {}) => {
    const calls: [string, Record<string, unknown>][] = [];
    const call: DynamoDbCall = async (operation, input) => {
      calls.push([operation, input as Record<string, unknown>]);
      const answer = operation === 'GetItem' ? (item ? { Item: item } : {}) : written;
      if (answer instanceof Error) throw answer;
      return answer;
    };
    return { ...createKeyReader({ table: 'keys', call, eventRetentionDays: 400, retentionDays: 90 }), calls };
  };
  const partsOf = (input: Record<string, unknown> | undefined) =>
    input?.['TransactItems'] as [
      { Update: Record<string, unknown> },
      { Put: { Item: Record<string, { S: string }> } },
    ];

  it('sets that one attribute, if the key is as it was read, and records it in the same transaction', async () => {
    const { markFirstUse, calls } = writer(WHOLE);
    expect(await markFirstUse(ID, DIGEST, origin)).toBe(true);
    expect(calls.map(([operation]) => operation)).toEqual(['GetItem', 'TransactWriteItems']);
    expect(calls[0]?.[1]).toMatchObject({ ConsistentRead: true });
    expect(calls[1]?.[1]['ClientRequestToken']).toMatch(/^[0-9a-f-]{36}$/);
    const [{ Update }, { Put }] = partsOf(calls[1]?.[1]);
    expect(Update['UpdateExpression']).toBe('SET #first_used_at = :new_first_used_at');
    expect(Update['ConditionExpression']).toContain('#version = :version');
    expect(Update['ConditionExpression']).toContain('#digest = :seen_digest');
    expect(Update['ConditionExpression']).toContain('attribute_type(#revoked_at, :null)');
    expect(Update['ConditionExpression']).toContain('attribute_type(#first_used_at, :null)');
    expect(Update['ExpressionAttributeValues']).toMatchObject({ ':version': { N: '3' } });
    expect(Put).toMatchObject({ ConditionExpression: 'attribute_not_exists(#pk)' });
    expect(Put.Item).toMatchObject({ pk: { S: `events_${ID}` }, event_owner_id: { S: 'team:billing/eu' } });
  });

  it('records the whole public key as it is afterwards, without digest and hint', async () => {
    const { markFirstUse, calls } = writer(WHOLE);
    await markFirstUse(ID, DIGEST, origin);
    const text = partsOf(calls[1]?.[1])[1].Put.Item['event']!.S;
    expect(text).not.toContain(DIGEST);
    expect(text).not.toContain('x7Qa');
    const event = Event.parse(JSON.parse(text));
    expect(event).toMatchObject({
      type: 'api_key.first_used',
      api_key_id: ID,
      actor: ID,
      source_ip: '192.0.2.1',
    });
    expect(event.changes).toEqual([{ field: 'first_used_at', from: null, to: AT }]);
    expect(eventSchemaOf('api_key.first_used').parse(event).data).toEqual(event.data);
    expect(event.data['api_key']).toMatchObject({
      first_used_at: AT,
      generation: 0,
      metadata: { ticket: 'OPS-1' },
      notify_days_before: [30, 3],
    });
  });

  it.each([
    ['is gone', undefined],
    ['has another secret by now', { ...WHOLE, digest: { S: 'b'.repeat(64) } }],
    ['is revoked', { ...WHOLE, revoked_at: { S: AT } }],
    ['is in use already', { ...WHOLE, first_used_at: { S: AT } }],
  ])('says false and writes nothing when the key %s', async (_, item) => {
    const { markFirstUse, calls } = writer(item);
    expect(await markFirstUse(ID, DIGEST, origin)).toBe(false);
    expect(calls).toHaveLength(1);
  });

  it.each([
    ['the key has changed since it was read', ['ConditionalCheckFailed', 'None']],
    ['another request is writing it', ['TransactionConflict', 'None']],
  ])('says false when %s', async (_, reasons) => {
    const { markFirstUse } = writer(
      WHOLE,
      new DynamoDbFailure('TransactionCanceledException', '', { reasons }),
    );
    expect(await markFirstUse(ID, DIGEST, origin)).toBe(false);
  });

  it.each([
    new DynamoDbFailure('ThrottlingException', '', { transient: true }),
    new DynamoDbFailure('TransactionCanceledException', '', { reasons: ['ThrottlingError', 'None'] }),
  ])('throws when it was not decided: $code', async (failure) => {
    const { markFirstUse } = writer(WHOLE, failure);
    await expect(markFirstUse(ID, DIGEST, origin)).rejects.toBe(failure);
  });

  it('refuses a record it cannot read', async () => {
    const { markFirstUse, calls } = writer({ ...WHOLE, metadata: { BS: ['x'] } });
    await expect(markFirstUse(ID, DIGEST, origin)).rejects.toMatchObject({ name: 'UnexpectedItem' });
    expect(calls).toHaveLength(1);
  });
});
