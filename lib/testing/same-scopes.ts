import { Problem } from '../problem.ts';
import { LISTENER } from '../requires-scope/check.ts';
import type { RouteScopes } from '../routes.ts';
import { isAnyOf, normalizeScopes, type Wanted } from '../scope.ts';

/** By route, what handles it: `{ 'GET /orders': listOrders }`. */
// biome-ignore lint/suspicious/noExplicitAny: a handler takes the event and the context of its own framework
export type Handlers = Record<string, (event: any, context: any) => unknown>;

/** An event of the route that REST, HTTP and WebSocket handlers can tell it by. Its key is nobody's. */
const eventOf = (route: string, listener: (alternatives: Wanted) => void): Record<PropertyKey, unknown> => {
  const [method = '', path] = route.split(' ');
  const requestContext = { requestId: 'rekey-testing', routeKey: route, http: { method, path } };
  return {
    httpMethod: method,
    resource: path,
    path,
    rawPath: path,
    routeKey: route,
    headers: {},
    multiValueHeaders: {},
    queryStringParameters: {},
    pathParameters: {},
    body: '{}',
    isBase64Encoded: false,
    requestContext,
    [LISTENER]: listener,
  };
};

/** `a:read or b:read and c:read`, the same whatever the order. */
const inWords = (wanted: Wanted): string => {
  const alternatives = isAnyOf(wanted) ? wanted : [wanted as readonly string[]];
  return [...new Set(alternatives.map((all) => normalizeScopes(all).join(' and ')))].sort().join(' or ');
};

const askedBy = async (handler: Handlers[string], route: string): Promise<Wanted | undefined> => {
  let asked: Wanted | undefined;
  const event = eventOf(route, (wanted) => {
    asked ??= wanted;
  });
  try {
    await handler(event, { awsRequestId: 'rekey-testing' });
  } catch (error) {
    // A handler that lets the check's problem through. What was thrown before any check is the test's to see.
    if (!(error instanceof Problem) && asked === undefined) throw error;
  }
  return asked;
};

/**
 * Fails when a handler asks for other scopes than its route declares. Each handler is called with an event of its route,
 * and gets as far as its check (`requiresScope`, as a function, a middleware or a decorator), which refuses.
 *
 * A route for any valid key (`authenticated: true`) may leave everything to its handler. A handler that asks for nothing
 * is not one to list here.
 *
 * @param routes what is registered: of `routesIn(template)`, or of `protectOpenApi`
 * @throws Error naming every route whose handler disagrees, asks for nothing, or that is not declared
 */
export async function demandSameScopes(routes: RouteScopes, handlers: Handlers): Promise<void> {
  const problems: string[] = [];
  for (const [route, handler] of Object.entries(handlers)) {
    const needed = Object.hasOwn(routes, route) ? routes[route] : undefined;
    if (needed === undefined) {
      problems.push(`${route} is not declared`);
      continue;
    }
    const asked = await askedBy(handler, route);
    if (asked === undefined) problems.push(`${route}: its handler asks for no scope`);
    else if (needed.length === 0)
      problems.push(`${route} is public, and its handler asks for ${inWords(asked)}`);
    else if (inWords(needed) !== '' && inWords(needed) !== inWords(asked))
      problems.push(`${route} needs ${inWords(needed)}, and its handler asks for ${inWords(asked)}`);
  }
  if (problems.length > 0) throw new Error(`Routes and handlers disagree.\n${problems.join('\n')}`);
}
