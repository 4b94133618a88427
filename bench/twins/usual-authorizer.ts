/**
 * An authorizer that decides the same, made as most are: the SDK's client and its document client, middy for the
 * boundary, zod for the event and the record.
 */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand } from '@aws-sdk/lib-dynamodb';
import middy from '@middy/core';
import httpHeaderNormalizer from '@middy/http-header-normalizer';
import type { APIGatewayAuthorizerResult } from 'aws-lambda';
import { z } from 'zod';
import { decideAccess } from '../../lib/access.ts';
import { digestOf, parseKey } from '../../lib/key-format.ts';
import { policyFor } from '../../lib/policy.ts';
import { requiredScopes, validateRoutes } from '../../lib/routes.ts';

const Environment = z.object({ REKEY_TABLE_NAME: z.string(), REKEY_KEY_PREFIX: z.string() });
const Event = z.object({
  type: z.literal('REQUEST'),
  methodArn: z.string(),
  httpMethod: z.string(),
  resource: z.string(),
  headers: z.record(z.string(), z.string().optional()),
  stageVariables: z.object({ rekeyRoutes: z.string() }),
  requestContext: z.object({ apiId: z.string(), requestId: z.string() }),
});
const Instant = z.iso.datetime().nullable();
const KeyRecord = z.object({
  id: z.string(),
  owner_id: z.string(),
  owner_access: z.enum(['own', 'any']),
  environment: z.enum(['live', 'test']),
  scopes: z
    .string()
    .transform((text) => text.split(' '))
    .pipe(z.array(z.string()).min(1).max(100)),
  expires_at: Instant,
  rotated_at: Instant,
  revoked_at: Instant,
  first_used_at: Instant,
  pending_until: Instant.default(null),
  digest: z.string(),
  honey: z.boolean().default(false),
});

const { REKEY_TABLE_NAME: TableName, REKEY_KEY_PREFIX: prefix } = Environment.parse(process.env);
const client = DynamoDBDocumentClient.from(new DynamoDBClient({}));
const tables = new Map<string, ReturnType<typeof validateRoutes>>();

const routesOf = async (apiId: string, hash: string) => {
  const known = tables.get(hash);
  if (known) return known;
  const Key = { pk: `routes_${apiId}`, sk: hash };
  const { Item } = await client.send(new GetCommand({ TableName, Key, ConsistentRead: true }));
  const routes = validateRoutes(JSON.parse(String(Item?.['routes'])));
  tables.set(hash, routes);
  return routes;
};

export const handler = middy<unknown, APIGatewayAuthorizerResult>()
  .use(httpHeaderNormalizer())
  .handler(async (input: unknown) => {
    const event = Event.parse(input);
    const text = event.headers['x-api-key'] ?? '';
    const presented = parseKey(text, prefix);
    if (!presented) throw new Error('Unauthorized');
    const Key = { pk: presented.id, sk: 'api_key' };
    const [{ Item }, routes] = await Promise.all([
      client.send(new GetCommand({ TableName, Key, ConsistentRead: true })),
      routesOf(event.requestContext.apiId, event.stageVariables.rekeyRoutes),
    ]);
    const record = Item && KeyRecord.parse(Item);
    const required = requiredScopes(routes, event.httpMethod, event.resource) ?? [];
    const { code } = decideAccess({ record, digest: digestOf(text), now: Date.now(), required });
    if (!record || ['not_found', 'revoked', 'expired', 'honey'].includes(code))
      throw new Error('Unauthorized');
    return {
      principalId: record.id,
      policyDocument: policyFor(code === 'valid' ? 'Allow' : 'Deny', event.methodArn),
      context: {
        key_id: record.id,
        owner_id: record.owner_id,
        owner_access: record.owner_access,
        environment: record.environment,
        scopes: record.scopes.join(' '),
      },
    };
  });
