import { randomUUID } from 'node:crypto';
import { PutCommand, TransactWriteCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { ApiKeyRecord } from './api-key.schema.ts';
import { isValid, ttlOf } from './api-key.ts';
import { canonicalJson } from './canonical-json.ts';
import { type Claim, claiming } from './idempotency.ts';
import { IdempotencyKeyUsed, KeyExpired, KeyRevoked, NotFound, Unavailable } from './problem.ts';
import type { Rotation } from './rotation.ts';
import {
  ConditionFailed,
  changing,
  environmentTable,
  type KeyTable,
  names,
  pause,
  present,
  query,
  readItem,
  send,
} from './table-client.ts';
import { BY_LINEAGE, BY_OWNER, ListedKey, SORT_KEY } from './table-layout.ts';

/** What a PATCH may change. What is absent or undefined stays as it is, but for `ttl: undefined`, which removes it. */
export type KeyChanges = Partial<Pick<ApiKeyRecord, 'name' | 'metadata' | 'scopes' | 'expires_at' | 'ttl'>>;

/** How often a write is decided anew because somebody else's came first. */
const MOST_DECISIONS = 8;
/** Keys of an owner that one page may look at to find those that were asked for. */
const LIST_BUDGET = 1_000;
/** Items of one query's page; 1 MB ends it sooner. */
const QUERY_PAGE = 250;

const placeOf = (id: string) => ({ pk: id, sk: SORT_KEY.apiKey });

/** A state that nothing but a write of this file can have left: `version` counts them. */
const UNCHANGED =
  'attribute_exists(#pk) AND #version = :version AND attribute_type(#revoked_at, :null)' as const;

/**
 * The key, read consistently.
 *
 * @returns undefined when there is none. Whose it is, the caller of this decides.
 */
export async function getKey(
  id: string,
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord | undefined> {
  const item = await readItem(table, placeOf(id));
  return item === undefined ? undefined : ApiKeyRecord.parse(item);
}

/**
 * Stores a new key, and with a claim takes its Idempotency-Key in the same transaction.
 *
 * @returns the record; `'taken'` when another request holds the Idempotency-Key (see `oncePer`)
 */
export async function createKey(
  record: ApiKeyRecord,
  claim?: Claim,
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord | 'taken'> {
  const put = putting(record, table);
  const outcome = claim
    ? await transact(table, [
        put,
        claiming(claim, { api_key_id: record.id, previous_key_id: record.parent_key_id }, table),
      ])
    : await send(table, new PutCommand(put.Put));
  if (!(outcome instanceof ConditionFailed)) return record;
  // The SDK sends again what was not answered, and then meets what it has written itself.
  const stored = await getKey(record.id, table);
  if (stored?.digest === record.digest) return record;
  if (outcome.failed[1]) return 'taken';
  throw new Error(`the new id ${record.id} is in use`);
}

/**
 * Changes a key as `decide` says, which is asked again with a fresh record when somebody else's write came first.
 *
 * @param seen the record as just read with `getKey`
 * @param decide throws the problem when the record does not allow the change; changes nothing itself
 * @returns the record as written
 * @throws what `decide` throws; NotFound; Unavailable
 */
export function updateKey(
  seen: ApiKeyRecord,
  decide: (record: ApiKeyRecord) => KeyChanges,
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord> {
  return decideAndWrite(
    seen,
    async (record) => {
      const changes = Object.entries(decide(record)).filter(
        ([name, value]) => value !== undefined || name === 'ttl',
      );
      if (changes.length === 0) return record;
      return writeVersion(record, Object.fromEntries(changes), UNCHANGED, {}, table);
    },
    table,
  );
}

/**
 * Rotates a key: its end, the successor and the taken Idempotency-Key are one transaction. Of many at the same
 * time one is done; the others are decided again and find the key rotated.
 *
 * @param seen the record as just read with `getKey`
 * @param decide `decideRotation`, and a successor minted from what it says
 * @returns both records as written; `'taken'` when another request holds the Idempotency-Key (see `oncePer`)
 * @throws what `decide` throws; NotFound; Unavailable
 */
export function rotateKey(
  seen: ApiKeyRecord,
  decide: (record: ApiKeyRecord) => { old: Rotation['old']; successor: ApiKeyRecord },
  claim?: Claim,
  table: KeyTable = environmentTable(),
): Promise<{ successor: ApiKeyRecord; previous: ApiKeyRecord } | 'taken'> {
  let last: { successor: ApiKeyRecord; previous: ApiKeyRecord } | undefined;

  return decideAndWrite<{ successor: ApiKeyRecord; previous: ApiKeyRecord } | 'taken'>(
    seen,
    async (record) => {
      // An answer was lost and the write was ours: DynamoDB knows its token for ten minutes, other engines may not.
      if (last && record.successor_key_id === last.successor.id) return last;
      const { old, successor } = decide(record);
      const changes = { ...old, successor_key_id: successor.id, version: record.version + 1 };
      last = { successor, previous: { ...record, ...changes } };

      const { expression, values } = changing(changes);
      const update = {
        Update: {
          TableName: table.tableName,
          Key: placeOf(record.id),
          UpdateExpression: expression,
          ConditionExpression: `${UNCHANGED} AND attribute_type(#successor_key_id, :null)`,
          ExpressionAttributeNames: names('pk', 'revoked_at', ...Object.keys(changes)),
          ExpressionAttributeValues: { ...values, ':version': record.version, ':null': 'NULL' },
        },
      };
      const made = { api_key_id: successor.id, previous_key_id: record.id };
      const items = [update, putting(successor, table), ...(claim ? [claiming(claim, made, table)] : [])];
      const outcome = await transact(table, items);
      if (!(outcome instanceof ConditionFailed)) return last;
      return outcome.failed[2] ? ((await isOurs(last, table)) ? last : 'taken') : 'conflict';
    },
    table,
  );
}

/**
 * Ends a key for ever. It depends on nothing but that the key is not revoked yet, so no stream of other writes can
 * hold it up. Again changes nothing: the first time and reason stay.
 *
 * @param seen the record as just read with `getKey`
 * @param revocation `now` in epoch milliseconds
 * @returns the record as it is now
 * @throws NotFound; Unavailable
 */
export async function revokeKey(
  seen: ApiKeyRecord,
  revocation: { reason: string | null; now: number; retention_days: number },
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord> {
  if (seen.revoked_at !== null) return seen;
  const { reason, now, retention_days } = revocation;
  const revoked_at = new Date(now).toISOString();
  // An end that is past cannot move any more, and one to come lies after this; so the ttl holds, whoever writes.
  const ttl = ttlOf({ expires_at: seen.expires_at, revoked_at }, retention_days);
  const changes = { revoked_at, revoked_reason: reason, ttl };
  const { expression, values } = changing(changes);
  const outcome = await send(
    table,
    new UpdateCommand({
      TableName: table.tableName,
      Key: placeOf(seen.id),
      UpdateExpression: `${expression} ADD #version :one`,
      ConditionExpression: 'attribute_exists(#pk) AND attribute_type(#revoked_at, :null)',
      ExpressionAttributeNames: names('pk', 'version', ...Object.keys(changes)),
      ExpressionAttributeValues: { ...values, ':one': 1, ':null': 'NULL' },
      ReturnValues: 'ALL_NEW',
    }),
  );
  if (!(outcome instanceof ConditionFailed)) return ApiKeyRecord.parse(outcome.Attributes);
  // Revoked by another, or by this very request whose first answer was lost: either way it is revoked.
  const stored = await getKey(seen.id, table);
  if (!stored) throw new NotFound();
  return stored;
}

/**
 * Gives a key that was never used another secret, for the answer to a repeated Idempotency-Key.
 *
 * @param seen the record as just read with `getKey`
 * @returns the record as written
 * @throws IdempotencyKeyUsed when the key has been used; KeyRevoked; KeyExpired; NotFound; Unavailable
 */
export function replaceSecret(
  seen: ApiKeyRecord,
  secret: { digest: string; hint: string; now: number },
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord> {
  const { digest, hint, now } = secret;
  return decideAndWrite(
    seen,
    async (record) => {
      // The answer to an earlier attempt of ours was lost.
      if (record.digest === digest) return record;
      if (record.revoked_at !== null) throw new KeyRevoked();
      if (record.first_used_at !== null) throw new IdempotencyKeyUsed(record.id);
      if (!isValid(record, now)) throw new KeyExpired();
      // The caller was found to be allowed what `seen` may do. Asked again, it is judged by what the key may do now.
      if (canonicalJson(record.scopes) !== canonicalJson(seen.scopes)) throw new Unavailable(1);
      const condition = `${UNCHANGED} AND #digest = :seen_digest AND attribute_type(#first_used_at, :null)`;
      return writeVersion(record, { digest, hint }, condition, { ':seen_digest': record.digest }, table, [
        'first_used_at',
      ]);
    },
    table,
  );
}

/**
 * Marks the first use of a secret. Awaited before the use is allowed: from then on `replaceSecret` refuses, and if
 * it came first, this does.
 *
 * @param digest of the secret that is used
 * @param now epoch milliseconds
 * @returns `'refused'` when the key is gone, revoked or has another secret by now: it must not be let in
 */
export async function markFirstUse(
  id: string,
  digest: string,
  now: number,
  table: KeyTable = environmentTable(),
): Promise<'marked' | 'already' | 'refused'> {
  const outcome = await send(
    table,
    new UpdateCommand({
      TableName: table.tableName,
      Key: placeOf(id),
      UpdateExpression: 'SET #first_used_at = :now',
      ConditionExpression:
        'attribute_exists(#pk) AND #digest = :digest AND attribute_type(#revoked_at, :null) AND attribute_type(#first_used_at, :null)',
      ExpressionAttributeNames: names('pk', 'digest', 'revoked_at', 'first_used_at'),
      ExpressionAttributeValues: { ':now': new Date(now).toISOString(), ':digest': digest, ':null': 'NULL' },
    }),
  );
  if (!(outcome instanceof ConditionFailed)) return 'marked';
  const record = await getKey(id, table);
  return record && record.digest === digest && record.revoked_at === null ? 'already' : 'refused';
}

/**
 * Keys of an owner, newest first, from an index: good for lists, never for validity. A page is full if at most
 * `budget` keys had to be looked at for it; then it is shorter, and there is a `last` to go on from.
 *
 * @param request `after`: the `last` of the page before; `filter` sees the key as listed
 * @returns `last` is absent when there is no more
 */
export async function listByOwner(
  request: {
    owner_id: string;
    filter?: (key: ListedKey) => boolean;
    limit: number;
    after?: string | undefined;
    budget?: number;
  },
  table: KeyTable = environmentTable(),
): Promise<{ keys: ListedKey[]; last?: string }> {
  const { owner_id, filter, limit, after, budget = LIST_BUDGET } = request;
  const keys: ListedKey[] = [];
  let last = after;
  let left = budget;

  while (left > 0) {
    const page = await query(table, {
      IndexName: BY_OWNER,
      KeyConditionExpression:
        last === undefined ? '#owner_id = :owner' : '#owner_id = :owner AND #id < :last',
      ExpressionAttributeNames: names('owner_id', ...(last === undefined ? [] : ['id'])),
      ExpressionAttributeValues: { ':owner': owner_id, ...(last === undefined ? {} : { ':last': last }) },
      ScanIndexForward: false,
      Limit: Math.min(left, filter ? QUERY_PAGE : limit + 1 - keys.length),
    });
    for (const item of page.Items ?? []) {
      const key = ListedKey.parse(item);
      if (!filter || filter(key)) {
        // One more than asked for was found: so there is a next page, and it begins with this one.
        if (keys.length === limit) return { keys, last: last! };
        keys.push(key);
      }
      last = key.id;
      left -= 1;
    }
    if (page.LastEvaluatedKey === undefined) return { keys };
  }
  return { keys, ...(last === undefined ? {} : { last }) };
}

/**
 * The keys that came from one another by rotation, oldest first, from an index.
 *
 * @param request `after`: the `last` of the page before, a generation
 * @returns `last` is absent when there is no more
 */
export async function lineage(
  request: { root_key_id: string; limit: number; after?: number | undefined },
  table: KeyTable = environmentTable(),
): Promise<{ keys: ListedKey[]; last?: number }> {
  const { root_key_id, limit, after = -1 } = request;
  const keys: ListedKey[] = [];
  let last = after;

  for (;;) {
    const page = await query(table, {
      IndexName: BY_LINEAGE,
      KeyConditionExpression: '#root_key_id = :root AND #generation > :last',
      ExpressionAttributeNames: names('root_key_id', 'generation'),
      ExpressionAttributeValues: { ':root': root_key_id, ':last': last },
      Limit: limit + 1 - keys.length,
    });
    for (const item of page.Items ?? []) {
      if (keys.length === limit) return { keys, last };
      const key = ListedKey.parse(item);
      keys.push(key);
      last = key.generation;
    }
    if (page.LastEvaluatedKey === undefined) return { keys };
  }
}

/** Asks, writes, and when somebody else's write came first reads afresh and asks again, a bounded number of times. */
async function decideAndWrite<T>(
  seen: ApiKeyRecord,
  attempt: (record: ApiKeyRecord) => Promise<T | 'conflict'>,
  table: KeyTable,
): Promise<T> {
  let record = seen;
  for (let decisions = 1; ; decisions++) {
    const outcome = await attempt(record);
    if (outcome !== 'conflict') return outcome;
    if (decisions === MOST_DECISIONS) throw new Unavailable(1);
    if (decisions > 1) await pause(decisions);
    const fresh = await getKey(seen.id, table);
    if (!fresh) throw new NotFound();
    record = fresh;
  }
}

/** Writes changes to the version of the key they were decided from. */
async function writeVersion(
  record: ApiKeyRecord,
  decided: Partial<ApiKeyRecord>,
  condition: string,
  values: Record<string, unknown>,
  table: KeyTable,
  conditionNames: string[] = [],
): Promise<ApiKeyRecord | 'conflict'> {
  const changes = { ...decided, version: record.version + 1 };
  const change = changing(changes);
  const outcome = await send(
    table,
    new UpdateCommand({
      TableName: table.tableName,
      Key: placeOf(record.id),
      UpdateExpression: change.expression,
      ConditionExpression: condition,
      ExpressionAttributeNames: names('pk', 'revoked_at', ...conditionNames, ...Object.keys(changes)),
      ExpressionAttributeValues: {
        ...change.values,
        ...values,
        ':version': record.version,
        ':null': 'NULL',
      },
      ReturnValues: 'ALL_NEW',
    }),
  );
  return outcome instanceof ConditionFailed ? 'conflict' : ApiKeyRecord.parse(outcome.Attributes);
}

const putting = (record: ApiKeyRecord, table: KeyTable) => ({
  Put: {
    TableName: table.tableName,
    Item: present({ ...placeOf(record.id), ...record }),
    ConditionExpression: 'attribute_not_exists(#pk)',
    ExpressionAttributeNames: names('pk'),
  },
});

type TransactItems = NonNullable<ConstructorParameters<typeof TransactWriteCommand>[0]['TransactItems']>;

/** All or nothing. Its own token, so that whoever sends the same command again does not do it twice. */
const transact = (table: KeyTable, TransactItems: TransactItems) =>
  send(table, new TransactWriteCommand({ TransactItems, ClientRequestToken: randomUUID() }));

/** Whether a rotation whose answer was lost was done after all. */
async function isOurs(
  { successor, previous }: { successor: ApiKeyRecord; previous: ApiKeyRecord },
  table: KeyTable,
): Promise<boolean> {
  return (await getKey(previous.id, table))?.successor_key_id === successor.id;
}
