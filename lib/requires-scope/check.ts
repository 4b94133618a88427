import type { APIGatewayProxyResult } from 'aws-lambda';
import { InsufficientScope, Problem, toResponse } from '../problem.ts';
import { isRequirement, missingScopes } from '../scope.ts';
import { type AuthorizedEvent, type Principal, principalOf } from './principal.ts';

/** At least one; all of them are needed. */
export type Requirements = [string, ...string[]];

/**
 * The core of the function, the middleware and the decorator.
 *
 * @throws TypeError at once, when the module is loaded, if a requirement is not like `orders:write`. A wildcard
 *   is something a key holds, never something a handler asks for.
 */
export function scopeCheck(required: readonly string[]): (event: AuthorizedEvent) => Principal {
  if (required.length === 0) throw new TypeError('requiresScope needs at least one scope');
  for (const scope of required)
    if (typeof scope !== 'string' || !isRequirement(scope))
      throw new TypeError(
        `requiresScope needs scopes like orders:write, without a wildcard, not ${String(scope)}`,
      );

  return (event) => {
    const principal = principalOf(event);
    const missing = missingScopes(principal.scopes, required);
    if (missing.length > 0) throw new InsufficientScope(missing);
    return principal;
  };
}

/** The answer to what a check throws. Anything else is not ours to answer, and is thrown on. */
export function answerTo(error: unknown, event: AuthorizedEvent): APIGatewayProxyResult {
  if (error instanceof Problem) return toResponse(error, event?.requestContext?.requestId ?? '');
  throw error;
}
