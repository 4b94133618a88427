import { matchResource } from '../api-gateway/routing.ts';
import type { RouteModel } from './model.ts';

/** What `ANY` stands for. */
const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

const isGreedy = (route: RouteModel): boolean => route.segments.at(-1)?.endsWith('+}') ?? false;

/**
 * The route that an HTTP API picks: a full match of path and method, then a greedy one, then `$default`
 * (AWS: http-api-develop-routes, "Route evaluation"). The path is matched as it was sent; what a slash at its end or
 * two in a row do is not documented, so only a greedy route takes them.
 */
export function matchRoute(
  routes: readonly RouteModel[],
  method: string,
  path: string,
): { route: RouteModel; pathParameters: Record<string, string> } | undefined {
  const isPlain = path === '/' || !(path.includes('//') || path.endsWith('/'));
  const candidates = routes.filter(
    (route) =>
      (route.method === method || (route.method === 'ANY' && METHODS.includes(method))) &&
      (isPlain || isGreedy(route)),
  );
  const match = matchResource(candidates, path);
  const byDefault = routes.find(({ routeKey }) => routeKey === '$default');
  if (!match) return byDefault && { route: byDefault, pathParameters: {} };
  // Of one path, the method itself before ANY.
  const same = match.resource.segments.join('/');
  const exact = candidates.find((route) => route.segments.join('/') === same && route.method === method);
  return { route: exact ?? match.resource, pathParameters: match.pathParameters };
}
