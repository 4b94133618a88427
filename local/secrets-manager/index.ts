import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { AwsError } from '../aws-error.ts';
import type { AwsCall, AwsService, Json, Question } from '../aws-front.ts';
import type { Clock } from '../clock.ts';
import type { DeployedResource } from '../resource.ts';
import { readState, writePrivate } from '../state-file.ts';
import { type PasswordRules, randomPassword } from './password.ts';

export { supported } from './supported.ts';

const CURRENT = 'AWSCURRENT';
const PREVIOUS = 'AWSPREVIOUS';

/** https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html */
const LARGEST_VALUE = 65_536;

interface Version {
  value: string;
  /** Epoch milliseconds, of the stack's clock. */
  created: number;
  /** Staging labels. */
  stages: string[];
}

interface Secret {
  name: string;
  /** Of the template's part that gives the value: when it changes, so does the value. */
  made_of: string;
  created: number;
  changed: number;
  versions: Record<string, Version>;
}

export interface SecretsManager extends AwsService {
  /** Makes the secret of an `AWS::SecretsManager::Secret`, unless an earlier start did. */
  add(resource: DeployedResource): void;
}

const notFound = (): AwsError =>
  new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
const noSuchVersion = (): AwsError =>
  new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret value.");
const invalid = (message: string): AwsError => new AwsError('InvalidParameterException', message);

