import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ManagedSecret } from '../../lib/managed-secret.schema.ts';
import { OWNER_TAG } from '../../lib/managed-secret.schema.ts';
import { secretVersions } from '../../lib/secret-versions.ts';
import { AwsError } from '../../local/aws-error.ts';
import type { AwsCall, Json } from '../../local/aws-front.ts';
import { openClock } from '../../local/clock.ts';
import { startSecretsManager } from '../../local/secrets-manager/index.ts';
import { world } from '../local/fixtures/assembly.ts';

export const SECRET = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:Shop-Key-abc123';

/** What is to happen to a call, of whatever service, instead of what is asked for. */
export type Fault = 'before' | 'after';

/** Counts calls and breaks one of them: nothing was done, or all was done and nobody learned of it. */
export function brokenCalls() {
  let calls = 0;
  let at = 0;
  let fault: Fault = 'before';
  return {
    break: (nth: number, how: Fault) => {
      calls = 0;
      at = nth;
      fault = how;
    },
    /** Whether the call that was to be broken has come. */
    wasMet: () => calls >= at,
    through: async <T>(call: () => Promise<T>): Promise<T> => {
      calls += 1;
      const isBroken = calls === at;
      if (isBroken && fault === 'before') throw new Error('the process ended before the call');
      const answer = await call();
      if (isBroken) throw new Error('the process ended after the call');
      return answer;
    },
  };
}

/** The laptop's Secrets Manager with one empty secret, by the product's own client code. */
export function managedSecrets(
  through: <T>(call: () => Promise<T>) => Promise<T> = (call) => call(),
  owner = 'team-orders',
) {
  const stateDir = mkdtempSync(join(tmpdir(), 'rekey-managed-'));
  const manager = startSecretsManager({
    resources: [],
    stateDir,
    fresh: true,
    clock: openClock({ stateDir, fresh: true }),
    ...world,
    mayInvoke: () => true,
    invoke: async () => ({ payload: null }),
    log: () => undefined,
  });
  manager.add({
    stack: 'Shop',
    logicalId: 'Key',
    type: 'AWS::SecretsManager::Secret',
    properties: { Tags: [{ Key: OWNER_TAG, Value: owner }] },
    ref: SECRET,
    attributes: { Id: SECRET, Name: 'Shop-Key' },
  });
  const call = async (operation: string, input: object): Promise<Json> => {
    try {
      // As over the wire: nothing is shared with the caller, and what is undefined is not there.
      return structuredClone(
        (await manager.handle({
          service: 'secretsmanager',
          operation,
          input: JSON.parse(JSON.stringify({ SecretId: SECRET, ...input })),
        } as AwsCall)) as Json,
      );
    } catch (error) {
      // The SDK has the code as the name.
      throw error instanceof AwsError ? Object.assign(new Error(error.message), { name: error.code }) : error;
    }
  };
  const secrets = secretVersions({
    send: ((command: { constructor: { name: string }; input: object }) =>
      through(() => call(command.constructor.name.replace(/Command$/, ''), command.input))) as never,
  });
  const values = async (stage: string): Promise<ManagedSecret | undefined> => {
    try {
      return JSON.parse(String((await call('GetSecretValue', { VersionStage: stage }))['SecretString']));
    } catch {
      return undefined;
    }
  };
  return { secrets, call, valueIn: values };
}
