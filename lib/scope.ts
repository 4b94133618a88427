const PART = '[a-z0-9][a-z0-9._-]{0,62}';
const GRANT = new RegExp(`^(\\*|${PART}):(\\*|${PART})$`);
const REQUIREMENT = new RegExp(`^${PART}:${PART}$`);

/** What a key may hold: `orders:write`, `orders:*`, `*:read`, `*:*`. */
export const isGrant = (scope: string): boolean => GRANT.test(scope);

/** What a route may ask for: two concrete parts, never a wildcard. */
export const isRequirement = (scope: string): boolean => REQUIREMENT.test(scope);

/**
 * Whether a grant is enough for what is wanted: a requirement, or another grant. Each part must be equal, or `*`
 * in the grant; a wanted `*` is covered by `*` only. Anything malformed covers nothing and is covered by nothing.
 *
 * This is the one place that decides it; everything else asks here.
 */
export function covers(grant: string, wanted: string): boolean {
  const held = GRANT.exec(grant);
  const asked = GRANT.exec(wanted);
  if (!held || !asked) return false;
  const [, heldResource, heldAction] = held;
  const [, askedResource, askedAction] = asked;
  return (
    (heldResource === '*' || heldResource === askedResource) &&
    (heldAction === '*' || heldAction === askedAction)
  );
}

/** What is wanted: a list of scopes, all of them; or a list of such lists, of which one is enough. */
export type Wanted = readonly string[] | readonly (readonly string[])[];

/** Whether it is a list of alternatives. The empty list is none: it wants nothing. */
export const isAnyOf = (wanted: Wanted): wanted is readonly (readonly string[])[] =>
  wanted.some((element) => Array.isArray(element));

/**
 * The wanted scopes that no single grant covers, in the order they were wanted; of alternatives, those of the one
 * that lacks the fewest. Empty: nothing is missing.
 */
export function missingScopes(grants: readonly string[], wanted: Wanted): string[] {
  const missing = (all: readonly string[]): string[] =>
    // What is held in so many words need not be looked for among the wildcards.
    all.filter(
      (scope) => !(isGrant(scope) && grants.includes(scope)) && !grants.some((grant) => covers(grant, scope)),
    );
  if (!isAnyOf(wanted)) return missing(wanted as readonly string[]);
  return wanted.map(missing).reduce((least, other) => (other.length < least.length ? other : least));
}

/** The form in which scopes are stored: sorted by code unit, each once. */
export function normalizeScopes(scopes: readonly string[]): string[] {
  return [...new Set(scopes)].sort();
}
