import { ANY_VALID_KEY, type RouteScopes } from '../routes.ts';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * What an operation needs, from its `security` or that of the document: one of the requirements in the list, and of a
 * requirement all scopes (https://spec.openapis.org/oas/v3.1.1.html#security-requirement-object).
 *
 * @param scheme the name of the security scheme that stands for Rekey
 * @returns as a table of routes has it
 * @throws Error that goes on from the operation's name
 */
export function neededBySecurity(own: unknown, ofDocument: unknown, scheme: string): RouteScopes[string] {
  // Said of one operation it is on purpose; said of all it is what nobody thinks of when adding one.
  const isPublic = Array.isArray(own) && own.length === 0;
  if (isPublic) return [];
  const security = own === undefined ? ofDocument : own;
  if (!Array.isArray(security) || security.length === 0)
    throw new Error(
      `has no security: say which scopes it needs, as in security: [{ ${scheme}: ["orders:read"] }], or that everybody may call it, with security: [] at the operation`,
    );

  const alternatives = security.map((requirement): string[] => {
    const schemes = isRecord(requirement) ? Object.keys(requirement) : [];
    if (schemes.length !== 1 || schemes[0] !== scheme)
      throw new Error(
        schemes.length === 0
          ? `has a requirement that asks for nothing, {}: a route has the authorizer or has not. Say security: [] if everybody may call it`
          : `asks for ${schemes.join(' and ')}: API Gateway has one authorizer for a route, and this one is ${scheme}`,
      );
    const scopes = (requirement as Record<string, unknown>)[scheme];
    if (!Array.isArray(scopes)) throw new Error(`must have a list of scopes under ${scheme}`);
    return scopes;
  });
  const [only] = alternatives;
  if (alternatives.some((scopes) => scopes.length === 0)) return ANY_VALID_KEY;
  return alternatives.length === 1 && only ? only : alternatives;
}
