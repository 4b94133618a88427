/** What product teams import as `rekey/testing`, in their tests. docs/handlers.md shows each use. */
export { demandSameScopes, type Handlers } from './same-scopes.ts';
export { routesIn } from './template.ts';
