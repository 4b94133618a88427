import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import {
  DynamoDBDocumentClient,
  GetCommand,
  QueryCommand,
  TransactWriteCommand,
} from '@aws-sdk/lib-dynamodb';
import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { mockClient } from 'aws-sdk-client-mock';
import { attributesOfKey } from '../../lib/key-item.ts';
import { newKey } from '../../lib/new-key.ts';

const DAY = 86_400_000;
const before = { ...process.env };
Object.assign(process.env, {
  AWS_REGION: 'us-east-1',
  REKEY_TABLE_NAME: 'keys',
  REKEY_EVENT_RETENTION_DAYS: '400',
  REKEY_RETENTION_DAYS: '90',
  REKEY_NOTIFY_DAYS_BEFORE: '14',
  REKEY_EVENT_BUS_NAME: 'Rekey-events',
  POWERTOOLS_METRICS_NAMESPACE: 'Rekey',
  POWERTOOLS_SERVICE_NAME: 'Rekey',
});
const dynamodb = mockClient(DynamoDBDocumentClient);
const eventBridge = mockClient(EventBridgeClient);
const { handler } = await import('../../functions/sweep-keys.ts');

/** Keys that end in ten days: each has its notice due. */
const keys = Array.from({ length: 100 }, () => {
  const now = Date.now();
  const { record } = newKey(
    {
      owner_id: 'team',
      owner_access: 'own',
      name: 'n',
      environment: 'live',
      scopes: ['orders:read'],
      expires_at: new Date(now + 10 * DAY).toISOString(),
      metadata: {},
      notify_days_before: null,
      created_by: 'system:test',
    },
    now - 80 * DAY,
    { key_prefix: 'rk', retention_days: 90, notify_days_before: [14] },
  );
  return record;
});

let metrics: Record<string, unknown>[];
beforeEach(() => {
  dynamodb.reset();
  eventBridge.reset();
  eventBridge.on(PutEventsCommand).resolves({ FailedEntryCount: 0, Entries: [{ EventId: '1' }] });
  dynamodb.on(QueryCommand).resolves({ Items: [] });
  dynamodb.on(GetCommand).resolves({});
  dynamodb
    .on(QueryCommand, { ExpressionAttributeValues: { ':shard': 'key_0' } }, false)
    .resolves({ Items: keys.map(({ id, next_action_at }) => ({ pk: id, sk: 'api_key', next_action_at })) });
  for (const key of keys)
    dynamodb.on(GetCommand, { Key: { pk: key.id, sk: 'api_key' } }).resolves({ Item: attributesOfKey(key) });
  dynamodb.on(TransactWriteCommand).resolves({});
  metrics = [];
  jest.spyOn(process.stdout, 'write').mockImplementation((line) => {
    metrics.push(JSON.parse(String(line)));
    return true;
  });
});
afterEach(() => {
  jest.restoreAllMocks();
});
afterAll(() => {
  process.env = before;
});

/** A function that has time to begin so many keys. */
const invoke = (times: number, awsRequestId = 'invocation-1') => {
  let left = times;
  return handler({}, {
    awsRequestId,
    getRemainingTimeInMillis: () => (left-- > 0 ? 30_001 : 30_000),
  } as unknown as Context);
};

describe('sweep-keys', () => {
  it('does what is due, says what it did as metrics, and asks for no other sweep', async () => {
    expect(await invoke(1_000)).toMatchObject({ keys: 100, events: 100, failed: 0, finished: true });
    expect(metrics).toEqual([
      expect.objectContaining({
        service: 'Rekey',
        keys_swept: 100,
        events_recorded: 100,
        keys_failed: 0,
        overdue_keys: 0,
        oldest_due_age_seconds: expect.any(Number),
      }),
    ]);
    const { oldest_due_age_seconds } = metrics[0] as { oldest_due_age_seconds: number };
    expect(Math.abs(oldest_due_age_seconds - (4 * DAY) / 1000)).toBeLessThan(60);
    expect(eventBridge.commandCalls(PutEventsCommand)).toHaveLength(0);
  });

  it('begins no key in its last 30 seconds, and asks for the next sweep at once', async () => {
    expect(await invoke(7)).toMatchObject({ keys: 7, events: 7, finished: false });
    expect(eventBridge.commandCalls(PutEventsCommand).map(({ args }) => args[0].input)).toEqual([
      {
        Entries: [
          {
            EventBusName: 'Rekey-events',
            Source: 'rekey.system',
            DetailType: 'sweep.unfinished',
            Detail: '{}',
          },
        ],
      },
    ]);
  });

  it('asks for no other sweep when it got nothing done', async () => {
    expect(await invoke(0)).toMatchObject({ keys: 0, finished: false });
    expect(eventBridge.commandCalls(PutEventsCommand)).toHaveLength(0);
  });

  it('fails, so that Lambda starts it again, when the bus does not take its request', async () => {
    eventBridge
      .on(PutEventsCommand)
      .resolves({ FailedEntryCount: 1, Entries: [{ ErrorCode: 'ThrottlingException' }] });
    await expect(invoke(7)).rejects.toThrow('the bus did not take sweep.unfinished: ThrottlingException');
    expect(metrics).toHaveLength(1);
  });
});
