import { createHash } from 'node:crypto';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { z } from 'zod';
import { Instant, KeyId } from './api-key.schema.ts';
import type { Caller } from './caller.ts';
import type { DeployableKeys } from './environment.ts';
import { Name, OwnerId, Scopes } from './key-fields.schema.ts';
import { InvalidRequest, Problem } from './problem.ts';
import { missingScopes } from './scope.ts';
import { validate } from './validate.ts';

/** Which line of keys a resource of a CloudFormation stack stands for. Written with the line's first key. */
export const Deployment = z.object({
  stack_id: z.string(),
  logical_id: z.string(),
  /** The secret that the keys of the line are in. */
  secret_arn: z.string(),
  owner_id: z.string(),
  /** The first key of the line. */
  root_key_id: KeyId,
  created_at: Instant,
});
export type Deployment = z.infer<typeof Deployment>;

const DAYS = 'must be a whole number of days from 1 to 999';

/** The properties of a `Custom::RekeyApiKey`. CloudFormation makes text of all of them. */
const DeployedKeyProperties = z
  .object({
    SecretArn: z.string().regex(/^arn:[\x21-\x7e]{10,2048}$/, 'must be the ARN of a secret'),
    OwnerId,
    Name,
    Scopes: z.preprocess((value) => (typeof value === 'string' ? fromJson(value) : value), Scopes),
    EveryDays: z.coerce.number(DAYS).int(DAYS).min(1, DAYS).max(999, DAYS),
  })
  .transform(({ SecretArn, OwnerId, Name, Scopes, EveryDays }) => ({
    secret_arn: SecretArn,
    owner_id: OwnerId,
    name: Name,
    scopes: Scopes,
    every_days: EveryDays,
  }));
export type DeployedKey = z.infer<typeof DeployedKeyProperties>;

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @throws Error whose message names each wrong property: CloudFormation shows it to whoever deploys */
export function readDeployedKey(event: CloudFormationCustomResourceEvent): DeployedKey {
  return inWords(() => validate(DeployedKeyProperties, event.ResourceProperties));
}

/** Runs what throws problems for callers of the API, and has them say it to whoever deploys. */
export function inWords<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof Problem ? new Error(wordsOf(error), { cause: error }) : error;
  }
}

const wordsOf = (problem: Problem): string => {
  if (!(problem instanceof InvalidRequest)) return problem.detail;
  const errors = problem.extensions['errors'] as { pointer: string; detail: string }[];
  return `The key is not valid: ${errors.map(({ pointer, detail }) => `${pointer.slice(1) || 'the whole'} ${detail}`).join('; ')}`;
};

/** One resource of one stack, whatever became of it: also of one whose Create never answered there is this much. */
export const deploymentId = ({ StackId, LogicalResourceId }: CloudFormationCustomResourceEvent): string =>
  `deployment_${createHash('sha256').update(`${StackId}\n${LogicalResourceId}`).digest('hex')}`;

/** The version of a secret that holds the key of this digest: written twice, it is one version, and shows whether it is there. */
export const versionIdOf = (digest: string): string =>
  createHash('sha256').update(`version\n${digest}`).digest('hex').slice(0, 32);

/** Days that a rotation may be late without locking anybody out. */
const LEAST_SPARE_DAYS = 14;

/**
 * How long a key of the line lives: until its rotation, and that long again, or two weeks; within the stack's maximum.
 *
 * @throws Error when that ends before it can be rotated
 */
export function lifeDays(every_days: number, max_lifetime_days: number): number {
  if (every_days >= max_lifetime_days)
    throw new Error(
      `A key lives ${max_lifetime_days} days at most here (rekey:maxLifetimeDays), so it cannot be rotated every ${every_days} days only.`,
    );
  return Math.min(every_days + Math.max(every_days, LEAST_SPARE_DAYS), max_lifetime_days);
}

/** How to allow what was refused. */
const HOW_TO_ALLOW =
  'The stack property rekey:deployableKeys of Rekey says who may have what at deploy time.';

/**
 * What a deployment may give away, as if a key asked for it. It is not known who deploys: AWS says only that they may
 * invoke the function. What counts is who may read the secret that the key goes to, so it must be tagged for the owner.
 *
 * @param secret_owner of the tag of the secret
 * @throws Error that says what to change
 */
export function decideGrant(
  { owner_id, secret_arn, scopes }: DeployedKey,
  secret_owner: string | undefined,
  { admin_secret_arn, deployable }: { admin_secret_arn: string; deployable: DeployableKeys },
): Caller {
  if (secret_owner !== owner_id)
    throw new Error(`The secret is not for ${owner_id}: its tag rekey:owner must say so.`);
  const isAdmin = secret_arn === admin_secret_arn;
  const allowed = isAdmin ? ['*:*'] : Object.hasOwn(deployable, owner_id) ? deployable[owner_id]! : [];
  if (allowed.length === 0)
    throw new Error(`No keys are made for ${owner_id} at deploy time. ${HOW_TO_ALLOW}`);
  const excess = missingScopes(allowed, scopes);
  if (excess.length > 0)
    throw new Error(`Keys for ${owner_id} get no ${excess.join(', ')} at deploy time. ${HOW_TO_ALLOW}`);
  return {
    key_id: 'system:deploy-key',
    owner_id,
    owner_access: isAdmin ? 'any' : 'own',
    environment: 'live',
    scopes: allowed,
  };
}
