import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsError } from '../aws-error.ts';
import type { AwsCall, AwsService, Json, Question } from '../aws-front.ts';
import type { Clock } from '../clock.ts';
import type { DeployedResource } from '../resource.ts';
import { readState, writePrivate } from '../state-file.ts';
import { type PasswordRules, randomPassword } from './password.ts';
import { callSteps, type Rotation, type RotationRules, retryOf, runOf, scheduleOf } from './rotation.ts';

export { supported } from './supported.ts';

const CURRENT = 'AWSCURRENT';
const PREVIOUS = 'AWSPREVIOUS';
const PENDING = 'AWSPENDING';

const TICK_MS = 1_000;
const DAY_MS = 86_400_000;

/** https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html */
const LARGEST_VALUE = 65_536;

interface Version {
  /** Absent as long as a rotation has not made it. */
  value?: string;
  /** Epoch milliseconds, of the stack's clock. */
  created: number;
  /** Staging labels. */
  stages: string[];
}

interface Secret {
  name: string;
  /** Of the template's part that gives the value: when it changes, so does the value. */
  made_of?: string;
  created: number;
  changed: number;
  /** Of the template; absent in what an earlier version of this file kept. */
  tags?: { Key: string; Value: string }[];
  versions: Record<string, Version>;
  rotation?: Rotation;
  /** When it was deleted, and when it will be gone. */
  deleted?: { at: number; gone_at: number };
}

export interface SecretsManager extends AwsService {
  /** Makes the secret of an `AWS::SecretsManager::Secret`, unless an earlier start did. */
  add(resource: DeployedResource): void;
  /** Takes an `AWS::SecretsManager::RotationSchedule`; when it is new or has changed, the secret is rotated. @throws Error */
  addRotation(resource: DeployedResource): void;
  /** Begins to rotate. */
  start(): void;
  stop(): Promise<void>;
}

const notFound = (): AwsError =>
  new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
const noSuchVersion = (): AwsError =>
  new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret value.");
