import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretVersionIdsCommand,
  PutSecretValueCommand,
  RotateSecretCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { ManagedSecret, OWNER_TAG } from './managed-secret.schema.ts';

/** Milliseconds for one call with its retries. */
const LONGEST_CALL = 6_000;
/** Versions of a secret that are looked at: AWS keeps about a hundred. */
const MOST_VERSIONS = 100;

const CURRENT = 'AWSCURRENT';
const PENDING = 'AWSPENDING';

export interface SecretState {
  /** Version ids; undefined: no version has the label. */
  current: string | undefined;
  pending: string | undefined;
  /** Of the owner's tag. */
  owner_id: string | undefined;
  /** Of the schedule, where it counts days. */
  every_days: number | undefined;
}

/** What a call of the SDK is for; tests put their own in its place. */
type Send = SecretsManagerClient['send'];

const isNamed = (error: unknown, name: string): boolean => (error as Error).name === name;

/** No part of a value that is not as it should be is repeated. */
const parsed = (text: string | undefined): ManagedSecret => {
  try {
    return ManagedSecret.parse(JSON.parse(text ?? ''));
  } catch {
    throw new Error('the secret does not hold {"key", "key_id", "expires_at"} as Rekey writes it');
  }
};

/** Secrets that hold an API key, in AWS Secrets Manager. */
export function secretVersions(client: { send: Send } = openClient()) {
  // A function for each call gives it its own time.
  const options = () => ({ abortSignal: AbortSignal.timeout(LONGEST_CALL) });

  return {
    async describe(SecretId: string): Promise<SecretState> {
      const {
        VersionIdsToStages = {},
        Tags = [],
        RotationRules,
      } = await client.send(new DescribeSecretCommand({ SecretId }), options());
      const versionWith = (stage: string) =>
        Object.keys(VersionIdsToStages).find((id) => VersionIdsToStages[id]?.includes(stage));
      return {
        current: versionWith(CURRENT),
        pending: versionWith(PENDING),
        owner_id: Tags.find(({ Key }) => Key === OWNER_TAG)?.Value,
        every_days: RotationRules?.AutomaticallyAfterDays,
      };
    },

    /** @returns undefined when there is no such version, or it has no value yet */
    async read(
      SecretId: string,
      version: { VersionId?: string; VersionStage?: string } = { VersionStage: CURRENT },
    ): Promise<ManagedSecret | undefined> {
      const command = new GetSecretValueCommand({ SecretId, ...version });
      try {
        return parsed((await client.send(command, options())).SecretString);
      } catch (error) {
        if (isNamed(error, 'ResourceNotFoundException')) return undefined;
        throw error;
      }
    },

    /** Ids of all versions, also of those without a label, the newest first. */
    async list(SecretId: string): Promise<string[]> {
      const command = new ListSecretVersionIdsCommand({
        SecretId,
        IncludeDeprecated: true,
        MaxResults: MOST_VERSIONS,
      });
      const { Versions = [] } = await client.send(command, options());
      return Versions.toSorted((a, b) => Number(b.CreatedDate ?? 0) - Number(a.CreatedDate ?? 0)).flatMap(
        ({ VersionId }) => VersionId ?? [],
      );
    },

    /** Writes a version that is to become the current one; the same again changes nothing. */
    async putPending(SecretId: string, versionId: string, value: ManagedSecret): Promise<void> {
      await put(SecretId, versionId, value, PENDING);
    },

    /** Writes a version and makes it the current one. */
    async putCurrent(SecretId: string, versionId: string, value: ManagedSecret): Promise<void> {
      await put(SecretId, versionId, value, CURRENT);
    },

    /** Makes a version the current one. AWS refuses when another one than `from` is it. */
    async moveCurrent(SecretId: string, from: string | undefined, to: string): Promise<void> {
      const command = new UpdateSecretVersionStageCommand({
        SecretId,
        VersionStage: CURRENT,
        MoveToVersionId: to,
        RemoveFromVersionId: from,
      });
      await client.send(command, options());
    },

    /** Starts the rotation that the secret is set up for. AWS refuses while another one is under way. */
    async rotate(SecretId: string): Promise<void> {
      await client.send(new RotateSecretCommand({ SecretId }), options());
    },

    /** Gives a pending version up, so that the next rotation begins with a version of its own. */
    async dropPending(SecretId: string, versionId: string): Promise<void> {
      const command = new UpdateSecretVersionStageCommand({
        SecretId,
        VersionStage: PENDING,
        RemoveFromVersionId: versionId,
      });
      await client.send(command, options());
    },
  };

  async function put(SecretId: string, versionId: string, value: ManagedSecret, stage: string) {
    const command = new PutSecretValueCommand({
      SecretId,
      ClientRequestToken: versionId,
      SecretString: JSON.stringify(value),
      VersionStages: [stage],
    });
    await client.send(command, options());
  }
}

export type SecretVersions = ReturnType<typeof secretVersions>;

const openClient = (): SecretsManagerClient =>
  new SecretsManagerClient({
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 3_000, throwOnRequestTimeout: true },
  });
