import { z } from 'zod';
import { KeyId } from './api-key.schema.ts';
import { isRefusal, type Management } from './client/management.ts';
import type { ManagedSecret } from './managed-secret.schema.ts';
import type { SecretVersions } from './secret-versions.ts';

/** What the bus tells of a key that is due, and whose successor is to be delivered. */
export const DueOnBus = z.object({
  'detail-type': z.enum(['api_key.rotation_requested', 'api_key.rotation_due']),
  detail: z.object({
    data: z.object({
      api_key: z.object({
        id: KeyId,
        root_key_id: KeyId,
        generation: z.int(),
        rotation: z.object({
          deliver: z.object({ secrets_manager: z.object({ secret_id: z.string() }) }),
        }),
      }),
    }),
  }),
});
export type DueOnBus = z.infer<typeof DueOnBus>;

/** The key stays as it is: there is nobody to receive its successor. To try again at once would not help. */
export class NotDelivered extends Error {
  override readonly name = 'NotDelivered';
}

const isNamed = (error: unknown, name: string): boolean => (error as Error).name === name;

/**
 * Has a key rotated that is due: Secrets Manager is asked to rotate the secret it is in, and does it in its four steps
 * (rotate-secret.ts), by which the new key is stored before the old one loses anything.
 *
 * Only a secret that holds this very key is rotated, so nobody can have the secret of somebody else rotated by naming
 * it. The same event again, or an old one, changes nothing once the key is rotated.
 *
 * @throws NotDelivered when there is no such secret, it is not this function's to rotate, it holds another key, or a
 *   rotation of it was not done in a day; Error for anything that may pass
 */
export async function deliverRotation(
  { 'detail-type': type, detail }: DueOnBus,
  { secrets, management }: { secrets: SecretVersions; management: Management },
): Promise<'begun' | 'under_way' | 'done'> {
  const { api_key } = detail.data;
  const { secret_id } = api_key.rotation.deliver.secrets_manager;

  /** Whether the secret has gone on already, to a key of the same line that came after this one. */
  const isLater = async ({ key }: ManagedSecret): Promise<boolean> => {
    try {
      const held = await management.self(key);
      return held.root_key_id === api_key.root_key_id && held.generation > api_key.generation;
    } catch (error) {
      if (isRefusal(error, 401)) return false;
      throw error;
    }
  };

  const { current, pending, held } = await lookInto(secret_id, secrets);
  if (held.key_id !== api_key.id) {
    if (await isLater(held)) return 'done';
    throw new NotDelivered('the secret holds another key');
  }
  if (pending !== undefined && pending !== current) {
    // Secrets Manager goes on with it by itself. By a reminder it has had a day for that.
    if (type === 'api_key.rotation_due')
      throw new NotDelivered('an earlier rotation of the secret has not been completed');
    return 'under_way';
  }
  await secrets.rotate(secret_id);
  return 'begun';
}

async function lookInto(secret_id: string, secrets: SecretVersions) {
  try {
    const state = await secrets.describe(secret_id);
    const held = await secrets.read(secret_id);
    if (held === undefined) throw new NotDelivered('there is no key in the secret');
    return { ...state, held };
  } catch (cause) {
    // Of what there is not, AWS says that it is not allowed, since nothing says whose it is.
    if (isNamed(cause, 'ResourceNotFoundException') || isNamed(cause, 'AccessDeniedException'))
      throw new NotDelivered('there is no such secret here, or it is not rotated by rotate-secret', {
        cause,
      });
    if (isNamed(cause, 'InvalidRequestException')) throw new NotDelivered('the secret is deleted', { cause });
    throw cause;
  }
}
