import type { ApiKey, ApiKeyRecord, ListedKey } from './api-key.schema.ts';
import { publicKey } from './api-key.ts';
import { EnvironmentForbidden, OwnerForbidden, ScopeEscalation } from './problem.ts';
import type { Principal } from './requires-scope/principal.ts';
import { missingScopes } from './scope.ts';

/** The key that calls the management API: what it may do to other keys is decided here. */
export type Caller = Principal;

/** Whether the caller may know that this key exists: its own owner's, or any for `owner_access: any`. */
export function maySee(caller: Caller, record: Pick<ApiKeyRecord, 'owner_id'>): boolean {
  return caller.owner_access === 'any' || caller.owner_id === record.owner_id;
}

/**
 * What this caller sees of a key. That it is honey only its own owner is told: whoever reads everybody's lists must
 * not learn where the traps are.
 *
 * @param now epoch milliseconds
 */
export function shownTo(caller: Caller, record: ListedKey, now: number): ApiKey {
  const honey = record.honey && caller.owner_id === record.owner_id;
  return { ...publicKey(record, now), ...(honey && { honey }) };
}

/**
 * Nobody grants what they lack.
 *
 * @param scopes all that the key in question holds once the caller is done
 * @throws ScopeEscalation naming the scopes that are too much
 */
export function demandGrantable(caller: Caller, scopes: readonly string[]): void {
  const excess = missingScopes(caller.scopes, scopes);
  if (excess.length > 0) throw new ScopeEscalation(excess);
}

/** @throws OwnerForbidden when the caller may not act for this owner, or not give it access to all owners */
export function demandOwner(
  caller: Caller,
  { owner_id, owner_access }: Pick<ApiKeyRecord, 'owner_id' | 'owner_access'>,
): void {
  if (caller.owner_access === 'any') return;
  if (owner_id !== caller.owner_id)
    throw new OwnerForbidden(
      `This API key acts only for owner_id ${caller.owner_id}. Use that, or call with a key whose owner_access is any.`,
    );
  if (owner_access === 'any')
    throw new OwnerForbidden(
      'A key whose owner_access is any is made and changed only by another such key. Call with one.',
    );
}

/**
 * Test keys are handled with less care, so they do nothing to live keys.
 *
 * @throws EnvironmentForbidden
 */
export function demandEnvironment(caller: Caller, { environment }: Pick<ApiKeyRecord, 'environment'>): void {
  if (caller.environment === 'test' && environment === 'live') throw new EnvironmentForbidden();
}