const seconds = (ms: number): number => ms / 1000;
const text = (input: Json, name: string): string | undefined => {
  const value = input[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw invalid(`${name} must be a string.`);
  return value;
};

/**
 * The secrets of the templates, as Secrets Manager's API, with versions and their staging labels. They are kept in a
 * file that only this user can read.
 */
export function startSecretsManager(o: {
  resources: readonly DeployedResource[];
  stateDir: string;
  fresh: boolean;
  clock: Clock;
}): SecretsManager {
  const path = join(o.stateDir, 'secrets.json');
  if (o.fresh) rmSync(path, { force: true });
  /** By ARN. */
  const secrets = readState<Record<string, Secret>>(path) ?? {};
  const keep = (): void => writePrivate(path, secrets);

  /** By ARN, by the ARN without its last seven characters, or by name. */
  const arnOf = (id: string | undefined): string | undefined =>
    Object.keys(secrets).find((arn) => id === arn || id === arn.slice(0, -7) || id === secrets[arn]?.name);
  const find = (input: Json): { arn: string; secret: Secret } => {
    const arn = arnOf(text(input, 'SecretId'));
    const secret = arn === undefined ? undefined : secrets[arn];
    if (arn === undefined || secret === undefined) throw notFound();
    return { arn, secret };
  };
  const versionWith = (secret: Secret, stage: string): string | undefined =>
    Object.keys(secret.versions).find((id) => secret.versions[id]?.stages.includes(stage));

  /** A label is on one version at a time. Where AWSCURRENT was, AWSPREVIOUS goes. */
  function label(secret: Secret, versionId: string, stage: string): void {
    const before = versionWith(secret, stage);
    if (before === versionId) return;
    if (before !== undefined) remove(secret, before, stage);
    secret.versions[versionId]!.stages.push(stage);
    if (stage !== CURRENT || before === undefined) return;
    remove(secret, versionId, PREVIOUS);
    label(secret, before, PREVIOUS);
  }
  function remove(secret: Secret, versionId: string, stage: string): void {
    const version = secret.versions[versionId]!;
    version.stages = version.stages.filter((each) => each !== stage);
  }

  function put(secret: Secret, value: string, versionId: string, stages: string[]): void {
    if (value === '' || Buffer.byteLength(value) > LARGEST_VALUE)
      throw invalid(`The secret value must have 1 to ${LARGEST_VALUE} bytes.`);
    const known = secret.versions[versionId];
    if (known !== undefined && known.value !== value)
      throw new AwsError(
        'ResourceExistsException',
        'You cannot use this ClientRequestToken: it names a version with another value.',
      );
    secret.changed = o.clock.now();
    secret.versions[versionId] ??= { value, created: secret.changed, stages: [] };
    for (const stage of stages) label(secret, versionId, stage);
    keep();
  }

  const operations: Record<string, (input: Json) => Json> = {
    GetSecretValue(input) {
      const { arn, secret } = find(input);
      const stage = text(input, 'VersionStage');
      const wanted = text(input, 'VersionId') ?? versionWith(secret, stage ?? CURRENT);
      const version = wanted === undefined ? undefined : secret.versions[wanted];
      if (version === undefined || (stage !== undefined && !version.stages.includes(stage)))
        throw noSuchVersion();
      return {
        ARN: arn,
        Name: secret.name,
        VersionId: wanted,
        SecretString: version.value,
        VersionStages: version.stages,
        CreatedDate: seconds(version.created),
      };
    },
    PutSecretValue(input) {
      const { arn, secret } = find(input);
      const value = text(input, 'SecretString');
      if (value === undefined) throw invalid('The laptop stack keeps text: send SecretString.');
      const versionId = text(input, 'ClientRequestToken') ?? randomUUID();
      const stages = (input['VersionStages'] as string[] | undefined) ?? [CURRENT];
      put(secret, value, versionId, stages);
      return {
        ARN: arn,
        Name: secret.name,
        VersionId: versionId,
        VersionStages: secret.versions[versionId]?.stages,
      };
    },
    UpdateSecretVersionStage(input) {
      const { arn, secret } = find(input);
      const stage = text(input, 'VersionStage');
      if (stage === undefined) throw invalid('VersionStage is missing.');
      const to = text(input, 'MoveToVersionId');
      const from = text(input, 'RemoveFromVersionId');
      const at = versionWith(secret, stage);
      if (from !== undefined && secret.versions[from] === undefined) throw noSuchVersion();
      if (to !== undefined && secret.versions[to] === undefined) throw noSuchVersion();
      // AWS wants to be told where the label is: nobody moves one that somebody else has moved meanwhile.
      if (at !== undefined && at !== to && at !== from)
        throw invalid(`The label ${stage} is on another version: name it in RemoveFromVersionId.`);
      if (to === undefined && stage === CURRENT) throw invalid(`${CURRENT} can be moved, not taken away.`);
      if (to !== undefined) label(secret, to, stage);
      else if (from !== undefined) remove(secret, from, stage);
      keep();
      return { ARN: arn, Name: secret.name };
    },
    DescribeSecret(input) {
      const { arn, secret } = find(input);
      return {
        ARN: arn,
        Name: secret.name,
        CreatedDate: seconds(secret.created),
        LastChangedDate: seconds(secret.changed),
        VersionIdsToStages: Object.fromEntries(
          Object.entries(secret.versions)
            .filter(([, { stages }]) => stages.length > 0)
            .map(([id, { stages }]) => [id, stages]),
        ),
      };
    },
    GetRandomPassword(input) {
      return { RandomPassword: password(input as PasswordRules) };
    },
  };

  return {
    name: 'secretsmanager',
    protocol: { kind: 'json', version: '1.1', targets: ['secretsmanager'] },

    /** https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html */
    questions({ operation, input }): Question[] | undefined {
      if (!Object.hasOwn(operations, operation)) return undefined;
      const action = `secretsmanager:${operation}`;
      if (operation === 'GetRandomPassword') return [{ action, resource: '*', context: {} }];
      const id = text(input, 'SecretId') ?? '';
      // Of a secret that there is not, AWS asks for what was named: a stranger does not learn which there are.
      const arn = arnOf(id) ?? id;
      const stage = text(input, 'VersionStage');
      const policy = o.resources.find(
        ({ type, properties }) =>
          type === 'AWS::SecretsManager::ResourcePolicy' && arnOf(String(properties['SecretId'])) === arn,
      );
      return [
        {
          action,
          resource: arn,
          context: { 'secretsmanager:SecretId': arn, ...(stage && { 'secretsmanager:VersionStage': stage }) },
          ...(policy && { resourcePolicy: policy.properties['ResourcePolicy'] }),
        },
      ];
    },

    async handle({ operation, input }: AwsCall): Promise<Json> {
      return operations[operation]!(input);
    },

    add({ stack, logicalId, properties, ref, attributes }) {
      const { SecretString, GenerateSecretString } = properties as {
        SecretString?: string;
        GenerateSecretString?: PasswordRules & { SecretStringTemplate?: string; GenerateStringKey?: string };
      };
      if (SecretString !== undefined && GenerateSecretString !== undefined)
        throw new Error(`${stack}/${logicalId}: SecretString and GenerateSecretString exclude each other`);
      const made_of = createHash('sha256')
        .update(JSON.stringify([SecretString, GenerateSecretString]))
        .digest('hex');
      const known = secrets[ref];
      if (known?.made_of === made_of) return;
      const now = o.clock.now();
      const secret = known ?? {
        name: attributes['Name'] ?? ref,
        made_of,
        created: now,
        changed: now,
        versions: {},
      };
      secrets[ref] = { ...secret, made_of };
      put(secrets[ref], SecretString ?? generated(GenerateSecretString ?? {}), randomUUID(), [CURRENT]);
    },
  };
}

function password(rules: PasswordRules): string {
  try {
    return randomPassword(rules);
  } catch (error) {
    if (error instanceof RangeError) throw invalid(error.message);
    throw error;
  }
}

/** https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-secretsmanager-secret-generatesecretstring.html */
function generated({
  SecretStringTemplate,
  GenerateStringKey,
  ...rules
}: PasswordRules & { SecretStringTemplate?: string; GenerateStringKey?: string }): string {
  if (SecretStringTemplate === undefined || GenerateStringKey === undefined) return password(rules);
  return JSON.stringify({ ...JSON.parse(SecretStringTemplate), [GenerateStringKey]: password(rules) });
}
