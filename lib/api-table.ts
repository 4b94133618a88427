import { z } from 'zod';
import { Api } from './api.schema.ts';
import { apiEvent } from './api-event.ts';
import type { ApiChange } from './api-registration.ts';
import { knownScopes, unknownScopes } from './catalog.ts';
import type { Origin } from './event.ts';
import { putEvent } from './event-table.ts';
import { ScopeInUse, Unavailable } from './problem.ts';
import { countHolders } from './scope-holders.ts';
import {
  ConditionFailed,
  environmentTable,
  type KeyTable,
  names,
  pause,
  queryAll,
  type TransactItems,
  transact,
} from './table-client.ts';
import { CATALOG, SORT_KEY } from './table-layout.ts';

/** How often a registration is decided anew because somebody else's came first. */
const MOST_DECISIONS = 8;
/** Milliseconds for which a process believes that what it knows is all there is, before it lets a scope pass. */
const KNOWN_FOR = 60_000;

/** An API that was registered by a request has its own id; of a stack, each table of routes has its own. */
const sortKeyOf = ({ id, source, routes_hash }: Pick<Api, 'id' | 'source' | 'routes_hash'>): string =>
  source === 'request' ? id : `${id}/${routes_hash}`;

const placeOf = (api: Api) => ({ pk: CATALOG, sk: sortKeyOf(api) });
/** What the authorizer reads: docs/storage.md. */
const routesOf = (id: string) => ({ pk: `routes_${id}`, sk: SORT_KEY.currentRoutes });

/** `id` is in the sort key and not stored again: with it and `owner_id` the item would be in an index of keys. */
const itemOf = ({ id: _id, routes, ...api }: Api) => ({ ...api, routes: JSON.stringify(routes) });
/** What was found good once is not judged again by rules that may be stricter by now. */
const Stored = Api.extend({
  routes: z.record(z.string(), z.custom<Api['routes'][string]>()),
  scopes: z.record(z.string(), z.string()),
});
const apiOf = (item: Record<string, unknown>): Api =>
  Stored.parse({ ...item, id: String(item['sk']).split('/')[0], routes: JSON.parse(String(item['routes'])) });

/** Every registration, read consistently. */
export async function readApis(table: KeyTable = environmentTable()): Promise<Api[]> {
  const apis: Api[] = [];
  const stored = queryAll(table, {
    KeyConditionExpression: '#pk = :catalog',
    ExpressionAttributeNames: names('pk'),
    ExpressionAttributeValues: { ':catalog': CATALOG },
    ConsistentRead: true,
  });
  for await (const item of stored) apis.push(apiOf(item));
  return apis;
}

/**
 * Registers, replaces or deletes an API as `decide` says, which is asked again with what is there by then when
 * somebody else's write came first. The registration, what the authorizer reads, and the event are one transaction.
 *
 * @param force whether scopes that active keys hold may go
 * @returns what was written; undefined when there was nothing to write
 * @throws what `decide` throws; ScopeInUse; Unavailable
 */
export async function changeApi(
  decide: (apis: Api[]) => ApiChange | undefined,
  { force, origin }: { force: boolean; origin: Origin },
  table: KeyTable = environmentTable(),
): Promise<ApiChange | undefined> {
  for (let decisions = 1; ; decisions++) {
    const change = decide(await readApis(table));
    if (!change) return undefined;
    if (!force) await demandUnused(change.lost_scopes, origin.now, table);
    const outcome = await transact(table, [
      writing(change, table),
      ...authorizing(change, table),
      putEvent(apiEvent(change, origin), table),
    ]);
    if (!(outcome instanceof ConditionFailed)) return change;
    if (decisions === MOST_DECISIONS) throw new Unavailable(1);
    await pause(decisions);
  }
}

/** The registration itself, to the version it was decided from. */
export function writing({ before, after }: ApiChange, table: KeyTable): TransactItems[number] {
  const condition = before
    ? {
        ConditionExpression: '#version = :version',
        ExpressionAttributeNames: names('version'),
        ExpressionAttributeValues: { ':version': before.version },
      }
    : { ConditionExpression: 'attribute_not_exists(#pk)', ExpressionAttributeNames: names('pk') };
  if (after)
    return {
      Put: { TableName: table.tableName, Item: { ...placeOf(after), ...itemOf(after) }, ...condition },
    };
  if (!before) throw new Error('there is nothing to delete');
  return { Delete: { TableName: table.tableName, Key: placeOf(before), ...condition } };
}

/** The routes for the authorizer. A stack's have their own way to it (lib/route-table.ts). */
function authorizing({ before, after }: ApiChange, table: KeyTable): TransactItems {
  const api = after ?? before;
  if (!api || api.source === 'stack') return [];
  if (!after) return [{ Delete: { TableName: table.tableName, Key: routesOf(api.id) } }];
  const { id, owner_id, routes, routes_hash, stages } = after;
  const cached = stages.filter(({ cache_header }) => cache_header !== null);
  const Item = {
    ...routesOf(id),
    ...{ owner_id, routes_hash, routes: JSON.stringify(routes) },
    cached_stages: cached.map(({ name }) => name).join(' '),
  };
  return [{ Put: { TableName: table.tableName, Item } }];
}

/** @throws ScopeInUse when active keys hold one of these scopes by its name */
export async function demandUnused(scopes: string[], now: number, table: KeyTable): Promise<void> {
  if (scopes.length === 0) return;
  const { holders, complete } = await countHolders(scopes, now, table);
  const in_use = holders.filter(({ active_keys }) => active_keys > 0);
  if (in_use.length > 0)
    throw new ScopeInUse(in_use.map(({ scope, active_keys }) => ({ scope, active_keys })));
  if (!complete) throw new ScopeInUse(null);
}

let kept: { tableName: string; known: Set<string>; until: number } | undefined;

/**
 * The scopes that some API knows, good enough to say yes: what is not known in what this process has kept is looked
 * for again, so nothing that was registered is refused.
 *
 * @param grants what is asked about
 */
export async function knownFor(
  grants: readonly string[],
  table: KeyTable = environmentTable(),
): Promise<ReadonlySet<string>> {
  const fresh =
    kept && kept.tableName === table.tableName && performance.now() < kept.until ? kept : undefined;
  if (fresh && unknownScopes(grants, fresh.known).length === 0) return fresh.known;
  const known = knownScopes(await readApis(table));
  kept = { tableName: table.tableName, known, until: performance.now() + KNOWN_FOR };
  return known;
}
