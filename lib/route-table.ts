import { ConditionalCheckFailedException } from '@aws-sdk/client-dynamodb';
import { PutCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { routesHash, validateRoutes } from './routes.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/**
 * Seconds that a table of routes stays after it was given up. A stage that changes does not change everywhere at
 * once: requests that still name the old table must find it.
 */
const AFTERLIFE = 24 * 60 * 60;

/** Names one table of routes: an API of API Gateway, and the hash of what the table says. */
export interface RouteTableName {
  restApiId: string;
  hash: string;
}

export interface RouteTables {
  /**
   * Keeps a table of routes under its hash. What a hash names never changes, so doing it again changes nothing.
   *
   * @throws Error naming the bad route, or when the routes are not those that the hash names
   */
  put(name: RouteTableName, routes: unknown): Promise<void>;
  /** Gives one table of routes up: it goes a day later. Other tables of the same API stay. */
  giveUp(name: RouteTableName, now: number): Promise<void>;
}

const REST_API_ID = /^[a-z0-9]{1,32}$/;
const HASH = /^[0-9a-f]{64}$/;

const itemKey = ({ restApiId, hash }: RouteTableName) => {
  if (!REST_API_ID.test(restApiId))
    throw new Error('RestApiId must be 1 to 32 lower-case letters and digits');
  if (!HASH.test(hash)) throw new Error('Hash must be 64 hex digits');
  return { pk: `routes_${restApiId}`, sk: hash };
};

/** The tables of routes in DynamoDB. docs/storage.md describes the item; lib/route-reader.ts reads it. */
export function routeTables({ client, tableName }: KeyTable = environmentTable()): RouteTables {
  return {
    async put(name, candidate) {
      const key = itemKey(name);
      const routes = validateRoutes(candidate);
      if (routesHash(routes) !== name.hash) {
        throw new Error(`The routes are not those that the hash ${name.hash} names`);
      }
      // A whole item: there is nothing else in it, and one that was given up is wanted again.
      await client.send(
        new PutCommand({ TableName: tableName, Item: { ...key, routes: JSON.stringify(routes) } }),
      );
    },

    async giveUp(name, now) {
      try {
        await client.send(
          new UpdateCommand({
            TableName: tableName,
            Key: itemKey(name),
            UpdateExpression: 'SET #ttl = :ttl',
            ConditionExpression: 'attribute_exists(#pk)',
            ExpressionAttributeNames: { '#ttl': 'ttl', '#pk': 'pk' },
            ExpressionAttributeValues: { ':ttl': Math.floor(now / 1000) + AFTERLIFE },
          }),
        );
      } catch (error) {
        // Gone already, or never there: CloudFormation asks to delete what it could not create.
        if (!(error instanceof ConditionalCheckFailedException)) throw error;
      }
    },
  };
}

/** `routes_<REST API id>/<hash>`: CloudFormation gives up exactly the table that it no longer needs. */
const PHYSICAL_ID = /^routes_([a-z0-9]{1,32})\/([0-9a-f]{64})$/;

/**
 * Does what CloudFormation asks of a `Custom::RekeyRoutes`, whose properties are `RestApiId`, `Hash` and `Routes`
 * (JSON text).
 *
 * @param now epoch milliseconds
 * @returns the physical id: a new one makes CloudFormation delete the old one once all else is updated
 * @throws Error for the person who deploys to read
 */
export async function registerRoutes(
  event: CloudFormationCustomResourceEvent,
  now: number,
  tables: RouteTables = routeTables(),
): Promise<string> {
  if (event.RequestType === 'Delete') {
    const [, restApiId, hash] = PHYSICAL_ID.exec(event.PhysicalResourceId) ?? [];
    if (restApiId !== undefined && hash !== undefined) await tables.giveUp({ restApiId, hash }, now);
    return event.PhysicalResourceId;
  }
  const { RestApiId: restApiId, Hash: hash, Routes: routes } = event.ResourceProperties;
  if (typeof restApiId !== 'string' || typeof hash !== 'string' || typeof routes !== 'string') {
    throw new Error('RestApiId, Hash and Routes must be text');
  }
  await tables.put({ restApiId, hash }, JSON.parse(routes));
  return `routes_${restApiId}/${hash}`;
}
