import type { DynamoDbCall } from './dynamodb-http.ts';
import { itemOf, textOf, UnexpectedItem } from './key-reader.ts';
import { type RouteScopes, routesHash } from './routes.ts';

/** At 200 KB for the largest table this is 10 MB; an authorizer rarely serves more APIs at once. */
const MOST_TABLES = 50;

const HASH = /^[0-9a-f]{64}$/;
const API_ID = /^[a-z0-9]{1,32}$/;

export type RouteReader = ReturnType<typeof createRouteReader>;

/**
 * What a stage variable can hold of an owner's id: no `@` and no `+`, in whose place stand `~` and `,`, which no id has.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/stage-variables.html
 */
const asVariable = (owner_id: string): string => owner_id.replaceAll('@', '~').replaceAll('+', ',');

/** What the API's stage says of its routes: the hash of a table, or else who registered them. */
export interface StageRoutes {
  routesHash: string | undefined;
  registeredBy: string | undefined;
  /** The stage's name, when it keeps answers. */
  keptStage: string | undefined;
}

/**
 * Reads the table of routes of an API: the one that its stage names by its hash, or the one that the owner whom its
 * stage names has registered with `PUT /apis/{id}`. Whoever can't change the stage can't open the API.
 *
 * What a hash names never changes, so a table that was read once is kept as long as the function lives; what was not
 * found is looked for again. What was registered by PUT is read for every decision, beside the key.
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

  const getItem = async (apiId: string, sk: string) =>
    itemOf(
      await call('GetItem', {
        TableName: table,
        Key: { pk: { S: `routes_${apiId}` }, sk: { S: sk } },
        ConsistentRead: true,
        ProjectionExpression: '#routes, #routes_hash, #owner_id, #cached_stages',
        ExpressionAttributeNames: {
          '#routes': 'routes',
          '#routes_hash': 'routes_hash',
          '#owner_id': 'owner_id',
          '#cached_stages': 'cached_stages',
        },
      }),
    );

  const parse = (item: Record<string, unknown>, hash: string): RouteScopes => {
    const routes = JSON.parse(textOf(item, 'routes', /^\{.*\}$/s));
    // Who could change this item could open a route; the hash comes from the API's own stage.
    if (routesHash(routes) !== hash) throw new UnexpectedItem('the routes are not those the stage names');
    return routes;
  };

  const keep = (name: string, routes: RouteScopes): RouteScopes => {
    // A map keeps the order of insertion: deleted and set again, this one is the youngest.
    kept.delete(name);
    kept.set(name, routes);
    if (kept.size > capacity) kept.delete(kept.keys().next().value as string);
    return routes;
  };

  /**
   * @returns undefined when there is no such table: then no route is declared
   * @throws DynamoDbFailure, UnexpectedItem; Error for a stage that keeps answers and is not registered so: nobody would
   *   flush it
   */
  return async (
    apiId: string,
    { routesHash: hash, registeredBy, keptStage }: StageRoutes,
  ): Promise<RouteScopes | undefined> => {
    if (!API_ID.test(apiId)) return undefined;
    if (hash !== undefined) {
      if (!HASH.test(hash)) return undefined;
      const name = `${apiId}/${hash}`;
      const known = kept.get(name);
      if (known) return keep(name, known);
      const item = await getItem(apiId, hash);
      return item && keep(name, parse(item, hash));
    }
    if (!registeredBy) return undefined;
    const item = await getItem(apiId, 'current');
    if (!item || asVariable(textOf(item, 'owner_id', /^/)) !== registeredBy) return undefined;
    // Absent in registrations of earlier versions.
    if (keptStage && Object.hasOwn(item, 'cached_stages')) {
      if (!textOf(item, 'cached_stages', /^/).split(' ').includes(keptStage))
        throw new Error(
          `the stage ${keptStage} keeps answers that nobody would flush: register it with its cache_header, by PUT /apis/${apiId}`,
        );
    }
    const current = textOf(item, 'routes_hash', HASH);
    const name = `${apiId}/${current}`;
    return keep(name, kept.get(name) ?? parse(item, current));
  };
}
