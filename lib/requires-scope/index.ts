/** What product teams import as `rekey/handlers`. docs/handlers.md shows each use. */

export { InsufficientScope, InvalidToken, Problem, toResponse } from '../problem.ts';
export { RequiresScope } from './decorator.ts';
export { type AuthorizedEvent, type Principal, principalOf } from './principal.ts';
export { requiresScope } from './requires-scope.ts';
