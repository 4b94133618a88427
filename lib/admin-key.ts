import { z } from 'zod';
import type { ApiKey } from './api-key.schema.ts';
import { publicKey } from './api-key.ts';
import { keyPrefix, lifetimeSettings, retentionDays, scheduleSettings } from './environment.ts';
import type { Origin } from './event.ts';
import { ExpiresInDays, Name, OwnerId } from './key-fields.schema.ts';
import { createKey } from './key-table.ts';
import { decideExpiry } from './lifetime.ts';
import { newKey } from './new-key.ts';
import { InvalidRequest } from './problem.ts';
import { refuseUnsafe } from './request-body.ts';
import { validate } from './validate.ts';

/** What `aws lambda invoke --payload` sends. Without a payload it is all defaults. */
const AdminKeyRequest = z.strictObject({
  owner_id: OwnerId.default('admin'),
  name: Name.default('Administrator'),
  expires_in_days: ExpiresInDays.optional(),
});

/**
 * Makes and stores an administrator's key: every scope, for every owner. It is for whoever holds AWS credentials
 * for the function, which is more than any key can do.
 *
 * @throws Error whose message names each wrong field; it becomes the invocation's `errorMessage`
 */
export async function createAdminKey(
  request: unknown,
  origin: Origin,
): Promise<{ key: string; api_key: ApiKey }> {
  const { now } = origin;
  const { decided, settings } = decide(request ?? {}, origin);
  const { key, record } = newKey(decided, now, settings);
  await createKey(record, origin);
  return { key: key.reveal(), api_key: publicKey(record, now) };
}

const decide = (request: unknown, { now, actor }: Origin) => {
  try {
    refuseUnsafe(request);
    const { owner_id, name, expires_in_days } = validate(AdminKeyRequest, request);
    return {
      decided: {
        owner_id,
        owner_access: 'any' as const,
        name,
        environment: 'live' as const,
        scopes: ['*:*'],
        expires_at: decideExpiry({ expires_in_days }, now, lifetimeSettings()),
        metadata: {},
        notify_days_before: null,
        created_by: actor,
      },
      settings: { key_prefix: keyPrefix(), retention_days: retentionDays(), ...scheduleSettings() },
    };
  } catch (error) {
    throw error instanceof InvalidRequest ? new Error(inWords(error)) : error;
  }
};

/** Lambda hands on the message and nothing else of an error. */
const inWords = ({ extensions }: InvalidRequest): string => {
  const errors = extensions['errors'] as { pointer: string; detail: string }[];
  return `The payload is not valid: ${errors.map(({ pointer, detail }) => `${pointer || 'the whole'} ${detail}`).join('; ')}`;
};
