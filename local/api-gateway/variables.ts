import { requestContext } from './event.ts';
import type { Exchange, GatewayError } from './exchange.ts';
import { headerValues } from './request.ts';

/** `$context` with what only gateway responses and access logs have. */
export function contextVariables(exchange: Exchange, error?: GatewayError): Record<string, unknown> {
  return {
    ...requestContext(exchange),
    ...(error && {
      error: {
        message: error.publicMessage,
        // "The quoted value of $context.error.message".
        messageString: JSON.stringify(error.publicMessage),
        responseType: error.responseType,
      },
    }),
  };
}

/** Text of `a.b.c` in an object, or undefined. Only own properties, only texts, numbers and booleans. */
export function lookUp(variables: unknown, path: string): string | undefined {
  let value = variables;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}

/** `method.request.header.x`, `.querystring.x` or `.path.x`. The last value counts. */
export function requestParameter({ request, pathParameters }: Exchange, source: string): string | undefined {
  const [, place, name = ''] = /^method\.request\.(header|querystring|path)\.(.+)$/.exec(source) ?? [];
  if (place === 'header') return headerValues(request.headers, name).at(-1);
  if (place === 'querystring') return request.query.get(name)?.at(-1);
  return place === 'path' && Object.hasOwn(pathParameters, name) ? pathParameters[name] : undefined;
}
