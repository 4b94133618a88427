import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { isRefusal, type KeyState, type Management } from './client/management.ts';
import type { ManagedSecret } from './managed-secret.schema.ts';
import type { SecretVersions } from './secret-versions.ts';

/** What Secrets Manager sends: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html */
export const RotationStep = z.object({
  Step: z.enum(['createSecret', 'setSecret', 'testSecret', 'finishSecret']),
  SecretId: z.string().min(1).max(2048),
  /** The id of the version that the rotation makes. */
  ClientRequestToken: z.string().min(32).max(64),
});
export type RotationStep = z.infer<typeof RotationStep>;

export interface RotationWorld {
  secrets: SecretVersions;
  management: Management;
  /** Milliseconds between two looks for a version that is not readable yet. */
  pauses?: readonly number[];
}

/** Secrets Manager is eventually consistent: a version that was just written may not be found yet. Six seconds in all. */
const PAUSES = [100, 200, 400, 800, 1_500, 3_000];

const HOURS_PER_DAY = 24;
const LONGEST_GRACE_HOURS = 7 * HOURS_PER_DAY;

/**
 * How long the key before goes on working: for whoever read it shortly before the rotation, and for the tries of
 * a rotation that does not get through. What the plan of its delivery says; or else a week, but never more than half of
 * the time between two rotations.
 *
 * @param every_days of the secret's schedule
 * @param plan the key's own
 */
export function graceHours(every_days: number | undefined, plan?: KeyState['rotation']): number {
  const delivered = plan?.deliver === undefined ? undefined : plan;
  const days = Math.min(
    every_days ?? Number.POSITIVE_INFINITY,
    delivered?.every_days ?? Number.POSITIVE_INFINITY,
  );
  return (
    delivered?.grace_period_hours ?? Math.min(LONGEST_GRACE_HOURS, Math.floor((days * HOURS_PER_DAY) / 2))
  );
}

/**
 * One step of the rotation of a secret that holds an API key: the key in AWSCURRENT rotates itself.
 *
 * Each step may be sent again, at any time and after any other. AWSCURRENT moves to a version only once the API has
 * accepted its key, and what AWSCURRENT holds until then goes on working (docs/secrets-manager.md goes through each
 * place where a step can break off).
 *
 * @throws Error for Secrets Manager to try all steps again; RekeyRefusal
 */
export async function rotateSecret(
  { Step, SecretId, ClientRequestToken: version }: RotationStep,
  { secrets, management, pauses = PAUSES }: RotationWorld,
): Promise<void> {
  /** Looks again, for a while, when what is looked for is not there yet. */
  const eventually = async <T>(look: () => Promise<T | undefined>): Promise<T | undefined> => {
    for (const pause of pauses) {
      const found = await look();
      if (found !== undefined) return found;
      await sleep(pause);
    }
    return look();
  };

  const pendingValue = async (): Promise<ManagedSecret> => {
    const value = await eventually(() =>
      secrets.read(SecretId, { VersionId: version, VersionStage: 'AWSPENDING' }),
    );
    if (value === undefined) throw new Error(`version ${version} has no value in AWSPENDING yet`);
    return value;
  };

  /** The current key's successor is in use already, by an earlier rotation that did not get to its end: go on with it. */
  const successorInUse = async (current: ManagedSecret): Promise<ManagedSecret | undefined> => {
    const { successor_key_id } = await management.self(current.key);
    if (successor_key_id === null) return undefined;
    for (const VersionId of await secrets.list(SecretId)) {
      const value = await secrets.read(SecretId, { VersionId });
      if (value?.key_id === successor_key_id && (await works(value))) return value;
    }
    return undefined;
  };

  const works = async ({ key, key_id }: ManagedSecret): Promise<boolean> => {
    try {
      return (await management.self(key)).id === key_id;
    } catch (error) {
      if (isRefusal(error, 401)) return false;
      throw error;
    }
  };

  const successorOf = async (
    current: ManagedSecret,
    everyDays: number | undefined,
  ): Promise<ManagedSecret> => {
    try {
      const { rotation } = await management.self(current.key);
      const { key, api_key } = await management.rotate(
        current.key,
        {
          grace_period_hours: graceHours(everyDays, rotation),
          // Until its successor works, the key in AWSCURRENT is not to end earlier, however long that takes.
          grace_starts: 'first_use',
          // What an earlier rotation made and lost, nobody has.
          replace_pending: true,
        },
        version,
      );
      return { key, key_id: api_key.id, expires_at: api_key.expires_at };
    } catch (error) {
      if (isRefusal(error, 401))
        throw new Error('the key in AWSCURRENT does not work, so it cannot rotate itself', { cause: error });
      const inUse = isRefusal(error, 409) ? await successorInUse(current) : undefined;
      if (inUse === undefined) throw error;
      return inUse;
    }
  };

  const createSecret = async (everyDays: number | undefined): Promise<void> => {
    const read = () => secrets.read(SecretId, { VersionId: version, VersionStage: 'AWSPENDING' });
    if (await read()) return;
    const current = await eventually(() => secrets.read(SecretId));
    if (current === undefined) throw new Error('there is no key in AWSCURRENT to rotate');
    const next = await successorOf(current, everyDays);
    await secrets.putPending(SecretId, version, next).catch(async (error: Error) => {
      // Another invocation of this step was first. Which of the two secrets works, testSecret finds out.
      if (error.name !== 'ResourceExistsException' || !(await read())) throw error;
    });
  };

  const testSecret = async (): Promise<void> => {
    const value = await pendingValue();
    if (await works(value)) return;
    // What a version holds never changes, so this one is of no use: the next rotation begins anew.
    await secrets.dropPending(SecretId, version);
    throw new Error(`the key of version ${version} does not work: AWSPENDING was taken away from it`);
  };

  const state = await eventually(async () => {
    const state = await secrets.describe(SecretId);
    return state.current === version || state.pending === version ? state : undefined;
  });
  if (state === undefined) throw new Error(`version ${version} does not have AWSPENDING`);
  // Done, by an attempt whose answer was lost.
  if (state.current === version) return;

  switch (Step) {
    case 'createSecret':
      return createSecret(state.every_days);
    case 'setSecret':
      // The API knows the key since createSecret: it is the one that made it.
      await pendingValue();
      return;
    case 'testSecret':
      return testSecret();
    case 'finishSecret':
      // Not only after testSecret: nothing but a key that works becomes the current one, in whatever order steps come.
      await testSecret();
      return secrets.moveCurrent(SecretId, state.current, version);
  }
}
