import { createHash } from 'node:crypto';
import { isRequirement, normalizeScopes } from './scope.ts';

/**
 * The scopes each route needs, all of them: `{ 'GET /orders/{id}': ['orders:read'] }`. The method may be `ANY`;
 * an empty list is a route declared public.
 */
export type RouteScopes = Record<string, string[]>;

const MOST_ROUTES = 500;
const MOST_SCOPES = 20;
/** Bytes. Well under a DynamoDB item (400 KB), which is where the table of routes is kept. */
const LARGEST_TABLE = 200_000;

const ROUTE = /^(?:ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (\/[!-~]{0,511})$/;
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

/**
 * Checks a table of routes and gives it back typed.
 *
 * @throws Error naming the bad route
 */
export function validateRoutes(routes: unknown): RouteScopes {
  if (!isTable(routes)) throw new Error('The routes must be an object of routes and their scopes');
  const entries = Object.entries(routes);
  if (entries.length > MOST_ROUTES)
    throw new Error(`There are ${entries.length} routes; ${MOST_ROUTES} is the limit`);

  for (const [route, scopes] of entries) {
    const name = JSON.stringify(route.slice(0, 200));
    const path = ROUTE.exec(route)?.[1];
    if (path === undefined || !isResource(path)) {
      throw new Error(
        `Route ${name} must look like GET /orders/{id}: a method or ANY, a space, a resource path`,
      );
    }
    if (!Array.isArray(scopes)) throw new Error(`Route ${name} must have a list of scopes`);
    if (scopes.length > MOST_SCOPES)
      throw new Error(`Route ${name} needs ${scopes.length} scopes; ${MOST_SCOPES} is the limit`);
    if (!scopes.every((scope) => typeof scope === 'string' && isRequirement(scope))) {
      throw new Error(`Route ${name} must need scopes like orders:write, without a wildcard`);
    }
  }
  const size = Buffer.byteLength(JSON.stringify(routes));
  if (size > LARGEST_TABLE) throw new Error(`The routes take ${size} bytes; ${LARGEST_TABLE} is the limit`);
  return routes as RouteScopes;
}

/**
 * Names a table of routes by what it says: 64 hex digits, the same whatever the order of routes and scopes.
 *
 * @throws Error naming the bad route
 */
export function routesHash(routes: RouteScopes): string {
  const canonical = Object.entries(validateRoutes(routes))
    .map(([route, scopes]): [string, string[]] => [route, normalizeScopes(scopes)])
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(canonical)))
    .digest('hex');
}

/**
 * All scopes a request needs: those of its method, or those of `ANY`.
 *
 * @param resourcePath as declared (`/orders/{id}`), not the path of the request
 * @returns undefined for a route that was never declared, which is to be refused
 */
export function requiredScopes(
  routes: RouteScopes,
  method: string,
  resourcePath: string,
): string[] | undefined {
  for (const route of [`${method} ${resourcePath}`, `ANY ${resourcePath}`]) {
    if (Object.hasOwn(routes, route)) return Array.isArray(routes[route]) ? routes[route] : undefined;
  }
  return undefined;
}
