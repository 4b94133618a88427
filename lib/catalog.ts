import { closest, distance } from 'fastest-levenshtein';
import type { Api, ApiSummary } from './api.schema.ts';
import { UnknownScope } from './problem.ts';
import { type RouteScopes, scopesOfRoutes } from './routes.ts';
import { covers } from './scope.ts';

/** The grant of everything, now and later: the only one that needs nothing to be known. */
const EVERYTHING = '*:*';
/** Unknown scopes of one request for which near ones are looked for: each is compared with every known one. */
const MOST_SUGGESTED = 10;

/** The scopes that an API knows: those that its routes need, and those that it describes. */
export const scopesOf = ({ routes, scopes }: Pick<Api, 'routes' | 'scopes'>): Set<string> =>
  new Set([...scopesOfRoutes(routes), ...Object.keys(scopes)]);

/** Every scope that any of these APIs knows. */
export const knownScopes = (apis: readonly Pick<Api, 'routes' | 'scopes'>[]): Set<string> =>
  new Set(apis.flatMap((api) => [...scopesOf(api)]));

/** The grants that open nothing, since no API knows what they are about. */
export function unknownScopes(grants: readonly string[], known: ReadonlySet<string>): string[] {
  return grants.filter(
    (grant) =>
      grant !== EVERYTHING &&
      !known.has(grant) &&
      !(grant.includes('*') && [...known].some((scope) => covers(grant, scope))),
  );
}

/** The known scope that is most like it; of a wildcard, its counterpart for the most similar resource or action. */
export function nearest(grant: string, known: ReadonlySet<string>): string | undefined {
  const [resource = '', action = ''] = grant.split(':');
  const candidates = new Set(
    [...known].map((scope) => {
      const [of = '', to = ''] = scope.split(':');
      return `${resource === '*' ? '*' : of}:${action === '*' ? '*' : to}`;
    }),
  );
  if (candidates.size === 0) return undefined;
  const best = closest(grant, [...candidates]);
  // Half of it is another text: that is no misspelling.
  return distance(grant, best) * 2 <= grant.length ? best : undefined;
}

/** @throws UnknownScope naming the nearest known ones */
export function demandKnown(grants: readonly string[], known: ReadonlySet<string>): void {
  const unknown = unknownScopes(grants, known);
  if (unknown.length > 0)
    throw new UnknownScope(
      unknown.map((scope, index) => ({
        scope,
        did_you_mean: (index < MOST_SUGGESTED && nearest(scope, known)) || null,
      })),
    );
}

/** A known scope, and who needs it. */
export interface CatalogEntry {
  scope: string;
  /** Of the first API that describes it. */
  description: string | null;
  apis: { id: string; owner_id: string; routes: string[] }[];
}

const needs = (needed: RouteScopes[string], scope: string): boolean => needed.flat().includes(scope);

/** Every known scope in order, each with the APIs and the routes that need it. */
export function catalogOf(apis: readonly Api[]): CatalogEntry[] {
  const entries = new Map<string, CatalogEntry>();
  for (const api of apis) {
    for (const scope of scopesOf(api)) {
      const entry = entries.get(scope) ?? { scope, description: null, apis: [] };
      entries.set(scope, entry);
      entry.description ??= api.scopes[scope] ?? null;
      entry.apis.push({
        id: api.id,
        owner_id: api.owner_id,
        routes: Object.keys(api.routes).filter((route) => needs(api.routes[route] ?? [], scope)),
      });
    }
  }
  return [...entries.values()].sort((a, b) => (a.scope < b.scope ? -1 : 1));
}

/**
 * Of each API one registration. While a stack changes its API there are two for a moment, and the younger is going to
 * be in force.
 */
export function currentApis(apis: readonly Api[]): Api[] {
  const current = new Map<string, Api>();
  for (const api of apis) {
    const other = current.get(api.id);
    if (!other || other.updated_at <= api.updated_at) current.set(api.id, api);
  }
  return [...current.values()];
}

export function summaryOf({ routes, scopes, ...api }: Api): ApiSummary {
  return {
    ...api,
    route_count: Object.keys(routes).length,
    scope_count: scopesOf({ routes, scopes }).size,
  };
}
