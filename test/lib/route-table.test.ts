import { ConditionalCheckFailedException, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, PutCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { mockClient } from 'aws-sdk-client-mock';
import { registerRoutes, routeTables } from '../../lib/route-table.ts';
import { routesHash } from '../../lib/routes.ts';

const dynamoDb = mockClient(DynamoDBDocumentClient);
const tables = routeTables({
  client: DynamoDBDocumentClient.from(new DynamoDBClient({ region: 'us-east-1' })),
  tableName: 'Keys',
  eventRetentionDays: 400,
});

const routes = { 'GET /orders': ['orders:read'], 'GET /health': [] };
const hash = routesHash(routes);
const name = `routes_abc123/${hash}`;
const now = Date.parse('2026-11-24T12:00:00Z');

const ask = (change: Record<string, unknown>) => {
  const event = {
    RequestType: 'Create',
    ResourceProperties: { RestApiId: 'abc123', Hash: hash, Routes: JSON.stringify(routes) },
    ...change,
  };
  return registerRoutes(event as unknown as CloudFormationCustomResourceEvent, now, tables);
};
const properties = (change: Record<string, unknown>) => ({
  ResourceProperties: { RestApiId: 'abc123', Hash: hash, Routes: JSON.stringify(routes), ...change },
});

describe('the registration of routes', () => {
  beforeEach(() => {
    dynamoDb.reset();
  });

  it('keeps a table of routes under its API and its hash, and names it so', async () => {
    expect(await ask({})).toBe(name);
    expect(dynamoDb.commandCalls(PutCommand).map(({ args }) => args[0].input)).toEqual([
      { TableName: 'Keys', Item: { pk: 'routes_abc123', sk: hash, routes: JSON.stringify(routes) } },
    ]);
  });

  it('names a changed table anew, so that CloudFormation gives the old one up when all else is done', async () => {
    const changed = { 'GET /orders': ['orders:list'] };
    const id = await ask({
      RequestType: 'Update',
      PhysicalResourceId: name,
      ...properties({ Hash: routesHash(changed), Routes: JSON.stringify(changed) }),
    });
    expect(id).toBe(`routes_abc123/${routesHash(changed)}`);
    expect(id).not.toBe(name);
    expect(dynamoDb.commandCalls(UpdateCommand)).toEqual([]);
  });

  it('gives up exactly the table that is named, a day later', async () => {
    expect(await ask({ RequestType: 'Delete', PhysicalResourceId: name })).toBe(name);
    const [call] = dynamoDb.commandCalls(UpdateCommand).map(({ args }) => args[0].input);
    expect(call).toMatchObject({
      Key: { pk: 'routes_abc123', sk: hash },
      UpdateExpression: 'SET #ttl = :ttl',
      ConditionExpression: 'attribute_exists(#pk)',
      ExpressionAttributeValues: { ':ttl': now / 1000 + 86_400 },
    });
    expect(dynamoDb.calls()).toHaveLength(1);
  });

  it('has nothing to give up when the table is gone, or was never made', async () => {
    dynamoDb
      .on(UpdateCommand)
      .rejects(
        new ConditionalCheckFailedException({ message: 'The conditional request failed', $metadata: {} }),
      );
    await expect(ask({ RequestType: 'Delete', PhysicalResourceId: name })).resolves.toBe(name);

    dynamoDb.reset();
    await expect(ask({ RequestType: 'Delete', PhysicalResourceId: 'nothing' })).resolves.toBe('nothing');
    expect(dynamoDb.calls()).toEqual([]);
  });

  it('fails when the table of routes cannot be given up', async () => {
    dynamoDb.on(UpdateCommand).rejects(new Error('AccessDenied'));
    await expect(ask({ RequestType: 'Delete', PhysicalResourceId: name })).rejects.toThrow('AccessDenied');
  });

  it.each([
    ['a hash of other routes', { Hash: routesHash({ 'GET /orders': [] }) }, 'are not those that the hash'],
    ['a hash that is none', { Hash: 'latest' }, 'Hash must be 64 hex digits'],
    ['an API id that is none', { RestApiId: 'a/b' }, 'RestApiId must be'],
    ['a route that is none', { Routes: '{"GET orders":["orders:read"]}' }, 'Route "GET orders"'],
    ['a scope with a wildcard', { Routes: '{"GET /orders":["orders:*"]}' }, 'Route "GET /orders"'],
    ['routes that are not JSON', { Routes: 'GET /orders' }, 'JSON'],
    ['no routes', { Routes: undefined }, 'RestApiId, Hash and Routes must be text'],
  ])('refuses %s, and writes nothing', async (_, change, sentence) => {
    await expect(ask(properties(change))).rejects.toThrow(sentence);
    expect(dynamoDb.calls()).toEqual([]);
  });
});
