import { isDeepStrictEqual } from 'node:util';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import type { ApiKeyRecord } from './api-key.schema.ts';
import { isValid, statusOf } from './api-key.ts';
import type { Caller } from './caller.ts';
import {
  type DeployedKey,
  decideGrant,
  deploymentId,
  inWords,
  lifeDays,
  readDeployedKey,
  versionIdOf,
} from './deployed-key.ts';
import { forgetDeployment, getDeployment } from './deployment-table.ts';
import type { DeployableKeys } from './environment.ts';
import type { Origin } from './event.ts';
import { decideChange } from './key-change.ts';
import { mintKey } from './key-format.ts';
import {
  cancelRotation,
  createKey,
  getKey,
  lineage,
  replaceSecret,
  revokeKey,
  updateKey,
} from './key-table.ts';
import { decideExpiry } from './lifetime.ts';
import { newKey } from './new-key.ts';
import { NotRotated, SuccessorUsed } from './problem.ts';
import { decideCancellation, type KeySettings } from './rotation.ts';
import { normalizeScopes } from './scope.ts';
import type { SecretText } from './secret-text.ts';
import type { SecretVersions } from './secret-versions.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** Why the keys of a resource that is deleted end. */
const DELETED = 'deleted from its CloudFormation stack';
const REPLACED = 'replaced by another deployment';
/** Why a successor that nobody has used is dropped. */
const REDEPLOYED = 'changed by another deployment';

/** How often it is begun again because another invocation for the same resource came first. */
const MOST_TRIES = 5;
const MS_PER_DAY = 86_400_000;
const PAGE = 100;

export interface DeploymentWorld {
  secrets: SecretVersions;
  settings: KeySettings & { key_prefix: string };
  rules: { admin_secret_arn: string; deployable: DeployableKeys };
  table?: KeyTable;
}

/**
 * Does what CloudFormation asks of a `Custom::RekeyApiKey`: it stands for one line of keys, whose text is in the secret
 * that the properties name and nowhere else. What CloudFormation, or a retry of Lambda, asks again is done once.
 *
 * The physical id is the same for as long as the resource is there, so nothing is ever replaced: a resource for another
 * owner or secret is another resource (infra/rotating-api-key.ts). A Delete therefore knows the line also if the Create
 * before it broke off anywhere.
 *
 * @returns the physical id
 * @throws Error for the person who deploys to read
 */
export async function deployKey(
  event: CloudFormationCustomResourceEvent,
  origin: Origin,
  world: DeploymentWorld,
): Promise<string> {
  const id = deploymentId(event);
  if (event.RequestType === 'Delete') {
    await deleteLine(id, origin, world);
    return event.PhysicalResourceId;
  }
  const wanted = readDeployedKey(event);
  const { owner_id } = await world.secrets.describe(wanted.secret_arn);
  const grantor = decideGrant(wanted, owner_id, world.rules);
  const hasNewRhythm =
    event.RequestType === 'Update' &&
    event.OldResourceProperties['EveryDays'] !== event.ResourceProperties['EveryDays'];
  const { StackId: stack_id, LogicalResourceId: logical_id } = event;
  const request = { id, stack_id, logical_id, wanted, grantor, hasNewRhythm };
  for (let tries = 1; tries <= MOST_TRIES; tries++)
    if ((await provide(request, origin, world)) === 'done') return id;
  throw new Error('Other deployments of this key came first again and again. Deploy once more.');
}

interface Request {
  id: string;
  stack_id: string;
  logical_id: string;
  wanted: DeployedKey;
  grantor: Caller;
  hasNewRhythm: boolean;
}

/** @returns `'again'` when another invocation for the same resource came first */
async function provide(request: Request, origin: Origin, world: DeploymentWorld): Promise<'done' | 'again'> {
  const { id, wanted, grantor } = request;
  const { table = environmentTable() } = world;
  const deployment = await getDeployment(id, table);
  if (deployment && (deployment.owner_id !== wanted.owner_id || deployment.secret_arn !== wanted.secret_arn))
    throw new Error(
      'The owner and the secret of a key do not change: give the resource another logical id, as RotatingApiKey does.',
    );

  const keys = deployment ? await livingKeys(deployment.root_key_id, origin, table) : [];
  if (!deployment || keys.length === 0) {
    if (deployment) await revokeLine(deployment.root_key_id, REPLACED, origin, world);
    return beginLine(request, deployment?.root_key_id, origin, world);
  }
  const [seen, pending] = keys as [ApiKeyRecord, ApiKeyRecord?];
  const decide = (record: ApiKeyRecord) =>
    decideChange(record, changesOf(request, record, origin, world), grantor, origin.now, world.settings);
  if (pending) {
    // A rotation is under way, and a key that has a successor does not change.
    if (!request.hasNewRhythm && isAs(wanted, seen)) return 'done';
    await dropPending(seen, origin, world);
    return 'again';
  }
  const record = await updateKey(seen, (record) => inWords(() => decide(record)), origin, table);
  const isUntouched = record.id === deployment.root_key_id && record.first_used_at === null;
  if (!isUntouched || (await isStored(record, wanted, world))) return 'done';
  // An earlier attempt made the key and broke off before it was in the secret: its text is nowhere.
  const { key, digest, hint } = mintKey({
    prefix: world.settings.key_prefix,
    environment: record.environment,
    id: record.id,
  });
  return store(key, await replaceSecret(record, { digest, hint }, origin, table), wanted, world);
}

