import type { ApiKeyRecord } from './api-key.schema.ts';
import { type StatusFacts, statusOf } from './api-key.ts';
import { sameDigest } from './key-format.ts';
import { missingScopes, type Wanted } from './scope.ts';

export type AccessCode = 'valid' | 'not_found' | 'revoked' | 'expired' | 'honey' | 'insufficient_scope';

export interface AccessDecision {
  code: AccessCode;
  /** The required scopes that the key lacks; empty unless the code is `insufficient_scope`. */
  missing_scopes: string[];
}

const refused = (code: AccessCode): AccessDecision => ({ code, missing_scopes: [] });

/**
 * Decides whether a presented key opens what is required. A wrong secret is `not_found`, so that somebody who
 * only knows an id learns nothing about its key. A honey key opens nothing, whatever its scopes say.
 *
 * @param record what the table has under the presented id
 * @param digest `digestOf` the presented text
 * @param now epoch milliseconds
 * @param required all scopes that are needed, or the alternatives of which one is enough
 */
export function decideAccess({
  record,
  digest,
  now,
  required,
}: {
  record: (Pick<ApiKeyRecord, 'digest' | 'scopes' | 'honey'> & StatusFacts) | undefined;
  digest: string;
  now: number;
  required: Wanted;
}): AccessDecision {
  if (!record || !sameDigest(record.digest, digest)) return refused('not_found');

  const status = statusOf(record, now);
  if (status === 'revoked' || status === 'expired') return refused(status);
  if (record.honey) return refused('honey');

  const missing_scopes = missingScopes(record.scopes, required);
  if (missing_scopes.length > 0) return { code: 'insufficient_scope', missing_scopes };
  return { code: 'valid', missing_scopes: [] };
}
