import type { DynamoDbCall } from './dynamodb-http.ts';
import { itemOf, textOf, UnexpectedItem } from './key-reader.ts';
import { type RouteScopes, routesHash } from './routes.ts';

/** At 200 KB for the largest table this is 10 MB; an authorizer rarely serves more APIs at once. */
const MOST_TABLES = 50;

const HASH = /^[0-9a-f]{64}$/;
const API_ID = /^[a-z0-9]{1,32}$/;

export type RouteReader = ReturnType<typeof createRouteReader>;

/**
 * Reads the table of routes that a stage names by its hash. What a hash names never changes, so a table that was
 * read once is kept as long as the function lives; what was not found is looked for again.
 *
 * @param capacity how many tables are kept; the one that was not used for longest goes first
 */
export function createRouteReader({
  table,
  call,
  capacity = MOST_TABLES,
}: {
  table: string;
  call: DynamoDbCall;
  capacity?: number;
}) {
  const kept = new Map<string, RouteScopes>();

  const read = async (apiId: string, hash: string): Promise<RouteScopes | undefined> => {
    const item = itemOf(
      await call('GetItem', {
        TableName: table,
        Key: { pk: { S: `routes_${apiId}` }, sk: { S: hash } },
        ConsistentRead: true,
        ProjectionExpression: '#routes',
        ExpressionAttributeNames: { '#routes': 'routes' },
      }),
    );
    if (!item) return undefined;

    const routes = JSON.parse(textOf(item, 'routes', /^\{.*\}$/s));
    // Who could change this item could open a route; the hash comes from the API's own stage.
    if (routesHash(routes) !== hash) throw new UnexpectedItem('the routes are not those the stage names');
    return routes;
  };

  /**
   * @param hash the stage variable `rekeyRoutes`
   * @returns undefined when there is no such table: then no route is declared
   * @throws DynamoDbFailure, UnexpectedItem
   */
  return async (apiId: string, hash: string | undefined): Promise<RouteScopes | undefined> => {
    if (hash === undefined || !HASH.test(hash) || !API_ID.test(apiId)) return undefined;

    const name = `${apiId}/${hash}`;
    const routes = kept.get(name) ?? (await read(apiId, hash));
    if (!routes) return undefined;

    // A map keeps the order of insertion: deleted and set again, this one is the youngest.
    kept.delete(name);
    kept.set(name, routes);
    if (kept.size > capacity) kept.delete(kept.keys().next().value as string);
    return routes;
  };
}
