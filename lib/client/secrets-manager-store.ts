import { type KeyStore, parseStored } from './key-store.ts';

/** A version that is written and not yet the current one. */
const NEXT = 'REKEY_NEXT';

export type SecretsManagerOperation = 'GetSecretValue' | 'PutSecretValue' | 'UpdateSecretVersionStage';

/**
 * A key in a secret of AWS Secrets Manager. The SDK stays outside: one function sends an operation.
 *
 * A new version is written under a label of its own, and `AWSCURRENT` is moved to it from the version that was read:
 * AWS refuses that when another process moved it first.
 *
 * @example
 * const client = new SecretsManager({});
 * const store = secretsManagerStore({
 *   secretId: 'orders/rekey',
 *   send: (operation, input) => client[`${operation[0].toLowerCase()}${operation.slice(1)}`](input),
 * });
 *
 * @param secretId name or ARN; its value is as `parseStored` reads it
 * @param newVersionId a UUID
 */
export function secretsManagerStore({
  secretId,
  send,
  newVersionId = () => crypto.randomUUID(),
}: {
  secretId: string;
  send: (
    operation: SecretsManagerOperation,
    input: Record<string, unknown>,
  ) => Promise<{ SecretString?: string | undefined; VersionId?: string | undefined }>;
  newVersionId?: () => string;
}): KeyStore {
  return {
    async read() {
      const { SecretString, VersionId } = await send('GetSecretValue', { SecretId: secretId });
      if (typeof SecretString !== 'string' || !VersionId) throw new TypeError('the secret has no text');
      return { ...parseStored(SecretString), version: VersionId };
    },

    async write(next, seen) {
      const version = newVersionId();
      await send('PutSecretValue', {
        SecretId: secretId,
        ClientRequestToken: version,
        SecretString: JSON.stringify(next),
        VersionStages: [NEXT],
      });
      try {
        await send('UpdateSecretVersionStage', {
          SecretId: secretId,
          VersionStage: 'AWSCURRENT',
          MoveToVersionId: version,
          RemoveFromVersionId: seen.version,
        });
      } catch (error) {
        // https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
        if ((error as Error).name !== 'InvalidParameterException') throw error;
        // Refused: the label is elsewhere. Or it was moved, by this very call whose first answer was lost.
        return (await send('GetSecretValue', { SecretId: secretId })).VersionId === version;
      }
      return true;
    },

    exclusively: (work) => work(),
  };
}
