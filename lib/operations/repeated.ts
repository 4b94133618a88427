import type { ApiKeyRecord } from '../api-key.schema.ts';
import { type Caller, demandEnvironment, demandGrantable, demandOwner } from '../caller.ts';
import { keyPrefix } from '../environment.ts';
import type { Origin } from '../event.ts';
import { type Claim, type IdempotencyRecord, requestHash } from '../idempotency.ts';
import { mintKey } from '../key-format.ts';
import { replaceSecret } from '../key-table.ts';
import type { SecretText } from '../secret-text.ts';
import type { OperationRequest } from './definition.ts';
import { visibleKey } from './visible-key.ts';

/** The claim of a request that came with an Idempotency-Key. */
export function claimOf(
  operation: string,
  { caller, id, body, idempotency_key, now }: OperationRequest<unknown, unknown>,
): Claim | undefined {
  if (idempotency_key === undefined) return undefined;
  const request_hash = requestHash({ id, body });
  return { caller_key_id: caller.key_id, operation, idempotency_key, request_hash, now };
}

/**
 * The key that an earlier request with the same Idempotency-Key made, with a new secret: the first one is stored
 * nowhere, and whoever asks again did not get it. The key may have been given more scopes since, so what the caller
 * may hand out is asked again.
 *
 * @throws IdempotencyKeyUsed when the key has been used, KeyRevoked, KeyExpired, ScopeEscalation
 */
export async function makeAgain(
  caller: Caller,
  { api_key_id }: IdempotencyRecord,
  origin: Origin,
): Promise<{ key: SecretText; record: ApiKeyRecord }> {
  const seen = await visibleKey(caller, api_key_id);
  demandOwner(caller, seen);
  demandEnvironment(caller, seen);
  demandGrantable(caller, seen.scopes);
  const { key, digest, hint } = mintKey({
    prefix: keyPrefix(),
    environment: seen.environment,
    id: seen.id,
  });
  return { key, record: await replaceSecret(seen, { digest, hint }, origin) };
}
