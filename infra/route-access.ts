import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { ANY_VALID_KEY, type RouteScopes } from '../lib/routes.ts';

/**
 * Who may call a route: holders of all these scopes; holders of one whole list of several; or, said on purpose, holders
 * of any valid key, whatever its scopes, and everybody.
 */
export type RouteAccess =
  | { scopes: string[]; anyOf?: never; authenticated?: never; public?: never }
  | { anyOf: string[][]; scopes?: never; authenticated?: never; public?: never }
  | { authenticated: true; scopes?: never; anyOf?: never; public?: never }
  | { public: true; scopes?: never; anyOf?: never; authenticated?: never };
export type RouteOptions = RouteAccess & { handler: IFunction };

const isList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;

/**
 * As the table of routes has it.
 *
 * @throws Error naming the route, when it does not say it in exactly one way
 */
export function neededBy(route: string, access: RouteAccess): RouteScopes[string] {
  const { scopes, anyOf, authenticated, public: everybody } = access;
  const ways = [scopes, anyOf, authenticated, everybody].filter((way) => way !== undefined);
  if (ways.length === 1) {
    if (authenticated === true) return ANY_VALID_KEY;
    if (everybody === true) return [];
    if (isList(scopes)) return scopes;
    // A list that wants nothing would let any key in, which is said by authenticated: true.
    if (isList(anyOf) && anyOf.every(isList)) return anyOf;
  }
  throw new Error(
    `Route "${route}" must say who may call it, in one way: scopes: ['orders:read'], anyOf: [['orders:read'], ['orders:admin']], authenticated: true for any valid key, or public: true for everybody`,
  );
}
