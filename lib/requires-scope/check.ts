import type { APIGatewayProxyResult } from 'aws-lambda';
import { InsufficientScope, Problem, toResponse } from '../problem.ts';
import { isRequirement, missingScopes } from '../scope.ts';
import { type AuthorizedEvent, type Principal, principalOf } from './principal.ts';

/** Scopes that are all needed; or lists of which one must be held whole. */
export type Requirements = [string, ...string[]] | [{ anyOf: string[][] }];

/**
 * Where `rekey/testing` listens to what a handler asks for. No event that was JSON has a symbol, so nothing from outside
 * reaches this.
 */
export const LISTENER = Symbol.for('rekey.testing.listener');

const alternativesOf = ([first, ...more]: Requirements): readonly string[][] =>
  typeof first === 'object' && first !== null ? first.anyOf : [[first, ...more] as string[]];

/**
 * The core of the function, the middleware and the decorator.
 *
 * @throws TypeError at once, when the module is loaded, if a requirement is not like `orders:write`. A wildcard
 *   is something a key holds, never something a handler asks for.
 */
export function scopeCheck(requirements: Requirements): (event: AuthorizedEvent) => Principal {
  const alternatives = alternativesOf(requirements);
  if (
    !Array.isArray(alternatives) ||
    alternatives.length === 0 ||
    alternatives.some((all) => !Array.isArray(all) || all.length === 0 || all[0] === undefined)
  )
    throw new TypeError('requiresScope needs at least one scope, and so does each list of anyOf');
  for (const scope of alternatives.flat())
    if (typeof scope !== 'string' || !isRequirement(scope))
      throw new TypeError(
        `requiresScope needs scopes like orders:write, without a wildcard, not ${String(scope)}`,
      );

  return (event) => {
    const listener = (event as { [LISTENER]?: (alternatives: readonly string[][]) => void })?.[LISTENER];
    if (listener) {
      listener(alternatives);
      throw new InsufficientScope([...new Set(alternatives.flat())]);
    }
    const principal = principalOf(event);
    const missing = missingScopes(principal.scopes, alternatives);
    if (missing.length > 0) throw new InsufficientScope(missing);
    return principal;
  };
}

/** The answer to what a check throws. Anything else is not ours to answer, and is thrown on. */
export function answerTo(error: unknown, event: AuthorizedEvent): APIGatewayProxyResult {
  if (error instanceof Problem) return toResponse(error, event?.requestContext?.requestId ?? '');
  throw error;
}
