import { createHash } from 'node:crypto';
import { isAnyOf, isRequirement, normalizeScopes, type Wanted } from './scope.ts';

/**
 * The scopes each route needs, all of them: `{ 'GET /orders/{id}': ['orders:read'] }`. The method may be `ANY`;
 * an empty list is a route declared public. A list of lists has alternatives: holding one of them whole is enough,
 * so `[[]]` is a route for any valid key. Of a WebSocket API the routes are `$connect`, `$default` and message keys.
 */
export type RouteScopes = Record<string, string[] | string[][]>;

/** A route for any valid key, whatever it holds. */
export const ANY_VALID_KEY: string[][] = [[]];

const MOST_ROUTES = 500;
const MOST_SCOPES = 20;
const MOST_ALTERNATIVES = 20;
/** Bytes. Well under a DynamoDB item (400 KB), which is where the table of routes is kept. */
const LARGEST_TABLE = 200_000;

const ROUTE = /^(?:ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (\/[!-~]{0,511})$/;
/** What a WebSocket API has routes for: opening, and messages by their key. It is known by its `$connect`. */
const WEB_SOCKET_ROUTE = /^(?:\$connect|\$default|[A-Za-z0-9][A-Za-z0-9_-]{0,127})$/;
/** What API Gateway allows in a part of a resource path: `a-zA-Z0-9._-:`, or one variable. */
const SEGMENT = /^(?:[A-Za-z0-9._:-]+|\{[A-Za-z0-9._-]+\})$/;
const GREEDY_SEGMENT = /^\{[A-Za-z0-9._-]+\+\}$/;

const isResource = (path: string): boolean => {
  if (path === '/') return true;
  const segments = path.slice(1).split('/');
  const variables = segments.filter((segment) => segment.startsWith('{'));
  return (
    new Set(variables.map((variable) => variable.replace('+', ''))).size === variables.length &&
    segments.every(
      (segment, index) =>
        SEGMENT.test(segment) || (index === segments.length - 1 && GREEDY_SEGMENT.test(segment)),
    )
  );
};

const isTable = (routes: unknown): routes is Record<string, unknown> =>
  typeof routes === 'object' && routes !== null && !Array.isArray(routes);

/** What is wrong with one route, and where. `detail` goes on from the name of the route or of its part. */
export interface RouteProblem {
  /** Into the table: `['GET /orders', 0]`. */
  path: (string | number)[];
  detail: string;
}

const scopeProblems = (route: string, scopes: unknown): RouteProblem[] => {
  const wrong = (detail: string, ...path: number[]): RouteProblem[] => [{ path: [route, ...path], detail }];
  if (!Array.isArray(scopes)) return wrong('must have a list of scopes');
  const isNested = isAnyOf(scopes);
  const alternatives: unknown[] = isNested ? scopes : [scopes];
  if (alternatives.length > MOST_ALTERNATIVES)
    return wrong(`has ${alternatives.length} alternatives; ${MOST_ALTERNATIVES} is the limit`);
  return alternatives.flatMap((all, index) => {
    const at = isNested ? [index] : [];
    if (!Array.isArray(all)) return wrong('mixes scopes and lists of scopes', ...at);
    if (all.length > MOST_SCOPES)
      return wrong(`needs ${all.length} scopes; ${MOST_SCOPES} is the limit`, ...at);
    return all.flatMap((scope, position) =>
      typeof scope === 'string' && isRequirement(scope)
        ? []
        : wrong('must need scopes like orders:write, without a wildcard', ...at, position),
    );
  });
};

/** All that is wrong with a table of routes; nothing: it is good. */
export function routeProblems(routes: unknown): RouteProblem[] {
  const ofTable = (detail: string): RouteProblem[] => [{ path: [], detail }];
  if (!isTable(routes)) return ofTable('must be an object of routes and their scopes');
  const entries = Object.entries(routes);
  if (entries.length > MOST_ROUTES)
    return ofTable(`has ${entries.length} routes; ${MOST_ROUTES} is the limit`);
  const size = Buffer.byteLength(JSON.stringify(routes));
  if (size > LARGEST_TABLE) return ofTable(`takes ${size} bytes; ${LARGEST_TABLE} is the limit`);

  const isWebSocket = Object.hasOwn(routes, '$connect');
  const isRoute = (route: string) => {
    const path = ROUTE.exec(route)?.[1];
    return isWebSocket ? WEB_SOCKET_ROUTE.test(route) : path !== undefined && isResource(path);
  };
  const form = isWebSocket
    ? 'must be $connect, $default or what a message names, like subscribe: this is a WebSocket API'
    : 'must look like GET /orders/{id}: a method or ANY, a space, a resource path';
  return entries.flatMap(([route, scopes]) => [
    ...(isRoute(route) ? [] : [{ path: [route], detail: form }]),
    ...scopeProblems(route, scopes),
  ]);
}

/**
 * Checks a table of routes and gives it back typed.
 *
 * @throws Error naming the first bad route
 */
export function validateRoutes(routes: unknown): RouteScopes {
  const [first] = routeProblems(routes);
  if (!first) return routes as RouteScopes;
  const [route] = first.path;
  const name =
    route === undefined ? 'The table of routes' : `Route ${JSON.stringify(String(route).slice(0, 200))}`;
  throw new Error(`${name} ${first.detail}`);
}

const canonicalOf = (scopes: string[] | string[][]): Wanted => {
  if (!isAnyOf(scopes)) return normalizeScopes(scopes as string[]);
  const texts = scopes.map((all) => JSON.stringify(normalizeScopes(all)));
  return [...new Set(texts)].sort().map((text): string[] => JSON.parse(text));
};

/**
 * The hash of a table that was checked before it was given a name. One that was not can have no such name, and whoever
 * only compares them need not bring the checks along.
 */
export function hashOfChecked(routes: RouteScopes): string {
  const canonical = Object.entries(routes)
    .map(([route, scopes]): [string, Wanted] => [route, canonicalOf(scopes)])
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(canonical)))
    .digest('hex');
}

/**
 * Names a table of routes by what it says: 64 hex digits, the same whatever the order of routes and scopes.
 *
 * @throws Error naming the bad route
 */
export const routesHash = (routes: RouteScopes): string => hashOfChecked(validateRoutes(routes));

/**
 * What a request needs: what its method says, or what `ANY` says.
 *
 * @param method of a WebSocket API: its route, `$connect`
 * @param resourcePath as declared (`/orders/{id}`), not the path of the request; empty for a WebSocket API
 * @returns undefined for a route that was never declared, which is to be refused
 */
export function requiredScopes(
  routes: RouteScopes,
  method: string,
  resourcePath: string,
): string[] | string[][] | undefined {
  const candidates = resourcePath === '' ? [method] : [`${method} ${resourcePath}`, `ANY ${resourcePath}`];
  for (const route of candidates) {
    if (Object.hasOwn(routes, route)) return Array.isArray(routes[route]) ? routes[route] : undefined;
  }
  return undefined;
}

/** Every scope that any of these routes needs, each once. */
export const scopesOfRoutes = (routes: RouteScopes): string[] => [
  ...new Set(Object.values(routes).flatMap((needed) => needed.flat())),
];
