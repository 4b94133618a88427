import type { APIGatewayProxyResult } from 'aws-lambda';
import { answerTo, type Requirements, scopeCheck } from './check.ts';
import type { AuthorizedEvent, Principal } from './principal.ts';

export interface RequiresScope {
  /** @throws InvalidToken (401), InsufficientScope (403): `Problem`s, which `toResponse` turns into an answer */
  (event: AuthorizedEvent): Principal;
  /** What middy calls. It answers 401 and 403 itself, and the handler is not called. */
  before(request: { event: AuthorizedEvent }): APIGatewayProxyResult | undefined;
}

/**
 * Checks again, inside the handler, that the calling key has all of these scopes, or with `anyOf` one list of them: a route that was attached
 * without its authorizer, or with too little, stays shut. It reads the context of Rekey's authorizer, and does no
 * I/O. One value for both uses:
 *
 * @example A plain function
 * const mayWrite = requiresScope('orders:write');
 * export const handler = async (event) => {
 *   const { owner_id } = mayWrite(event);
 *
 * @example A middy middleware
 * export const handler = middy(createOrder).use(requiresScope('orders:write'));
 *
 * @example Either of two
 * const mayRead = requiresScope({ anyOf: [['orders:read'], ['orders:admin']] });
 *
 * @throws TypeError when the module is loaded, for a wildcard or anything else that is not like `orders:write`
 */
export function requiresScope(...required: Requirements): RequiresScope {
  const check = scopeCheck(required);
  return Object.assign((event: AuthorizedEvent) => check(event), {
    before: ({ event }: { event: AuthorizedEvent }) => {
      try {
        check(event);
        return undefined;
      } catch (error) {
        return answerTo(error, event);
      }
    },
  });
}
