import { DynamoDBDocumentClient, GetCommand, TransactWriteCommand } from '@aws-sdk/lib-dynamodb';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { mockClient } from 'aws-sdk-client-mock';
import { attributesOfKey } from '../../../lib/key-item.ts';
import { newKey } from '../../../lib/new-key.ts';
import { verifyKey } from '../../../lib/operations/verify-key.ts';
import { call } from '../api-event.ts';

const dynamodb = mockClient(DynamoDBDocumentClient);
const before = { ...process.env };
const logged: string[] = [];
beforeEach(() => {
  dynamodb.reset();
  logged.length = 0;
  for (const level of ['info', 'error'] as const)
    jest.spyOn(console, level).mockImplementation((line) => void logged.push(String(line)));
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    REKEY_TABLE_NAME: 'keys',
    REKEY_EVENT_RETENTION_DAYS: '400',
    REKEY_RETENTION_DAYS: '90',
    REKEY_NOTIFY_DAYS_BEFORE: '14',
    REKEY_KEY_PREFIX: 'rk',
    REKEY_LATE_USE_MINUTES: '60',
  });
});
afterEach(() => {
  jest.restoreAllMocks();
  process.env = { ...before };
});

const aKey = (facts: object = {}) => {
  const decided = {
    owner_id: 'team',
    owner_access: 'own',
    name: 'n',
    environment: 'live',
    scopes: ['orders:read'],
    expires_at: new Date(Date.now() + 1e9).toISOString(),
    metadata: {},
    notify_days_before: null,
    created_by: 'system:test',
  } as const;
  const { key, record } = newKey({ ...decided, scopes: [...decided.scopes] }, Date.now(), {
    key_prefix: 'rk',
    retention_days: 90,
    notify_days_before: [14],
  });
  return { key: key.reveal(), item: { pk: record.id, sk: 'api_key', ...attributesOfKey(record), ...facts } };
};
const verify = (key: string) => call(verifyKey, { json: { key } });
const refused = Object.assign(new Error('Transaction cancelled'), {
  name: 'TransactionCanceledException',
  $metadata: { httpStatusCode: 400 },
  CancellationReasons: [{ Code: 'ConditionalCheckFailed' }, { Code: 'None' }],
});

describe('verify-key', () => {
  it('says revoked of a key that is revoked between its reading and its first use', async () => {
    const { key, item } = aKey();
    const revoked = { ...item, revoked_at: new Date().toISOString() };
    dynamodb.on(GetCommand).resolvesOnce({ Item: item }).resolves({ Item: revoked });
    dynamodb.on(TransactWriteCommand).rejects(refused);
    expect((await verify(key)).body).toMatchObject({ valid: false, code: 'revoked' });
  });

  it('says not_found of a key whose secret is replaced between its reading and its first use', async () => {
    const { key, item } = aKey();
    dynamodb
      .on(GetCommand)
      .resolvesOnce({ Item: item })
      .resolves({ Item: { ...item, digest: 'f'.repeat(64) } });
    dynamodb.on(TransactWriteCommand).rejects(refused);
    expect((await verify(key)).body).toEqual({ valid: false, code: 'not_found', missing_scopes: [] });
  });

  it('reads consistently, and writes nothing for a key that has been used before', async () => {
    const { key, item } = aKey({ first_used_at: '2026-11-24T10:00:00.000Z' });
    dynamodb.on(GetCommand).resolves({ Item: item });
    expect((await verify(key)).body.code).toBe('valid');
    expect(dynamodb.commandCalls(GetCommand)[0]!.args[0].input.ConsistentRead).toBe(true);
    expect(dynamodb.commandCalls(TransactWriteCommand)).toHaveLength(0);
  });

  it('does not look for what cannot be a key', async () => {
    expect((await verify('sk_live_somebody_elses')).body.code).toBe('malformed');
    expect(dynamodb.calls()).toHaveLength(0);
  });

  it('never says valid when the first use cannot be written: 503, and no key in the log', async () => {
    const { key, item } = aKey();
    dynamodb.on(GetCommand).resolves({ Item: item });
    dynamodb
      .on(TransactWriteCommand)
      .rejects(Object.assign(new Error(`slow down ${key}`), { name: 'ThrottlingException' }));
    const answer = await verify(key);
    expect(answer).toMatchObject({ status: 503, body: { type: 'urn:rekey:problem:unavailable' } });
    expect(answer.headers['retry-after']).toMatch(/^\d+$/);
    expect(answer.text + logged.join()).not.toContain(key.slice(30, 70));
  });

  it.each([
    (key: string) => ({ kye: key }),
    (key: string) => ({ [key]: 'x' }),
    (key: string) => ({ key: [key] }),
    (key: string) => ({ key: { key } }),
    (key: string) => ({ key: key.repeat(7) }),
    (key: string) => ({ key: 'x', required_scopes: [key] }),
    (key: string) => ({ key: 'x', required_scopes: key }),
    (key: string) => ({ key: 'x', required_scopes: { [key]: key } }),
    (key: string) => key,
    (key: string) => [key],
  ])('repeats no key in an answer or a log, wherever in the body it is: case %#', async (wrong) => {
    const { key } = aKey();
    const answer = await call(verifyKey, { json: wrong(key) });
    expect(answer.status).toBe(400);
    expect(answer.text + logged.join()).not.toContain(key.slice(8, 40));
    const cut = await call(verifyKey, {
      body: JSON.stringify(wrong(key)).slice(0, -1),
      headers: { 'content-type': 'application/json' },
    });
    expect(cut.status).toBe(400);
    expect(cut.text + logged.join()).not.toContain(key.slice(8, 40));
  });
});
