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

/** The wanted scopes that no single grant covers, in the order they were wanted. Empty: all are covered. */
export function missingScopes(grants: readonly string[], wanted: readonly string[]): string[] {
  return wanted.filter((scope) => !grants.some((grant) => covers(grant, scope)));
}

/** The form in which scopes are stored: sorted by code unit, each once. */
export function normalizeScopes(scopes: readonly string[]): string[] {
  return [...new Set(scopes)].sort();
}
