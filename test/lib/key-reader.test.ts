import { describe, expect, it } from '@jest/globals';
import { type DynamoDbCall, DynamoDbFailure } from '../../lib/dynamodb-http.ts';
import { createKeyReader } from '../../lib/key-reader.ts';

const ID = 'key_0123456789abcdefghijkl';

const ITEM = {
  id: { S: ID },
  owner_id: { S: 'team:billing/eu' },
  owner_access: { S: 'own' },
  environment: { S: 'live' },
  scopes: { L: [{ S: 'orders:*' }, { S: 'orders:read' }] },
  expires_at: { S: '2026-12-24T12:00:00.000Z' },
  rotated_at: { NULL: true },
  revoked_at: { NULL: true },
  first_used_at: { NULL: true },
  digest: { S: 'a'.repeat(64) },
};

const reader = (answer: unknown) => {
  const calls: [string, Record<string, unknown>][] = [];
  const call: DynamoDbCall = async (operation, input) => {
    calls.push([operation, input as Record<string, unknown>]);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { ...createKeyReader({ table: 'keys', call }), calls };
};

describe('reading a key', () => {
  it('gives the facts that a decision needs', async () => {
    expect(await reader({ Item: ITEM }).getKey(ID)).toEqual({
      id: ID,
      owner_id: 'team:billing/eu',
      owner_access: 'own',
      environment: 'live',
      scopes: ['orders:*', 'orders:read'],
      expires_at: '2026-12-24T12:00:00.000Z',
      rotated_at: null,
      revoked_at: null,
      first_used_at: null,
      digest: 'a'.repeat(64),
    });
  });

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
      Object.keys(ITEM).sort(),
    );
  });

  it('is undefined when there is no such key', async () => {
    expect(await reader({}).getKey(ID)).toBeUndefined();
  });

  const changed = (name: string, value: unknown) => ({ Item: { ...ITEM, [name]: value } });
  const without = (name: string) => ({
    Item: Object.fromEntries(Object.entries(ITEM).filter(([n]) => n !== name)),
  });

  it.each(Object.keys(ITEM))('refuses a record without %s', async (name) => {
    await expect(reader(without(name)).getKey(ID)).rejects.toMatchObject({ name: 'UnexpectedItem' });
  });

  it.each([
    ['another id', changed('id', { S: 'key_0123456789abcdefghijkm' })],
    ['revoked_at of no form', changed('revoked_at', { S: '' })],
    ['revoked_at NULL false', changed('revoked_at', { NULL: false })],
    ['revoked_at with two types', changed('revoked_at', { NULL: true, S: '2026-11-24T12:00:00.000Z' })],
    ['expires_at without milliseconds', changed('expires_at', { S: '2026-12-24T12:00:00Z' })],
    ['expires_at as a number', changed('expires_at', { N: '1790000000' })],
    ['expires_at followed by a line', changed('expires_at', { S: '2026-12-24T12:00:00.000Z\n' })],
    ['scopes as text', changed('scopes', { S: '*:*' })],
    ['scopes as a set', changed('scopes', { SS: ['*:*'] })],
    ['no scopes', changed('scopes', { L: [] })],
    ['101 scopes', changed('scopes', { L: Array(101).fill({ S: 'a:b' }) })],
    ['a scope with a space, which would be two', changed('scopes', { L: [{ S: 'a:b *:*' }] })],
    ['a scope that is a number', changed('scopes', { L: [{ N: '1' }] })],
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

  it('sets that one attribute, if the key is as it was read', async () => {
    const { markFirstUse, calls } = reader({});
    expect(await markFirstUse(ID, 'a'.repeat(64), AT)).toBe(true);
    const [operation, input] = calls[0]!;
    expect(operation).toBe('UpdateItem');
    expect(input['UpdateExpression']).toBe('SET #first_used_at = :at');
    expect(input['ConditionExpression']).toContain('#digest = :digest');
    expect(input['ConditionExpression']).toContain('attribute_type(#revoked_at, :null)');
    expect(input['ConditionExpression']).toContain('attribute_type(#first_used_at, :null)');
  });

  it('says false when the condition failed', async () => {
    const { markFirstUse } = reader(new DynamoDbFailure('ConditionalCheckFailedException', ''));
    expect(await markFirstUse(ID, 'a'.repeat(64), AT)).toBe(false);
  });

  it('throws when it was not decided', async () => {
    const { markFirstUse } = reader(new DynamoDbFailure('ThrottlingException', '', { transient: true }));
    await expect(markFirstUse(ID, 'a'.repeat(64), AT)).rejects.toMatchObject({ code: 'ThrottlingException' });
  });
});