const refused = (message: string): AwsError => new AwsError('InvalidRequestException', message);
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
  account: string;
  region: string;
  mayInvoke(functionArn: string, secretArn: string): boolean;
  invoke(functionArn: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
  log(line: string): void;
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
  const findKept = (input: Json): { arn: string; secret: Secret } => {
    const found = find(input);
    if (found.secret.deleted)
      throw refused("You can't perform this operation on the secret because it was marked for deletion.");
    return found;
  };
  const versionWith = (secret: Secret, stage: string): string | undefined =>
    Object.keys(secret.versions).find((id) => secret.versions[id]?.stages.includes(stage));

  /** A label is on one version at a time. Where AWSCURRENT was, AWSPREVIOUS goes. */
  function label(secret: Secret, versionId: string, stage: string): void {
    const before = versionWith(secret, stage);
    if (before === versionId) return;
    if (before !== undefined) remove(secret, before, stage);
    secret.versions[versionId]!.stages.push(stage);
    // A value that was changed by hand counts as rotated.
    if (stage === CURRENT && secret.rotation) secret.rotation.since = o.clock.now();
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
    if (known?.value !== undefined && known.value !== value)
      throw new AwsError(
        'ResourceExistsException',
        'You cannot use this ClientRequestToken: it names a version with another value.',
      );
    secret.changed = o.clock.now();
    secret.versions[versionId] ??= { created: secret.changed, stages: [] };
    secret.versions[versionId].value = value;
    // The first value of a secret is its current one, whatever it is called.
    const labels = versionWith(secret, CURRENT) === undefined ? [...stages, CURRENT] : stages;
    for (const stage of labels) label(secret, versionId, stage);
    keep();
  }

  /** The version of a rotation that was begun and not ended. */
  function strayVersion(secret: Secret): string | undefined {
    const id = versionWith(secret, PENDING);
    return id !== undefined && secret.versions[id]?.stages.includes(CURRENT) ? undefined : id;
  }

  function begin(secret: Secret, onlyTest = false, versionId?: string): void {
    const { rotation } = secret;
    if (rotation === undefined) return;
    const now = o.clock.now();
    rotation.run = { ...runOf(strayVersion(secret), now, versionId), ...(onlyTest && { only_test: true }) };
    const id = rotation.run.version_id;
    const current = versionWith(secret, CURRENT);
    // A test has something to test: AWS says only that it makes a version and removes it.
    const value = onlyTest && current !== undefined ? secret.versions[current]?.value : undefined;
    secret.versions[id] ??= { created: now, stages: [], ...(value !== undefined && { value }) };
    label(secret, id, PENDING);
    keep();
  }

  const running = new Map<string, Promise<void>>();
  let ticker: NodeJS.Timeout | undefined;

  async function rotate(arn: string, secret: Secret, rotation: Rotation): Promise<void> {
    const { run } = rotation;
    if (run === undefined) return;
    const { mayInvoke, invoke } = o;
    let problem = await callSteps({ secretArn: arn, rotation, mayInvoke, invoke });
    const now = o.clock.now();
    if (ticker === undefined) return; // The stack ends: the next start begins this attempt again.
    if (run.only_test) delete secret.versions[run.version_id];
    else if (problem === undefined && versionWith(secret, CURRENT) !== run.version_id)
      problem = `finishSecret did not move ${CURRENT}`;
    if (problem !== undefined) o.log(`${secret.name}: rotation: attempt ${run.attempts + 1}: ${problem}`);
    const next = problem === undefined ? undefined : retryOf(run, now);
    if (next === undefined) delete rotation.run;
    else rotation.run = next;
    if (next === undefined && !run.only_test) rotation.since = now;
    if (problem === undefined && !run.only_test) {
      rotation.last_rotated = now;
      // Of the two ends that AWS names, the one that can't block the next rotation.
      remove(secret, run.version_id, PENDING);
    }
    keep();
  }

  /** Rotates what is due. A schedule that was missed several times is due once. */
  function tick(): void {
    if (ticker === undefined) return;
    const now = o.clock.now();
    for (const [arn, secret] of Object.entries(secrets)) {
      if (secret.deleted && secret.deleted.gone_at <= now) {
        delete secrets[arn];
        keep();
      }
      const { rotation, deleted } = secret;
      if (rotation === undefined || deleted || running.has(arn)) continue;
      if (rotation.run === undefined && scheduleOf(rotation.rules)?.lastAt(now, rotation.since))
        begin(secret);
      // Read anew: what was begun just now is due as well.
      if (rotation.run === undefined || rotation.run.due_at > o.clock.now()) continue;
      const work = rotate(arn, secret, rotation)
        .catch((error: Error) => o.log(`${secret.name}: rotation: ${error.message}`))
        .finally(() => running.delete(arn));
      running.set(arn, work);
    }
  }
  o.clock.onMove(tick);

  const operations: Record<string, (input: Json) => Json> = {
    GetSecretValue(input) {
      const { arn, secret } = findKept(input);
      const stage = text(input, 'VersionStage');
      const wanted = text(input, 'VersionId') ?? versionWith(secret, stage ?? CURRENT);
      const version = wanted === undefined ? undefined : secret.versions[wanted];
      if (version?.value === undefined || (stage !== undefined && !version.stages.includes(stage)))
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
      const { arn, secret } = findKept(input);
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
      const { arn, secret } = findKept(input);
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
        ...(secret.tags && { Tags: secret.tags }),
        ...(secret.deleted && { DeletedDate: seconds(secret.deleted.at) }),
        ...(secret.rotation && {
          RotationEnabled: true,
          RotationLambdaARN: secret.rotation.function_arn,
          RotationRules: secret.rotation.rules,
          ...(secret.rotation.last_rotated && { LastRotatedDate: seconds(secret.rotation.last_rotated) }),
        }),
        VersionIdsToStages: Object.fromEntries(
          Object.entries(secret.versions)
            .filter(([, { stages }]) => stages.length > 0)
            .map(([id, { stages }]) => [id, stages]),
        ),
      };
    },
    ListSecretVersionIds(input) {
      const { arn, secret } = findKept(input);
      const Versions = Object.entries(secret.versions)
        .filter(([, { stages }]) => stages.length > 0 || input['IncludeDeprecated'] === true)
        .map(([VersionId, { stages, created }]) => ({
          VersionId,
          VersionStages: stages,
          CreatedDate: seconds(created),
        }));
      return { ARN: arn, Name: secret.name, Versions };
    },
    CreateSecret(input) {
      const name = text(input, 'Name');
      if (name === undefined || !/^[\w/+=.@-]{1,512}$/.test(name)) throw invalid('Name is not valid.');
      const known = arnOf(name);
      if (known !== undefined && secrets[known]?.name === name) {
        throw secrets[known].deleted
          ? refused('A secret with this name is already scheduled for deletion.')
          : new AwsError('ResourceExistsException', `The secret ${name} already exists.`);
      }
      const value = text(input, 'SecretString');
      const versionId = text(input, 'ClientRequestToken') ?? randomUUID();
      const now = o.clock.now();
      const arn = `arn:aws:secretsmanager:${o.region}:${o.account}:secret:${name}-${randomPassword({ PasswordLength: 6, ExcludePunctuation: true })}`;
      const secret: Secret = { name, created: now, changed: now, versions: {} };
      if (value !== undefined) put(secret, value, versionId, [CURRENT]);
      secrets[arn] = secret;
      keep();
      return { ARN: arn, Name: name, ...(value !== undefined && { VersionId: versionId }) };
    },
    DeleteSecret(input) {
      const force = input['ForceDeleteWithoutRecovery'] === true;
      const days = Number(input['RecoveryWindowInDays'] ?? 30);
      if (force && input['RecoveryWindowInDays'] !== undefined)
        throw invalid('ForceDeleteWithoutRecovery and RecoveryWindowInDays exclude each other.');
      if (!Number.isInteger(days) || days < 7 || days > 30) throw invalid('RecoveryWindowInDays is 7 to 30.');
      const { arn, secret } = find(input);
      const at = o.clock.now();
      const gone_at = force ? at : at + days * DAY_MS;
      if (force) delete secrets[arn];
      else secret.deleted ??= { at, gone_at };
      keep();
      return { ARN: arn, Name: secret.name, DeletionDate: seconds(secret.deleted?.gone_at ?? gone_at) };
    },
    RestoreSecret(input) {
      const { arn, secret } = find(input);
      delete secret.deleted;
      keep();
      return { ARN: arn, Name: secret.name };
    },
    RotateSecret(input) {
      const { arn, secret } = findKept(input);
      const functionArn = text(input, 'RotationLambdaARN') ?? secret.rotation?.function_arn;
      if (functionArn === undefined)
        throw refused('No Lambda rotation function ARN is associated with this secret.');
      const rules = (input['RotationRules'] as RotationRules | undefined) ?? secret.rotation?.rules ?? {};
      scheduleOf(rules);
      const versionId = text(input, 'ClientRequestToken') ?? randomUUID();
      if (secret.rotation?.run !== undefined || strayVersion(secret) !== undefined)
        throw refused("A previous rotation isn't complete. That rotation will be reattempted.");
      secret.rotation = { since: o.clock.now(), ...secret.rotation, function_arn: functionArn, rules };
      begin(secret, input['RotateImmediately'] === false, versionId);
      tick();
      return { ARN: arn, Name: secret.name, VersionId: versionId };
    },
    CancelRotateSecret(input) {
      const { arn, secret } = findKept(input);
      delete secret.rotation;
      keep();
      return { ARN: arn, Name: secret.name };
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
      if (operation === 'CreateSecret') {
        const name = text(input, 'Name') ?? '';
        const resource = `arn:aws:secretsmanager:${o.region}:${o.account}:secret:${name}-XXXXXX`;
        return [{ action, resource, context: { 'secretsmanager:Name': name } }];
      }
      const id = text(input, 'SecretId') ?? '';
      // Of a secret that there is not, AWS asks for what was named: a stranger does not learn which there are.
      const arn = arnOf(id) ?? id;
      const stage = text(input, 'VersionStage');
      const version = text(input, 'VersionId');
      const rotator = secrets[arn]?.rotation?.function_arn;
      const toInvoke =
        operation === 'RotateSecret' ? (text(input, 'RotationLambdaARN') ?? rotator) : undefined;
      const policy = o.resources.find(
        ({ type, properties }) =>
          type === 'AWS::SecretsManager::ResourcePolicy' && arnOf(String(properties['SecretId'])) === arn,
      );
      return [
        {
          action,
          resource: arn,
          context: {
            'secretsmanager:SecretId': arn,
            ...Object.fromEntries(
              (secrets[arn]?.tags ?? []).flatMap(({ Key, Value }) => [
                [`aws:ResourceTag/${Key}`, Value],
                [`secretsmanager:ResourceTag/${Key}`, Value],
              ]),
            ),
            ...(stage && { 'secretsmanager:VersionStage': stage }),
            ...(version && { 'secretsmanager:VersionId': version }),
            ...(rotator && { 'secretsmanager:resource/AllowRotationLambdaArn': rotator }),
            ...(operation === 'RotateSecret' && contextOfRotation(input)),
          },
          ...(policy && { resourcePolicy: policy.properties['ResourcePolicy'] }),
        },
        // Who starts a rotation has to be allowed to invoke its function.
        ...(toInvoke === undefined
          ? []
          : [{ action: 'lambda:InvokeFunction', resource: toInvoke, context: {} }]),
      ];
    },

    async handle({ operation, input }: AwsCall): Promise<Json> {
      return operations[operation]!(input);
    },

    add({ stack, logicalId, properties, ref, attributes }) {
      const {
        SecretString,
        GenerateSecretString,
        Tags: tags = [],
      } = properties as {
        Tags?: { Key: string; Value: string }[];
        SecretString?: string;
        GenerateSecretString?: PasswordRules & { SecretStringTemplate?: string; GenerateStringKey?: string };
      };
      if (SecretString !== undefined && GenerateSecretString !== undefined)
        throw new Error(`${stack}/${logicalId}: SecretString and GenerateSecretString exclude each other`);
      const made_of = createHash('sha256')
        .update(JSON.stringify([SecretString, GenerateSecretString]))
        .digest('hex');
      const known = secrets[ref];
      if (known) known.tags = tags;
      if (known?.made_of === made_of) return keep();
      const now = o.clock.now();
      const secret = known ?? {
        name: attributes['Name'] ?? ref,
        made_of,
        created: now,
        changed: now,
        versions: {},
        tags,
      };
      secrets[ref] = { ...secret, made_of };
      // Without either it is empty, and somebody else puts the first value.
      const value = SecretString ?? (GenerateSecretString && generated(GenerateSecretString));
      if (value === undefined) keep();
      else put(secrets[ref], value, randomUUID(), [CURRENT]);
    },

    addRotation({ stack, logicalId, properties }) {
      const {
        SecretId,
        RotationLambdaARN,
        RotationRules = {},
        RotateImmediatelyOnUpdate = true,
      } = properties as {
        SecretId: string;
        RotationLambdaARN?: string;
        RotationRules?: RotationRules;
        RotateImmediatelyOnUpdate?: boolean;
      };
      const secret = secrets[arnOf(SecretId) ?? ''];
      const fail = (why: string): never => {
        throw new Error(`${stack}/${logicalId}: ${why}`);
      };
      if (secret === undefined) return fail(`there is no secret ${SecretId}`);
      if (RotationLambdaARN === undefined) return fail('the laptop stack rotates by RotationLambdaARN');
      scheduleOf(RotationRules);
      const made_of = JSON.stringify([RotationLambdaARN, RotationRules]);
      if (secret.rotation?.made_of === made_of) return;
      secret.rotation = {
        ...{ since: o.clock.now(), ...secret.rotation },
        ...{ made_of, function_arn: RotationLambdaARN, rules: RotationRules },
      };
      begin(secret, String(RotateImmediatelyOnUpdate) === 'false');
    },

    start() {
      ticker = setInterval(tick, TICK_MS);
      ticker.unref();
      tick();
    },

    async stop() {
      clearInterval(ticker);
      ticker = undefined;
      await Promise.race([Promise.all(running.values()), sleep(2_000, undefined, { ref: false })]);
    },
  };
}

/** What a request to rotate says beside the secret, as condition keys. */
function contextOfRotation(input: Json): Record<string, string> {
  const functionArn = text(input, 'RotationLambdaARN');
  return {
    ...(functionArn && { 'secretsmanager:RotationLambdaARN': functionArn }),
    'secretsmanager:ModifyRotationRules': String(input['RotationRules'] !== undefined),
    'secretsmanager:RotateImmediately': String(input['RotateImmediately'] !== false),
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
