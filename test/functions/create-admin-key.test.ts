import { DynamoDBDocumentClient, TransactWriteCommand } from '@aws-sdk/lib-dynamodb';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { mockClient } from 'aws-sdk-client-mock';
import { digestOf, parseKey } from '../../lib/key-format.ts';

const DAY = 86_400_000;
const dynamodb = mockClient(DynamoDBDocumentClient);
const { handler } = await import('../../functions/create-admin-key.ts');

const before = { ...process.env };
beforeEach(() => {
  dynamodb.reset();
  dynamodb.on(TransactWriteCommand).resolves({});
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    REKEY_TABLE_NAME: 'keys',
    REKEY_KEY_PREFIX: 'rk',
    REKEY_DEFAULT_LIFETIME_DAYS: '90',
    REKEY_MAX_LIFETIME_DAYS: '365',
    REKEY_ALLOW_NEVER_EXPIRING: 'false',
    REKEY_RETENTION_DAYS: '90',
    REKEY_EVENT_RETENTION_DAYS: '400',
    REKEY_NOTIFY_DAYS_BEFORE: '14',
  });
});
afterEach(() => {
  process.env = { ...before };
});

const written = () =>
  dynamodb
    .commandCalls(TransactWriteCommand)
    .flatMap((call) => call.args[0].input.TransactItems!.map(({ Put }) => Put!.Item!));

describe('create-admin-key', () => {
  it('makes a key of every scope for every owner, and stores its digest only', async () => {
    const { key, api_key } = await handler({ owner_id: 'platform', name: 'Root', expires_in_days: 7 }, {
      awsRequestId: 'invocation-1',
    } as Context);
    expect(parseKey(key, 'rk')).toEqual({ id: api_key.id, environment: 'live' });
    expect(api_key).toMatchObject({
      owner_id: 'platform',
      name: 'Root',
      owner_access: 'any',
      scopes: ['*:*'],
      environment: 'live',
      status: 'active',
      created_by: 'system:create-admin-key',
    });
    expect(Date.parse(api_key.expires_at!) - Date.parse(api_key.created_at)).toBe(7 * DAY);
    const [stored, event, ...more] = written();
    expect(stored).toMatchObject({ id: api_key.id, digest: digestOf(key) });
    expect(event).toMatchObject({ pk: `events_${api_key.id}`, event_type: 'api_key.created' });
    expect(JSON.parse(event!['event'])).toMatchObject({
      actor: 'system:create-admin-key',
      request_id: 'invocation-1',
      source_ip: null,
    });
    expect(more).toEqual([]);
    expect(JSON.stringify(written())).not.toContain(key.slice(30));
    expect(api_key).not.toHaveProperty('digest');
  });

  it.each([undefined, null, {}])('needs no payload: %j', async (payload) => {
    const { api_key } = await handler(payload);
    expect(api_key).toMatchObject({ owner_id: 'admin', name: 'Administrator' });
    expect(Date.parse(api_key.expires_at!) - Date.parse(api_key.created_at)).toBe(90 * DAY);
  });

  it.each([
    [{ owner_id: 'a b' }, '/owner_id must begin'],
    [{ owner_id: 5, name: '' }, '/owner_id must be a string; /name must have at least 1 character'],
    [{ scopes: ['a:b'] }, '/scopes is not a known field'],
    [{ expires_in_days: 366 }, '/expires_in_days must be a whole number from 1 to 365'],
    [JSON.parse('{"__proto__":{}}'), '/__proto__ must not be there'],
    ['text', 'the whole must be an object'],
    [[], 'the whole must be an object'],
  ])('refuses the payload %j in words, and writes nothing', async (payload, words) => {
    await expect(handler(payload)).rejects.toThrow(`The payload is not valid: ${words}`);
    expect(written()).toEqual([]);
  });
});
