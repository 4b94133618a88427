import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { webhookRootSecretArn } from './environment.ts';
import { Unavailable } from './problem.ts';

/** Milliseconds: an operation that waits for it still has time for the table. */
const LONGEST_CALL = 6_000;
/** The secret of infra/webhooks.ts has 64 characters; fewer mean another one. */
const SHORTEST = 32;

let reading: Promise<string> | undefined;

/**
 * The root that endpoints' secrets are derived from, read once in a process: it never changes.
 *
 * @throws Unavailable
 */
export function webhookRootSecret(): Promise<string> {
  if (reading) return reading;
  const now = readRoot();
  reading = now;
  // A failure is not remembered: the next request reads again.
  now.catch(() => {
    reading = undefined;
  });
  return now;
}

async function readRoot(): Promise<string> {
  const client = new SecretsManagerClient({
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 3_000, throwOnRequestTimeout: true },
  });
  const command = new GetSecretValueCommand({ SecretId: webhookRootSecretArn() });
  const { SecretString: root } = await client
    .send(command, { abortSignal: AbortSignal.timeout(LONGEST_CALL) })
    .catch((error: unknown) => {
      throw new Unavailable(1, error);
    });
  if (root === undefined || root.length < SHORTEST) throw new Error('the root secret of webhooks is damaged');
  return root;
}
