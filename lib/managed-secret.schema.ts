import { z } from 'zod';
import { Instant, KeyId } from './api-key.schema.ts';

/** The value of a secret whose API key Rekey made and rotates, as its readers see it. */
export const ManagedSecret = z.object({
  key: z.string().regex(/^[!-z|~]{8,512}$/),
  key_id: KeyId,
  expires_at: Instant.nullable(),
});
export type ManagedSecret = z.infer<typeof ManagedSecret>;

/** Tells the owner of the key that a secret is for: its role lets Rekey write only into secrets that have it. */
export const OWNER_TAG = 'rekey:owner';
