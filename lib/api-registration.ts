import type { Api, Declaration } from './api.schema.ts';
import { type Caller, maySee } from './caller.ts';
import { canonicalJson } from './canonical-json.ts';
import { knownScopes, scopesOf } from './catalog.ts';
import { findClashes } from './policy-compiler.ts';
import {
  ApiChanged,
  ApiLimit,
  ApiOfStack,
  EnvironmentForbidden,
  InvalidRequest,
  NotFound,
  OwnerForbidden,
} from './problem.ts';
import { routesHash } from './routes.ts';
import { fieldError, MOST_ERRORS } from './validate.ts';

/** Of one owner. A registration has 200 KB at most, and all of them are read for the catalog. */
export const MOST_APIS = 100;

/** What to write of a registration, and which scopes are known no more then. */
export interface ApiChange {
  before: Api | undefined;
  /** Undefined: it is deleted. */
  after: Api | undefined;
  lost_scopes: string[];
}

/** Who registers, and as what. */
export interface Registrar {
  source: Api['source'];
  owner_id: string;
  /** As in `created_by`. */
  actor: string;
}

/** @throws EnvironmentForbidden: whoever declares routes decides what live keys may do */
export function demandLiveRegistrar(caller: Caller): void {
  if (caller.environment === 'test')
    throw new EnvironmentForbidden(
      'A test key registers no APIs, since live keys call them. Use a live key.',
    );
}

/**
 * What no API would know once one registration is another one, or gone.
 *
 * @param apis all there are, `before` among them
 */
function lostScopes(apis: readonly Api[], before: Api | undefined, after: Api | undefined): string[] {
  if (!before) return [];
  const rest = knownScopes([...apis.filter((api) => api !== before), ...(after ? [after] : [])]);
  return [...scopesOf(before)].filter((scope) => !rest.has(scope)).sort();
}

/**
 * Answers of the authorizer are kept for all routes of a stage with a cache, so there has to be one policy that is
 * the truth about every route (docs/policies.md).
 *
 * @throws InvalidRequest naming the routes that clash
 */
function demandCacheable({ routes, stages }: Declaration): void {
  const cached = stages.flatMap(({ cache_header }, index) => (cache_header === null ? [] : [index]));
  if (cached.length === 0) return;
  const clashes = findClashes(routes);
  if (clashes.length === 0) return;
  throw new InvalidRequest(
    cached
      .flatMap((index) =>
        clashes.map(({ message }) =>
          fieldError(['stages', index, 'cache_header'], `cannot be set with these routes: ${message}`),
        ),
      )
      .slice(0, MOST_ERRORS),
  );
}

/**
 * Decides a registration, which takes the place of the one there is as a whole.
 *
 * @param apis all registrations, as just read
 * @param before the one to replace
 * @param now epoch milliseconds
 * @returns undefined when all is so already
 * @throws InvalidRequest when a stage with a cache has routes that clash
 */
export function decideRegistration(
  apis: readonly Api[],
  before: Api | undefined,
  id: string,
  { routes, scopes, stages }: Declaration,
  { source, owner_id, actor }: Registrar,
  now: number,
): ApiChange | undefined {
  const declared = { routes, scopes, stages, routes_hash: routesHash(routes) };
  demandCacheable(declared);
  if (before && canonicalJson({ ...before, ...declared }) === canonicalJson(before)) return undefined;
  const at = new Date(now).toISOString();
  const after: Api = {
    ...{ id, owner_id, source, created_at: at, created_by: actor },
    ...before,
    ...declared,
    version: (before?.version ?? 0) + 1,
    updated_at: at,
    updated_by: actor,
  };
  return { before, after, lost_scopes: lostScopes(apis, before, after) };
}

/** The registration of this id that was made by a request, if there is one. */
const requested = (apis: readonly Api[], id: string): Api | undefined =>
  apis.find((api) => api.id === id && api.source === 'request');

const ofStack = (apis: readonly Api[], id: string): Api | undefined =>
  apis.find((api) => api.id === id && api.source === 'stack');

/**
 * Decides what a PUT asks for. An API belongs to the owner who registered it first, and to no other.
 *
 * @param if_version the version that the caller means to replace; 0: none
 * @throws EnvironmentForbidden, OwnerForbidden, ApiOfStack, ApiChanged, ApiLimit, InvalidRequest
 */
export function decidePut(
  apis: readonly Api[],
  id: string,
  { if_version, ...declaration }: Declaration & { if_version?: number | undefined },
  caller: Caller,
  now: number,
): ApiChange | undefined {
  demandLiveRegistrar(caller);
  const before = requested(apis, id);
  const stack = ofStack(apis, id);
  if (before && !maySee(caller, before))
    throw new OwnerForbidden(
      'This API is registered by another owner. Call with a key of that owner, or with one whose owner_access is any.',
    );
  if (!before && stack) throw new ApiOfStack(stack.owner_id);
  if (if_version !== undefined && if_version !== (before?.version ?? 0))
    throw new ApiChanged(before?.version ?? 0);
  const { owner_id, key_id: actor } = caller;
  const theirs = apis.filter((api) => api.source === 'request' && api.owner_id === owner_id);
  if (!before && theirs.length >= MOST_APIS) throw new ApiLimit(MOST_APIS);
  return decideRegistration(apis, before, id, declaration, { source: 'request', owner_id, actor }, now);
}

/** @throws EnvironmentForbidden, NotFound, ApiOfStack */
export function decideDelete(apis: readonly Api[], id: string, caller: Caller): ApiChange {
  const before = requested(apis, id);
  const stack = ofStack(apis, id);
  if (!before && stack && maySee(caller, stack)) throw new ApiOfStack(stack.owner_id);
  if (!before || !maySee(caller, before)) throw new NotFound();
  demandLiveRegistrar(caller);
  return { before, after: undefined, lost_scopes: lostScopes(apis, before, undefined) };
}
