import { hkdfSync } from 'node:crypto';
import { SecretText } from './secret-text.ts';
import type { WebhookEndpointRecord } from './webhook-endpoint.schema.ts';
import { signingVersions } from './webhook-endpoint.ts';

const SECRET_BYTES = 32;
const SALT = 'rekey webhook secret 1';

/**
 * The secret of an endpoint, derived (HKDF-SHA256, RFC 5869) and stored nowhere:
 * docs/decisions/0004-webhook-secrets-are-derived.md.
 *
 * @param root the stack's root secret
 * @returns `whsec_` and base64, as Standard Webhooks has it
 */
export function endpointSecret(root: string, endpointId: string, version: number): SecretText {
  const derived = hkdfSync('sha256', root, SALT, `${endpointId} ${version}`, SECRET_BYTES);
  return new SecretText(`whsec_${Buffer.from(derived).toString('base64')}`);
}

/** The secrets that sign now: the newest, and during a grace those before it. */
export function signingSecrets(root: string, endpoint: WebhookEndpointRecord, now: number): SecretText[] {
  return signingVersions(endpoint, now).map((version) => endpointSecret(root, endpoint.id, version));
}