const isAs = ({ name, scopes }: DeployedKey, record: ApiKeyRecord): boolean =>
  record.name === name && isDeepStrictEqual(record.scopes, normalizeScopes(scopes));

/** Takes a rotation back whose successor nobody has used. Secrets Manager finds out, and rotates again. */
async function dropPending(seen: ApiKeyRecord, origin: Origin, { settings, table }: DeploymentWorld) {
  try {
    await cancelRotation(
      seen,
      (record, successor) => decideCancellation(record, successor, origin.now, settings),
      REDEPLOYED,
      origin,
      table,
    );
  } catch (error) {
    // Used meanwhile: the rotation is through, and there is one key again.
    if (!(error instanceof SuccessorUsed || error instanceof NotRotated)) throw error;
  }
}

function changesOf(
  { wanted, hasNewRhythm }: Request,
  { created_at }: ApiKeyRecord,
  { now }: Origin,
  { settings }: DeploymentWorld,
) {
  const { name, scopes, every_days } = wanted;
  if (!hasNewRhythm) return { name, scopes };
  // From now on, since it may be older than it would have become. Its successors are given no less.
  const life = lifeDays(every_days, settings.max_lifetime_days) * MS_PER_DAY;
  const latest = Date.parse(created_at) + settings.max_lifetime_days * MS_PER_DAY;
  return {
    ...{ name, scopes },
    expires_at: new Date(Math.min(now + life, latest)).toISOString(),
  };
}

/** Makes the first key of the resource's line and puts it into the secret. */
async function beginLine(
  { id, stack_id, logical_id, wanted, grantor }: Request,
  instead_of: string | undefined,
  origin: Origin,
  world: DeploymentWorld,
): Promise<'done' | 'again'> {
  const { settings, table } = world;
  const { owner_id, secret_arn, name, scopes, every_days } = wanted;
  const expires_in_days = lifeDays(every_days, settings.max_lifetime_days);
  const decided = {
    owner_id,
    owner_access: grantor.owner_access,
    name,
    environment: 'live' as const,
    scopes,
    expires_at: inWords(() => decideExpiry({ expires_in_days }, origin.now, settings)),
    metadata: {},
    notify_days_before: null,
    created_by: origin.actor,
  };
  const { key, record } = newKey(decided, origin.now, settings);
  const created_at = record.created_at;
  const deployment = { stack_id, logical_id, secret_arn, owner_id, created_at };
  const outcome = await createKey(record, origin, { deployment_id: id, deployment, instead_of }, table);
  return outcome === 'taken' ? 'again' : store(key, outcome, wanted, world);
}

/**
 * Puts a key's text into the secret. Another invocation may have replaced it at the same moment: then what was written
 * last might not work, and it is begun again.
 */
async function store(
  key: SecretText,
  { id, digest, expires_at }: ApiKeyRecord,
  { secret_arn }: DeployedKey,
  { secrets, table }: DeploymentWorld,
): Promise<'done' | 'again'> {
  await secrets.putCurrent(secret_arn, versionIdOf(digest), { key: key.reveal(), key_id: id, expires_at });
  return (await getKey(id, table))?.digest === digest ? 'done' : 'again';
}

const isStored = async (
  { digest }: ApiKeyRecord,
  { secret_arn }: DeployedKey,
  { secrets }: DeploymentWorld,
) => (await secrets.describe(secret_arn)).current === versionIdOf(digest);

async function deleteLine(id: string, origin: Origin, world: DeploymentWorld): Promise<void> {
  const deployment = await getDeployment(id, world.table);
  // CloudFormation also asks to delete what could not be created.
  if (!deployment) return;
  await revokeLine(deployment.root_key_id, DELETED, origin, world);
  await forgetDeployment(id, deployment, world.table);
}

async function revokeLine(
  root: string,
  reason: string,
  origin: Origin,
  world: DeploymentWorld,
): Promise<void> {
  const { table = environmentTable() } = world;
  const { retention_days } = world.settings;
  // The oldest first: a key that is revoked makes no more successors, and those it has made are named in it.
  await walk(root, origin.now, table, async (record) =>
    isValid(record, origin.now) ? revokeKey(record, { reason, retention_days }, origin, table) : record,
  );
}

/** The keys of the line that have no successor in use: one, and while it is being rotated perhaps two. Oldest first. */
async function livingKeys(root: string, { now }: Origin, table: KeyTable): Promise<ApiKeyRecord[]> {
  const keys: ApiKeyRecord[] = [];
  await walk(root, now, table, async (record) => {
    if (isValid(record, now) && statusOf(record, now) !== 'rotated') keys.push(record);
    return record;
  });
  return keys;
}

/**
 * Goes along a line of keys, each read consistently. The index says only where it begins now, since the oldest records
 * are tidied away; each successor is then named by the key before it.
 *
 * @param visit gives the record as it is afterwards
 */
async function walk(
  root: string,
  now: number,
  table: KeyTable,
  visit: (record: ApiKeyRecord) => Promise<ApiKeyRecord>,
): Promise<void> {
  const ids = new Set([root]);
  let after: number | undefined;
  do {
    const page = await lineage({ root_key_id: root, limit: PAGE, after }, table);
    for (const listed of page.keys) if (isValid(listed, now)) ids.add(listed.id);
    after = page.last;
  } while (after !== undefined);
  // A set gives what is added meanwhile as well.
  for (const id of ids) {
    const record = await getKey(id, table);
    const successor = record && (await visit(record)).successor_key_id;
    if (successor) ids.add(successor);
  }
}
