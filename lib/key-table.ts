import { UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { ApiKeyRecord, ListedKey } from './api-key.schema.ts';
import { isValid, ttlOf } from './api-key.ts';
import { canonicalJson } from './canonical-json.ts';
import { beginningLine, type DeploymentClaim } from './deployment-table.ts';
import { changesBetween, keyEvent, newEventId, type Origin } from './event.ts';
import { putEvent } from './event-table.ts';
import { decideFirstUse, GRACE_STARTED } from './first-use.ts';
import { type Claim, claiming } from './idempotency.ts';
import type { Change } from './key-change.ts';
import { attributesOfKey, factsOfItem } from './key-item.ts';
import { decideLastUse, type Use } from './last-use.ts';
import type { Misuse } from './misuse.ts';
import { IdempotencyKeyUsed, KeyExpired, KeyRevoked, NotFound, Unavailable } from './problem.ts';
import {
  type Cancellation,
  type Drop,
  LINE_LIMIT,
  type Line,
  NEVER_USED,
  type Rotation,
  SUPERSEDED,
} from './rotation.ts';
import { type DueStep, NOTHING_DUE } from './schedule.ts';
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
  transact,
} from './table-client.ts';
import { BY_LINEAGE, BY_OWNER, SORT_KEY } from './table-layout.ts';
import { eventTime, nextVersion } from './version.ts';

/** Absent when they do not apply: a change that says undefined takes them away. Every other attribute stays. */
const REMOVABLE: ReadonlySet<string> = new Set(['ttl', 'due_shard', 'next_action_at']);

/** How often a write is decided anew because somebody else's came first. */
const MOST_DECISIONS = 8;
/** How often a revoke is written from the state it was decided from, before it is written whatever the state. */
const MOST_POLITE_REVOKES = 3;
/** Tries of a revoke that meets other transactions; the time for one call ends them sooner. */
const MOST_TRIES_OF_REVOKE = 20;
/** Keys of an owner that one page may look at to find those that were asked for. */
const LIST_BUDGET = 1_000;
/** Items of one query's page; 1 MB ends it sooner. */
const QUERY_PAGE = 250;

const placeOf = (id: string) => ({ pk: id, sk: SORT_KEY.apiKey });

/** The state that a write was decided from, as a condition; what a write's event shows is then what is stored. */
const unchanged = ({ version, first_used_at, revoked_at }: ApiKeyRecord) => ({
  expression: [
    'attribute_exists(#pk) AND #version = :version',
    revoked_at === null ? 'attribute_type(#revoked_at, :null)' : '#revoked_at = :revoked_at',
    // The first use leaves the version alone.
    ...(first_used_at === null ? ['attribute_type(#first_used_at, :null)'] : []),
  ].join(' AND '),
  names: ['pk', 'version', 'revoked_at', ...(first_used_at === null ? ['first_used_at'] : [])],
  values: { ':version': version, ...(revoked_at !== null && { ':revoked_at': revoked_at }) },
});

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
  return item === undefined ? undefined : ApiKeyRecord.parse(factsOfItem(item));
}

/**
 * Stores a new key, and with a claim takes its Idempotency-Key in the same transaction, or becomes the key of its
 * CloudFormation resource.
 *
 * @returns the record; `'taken'` when another request holds the Idempotency-Key (see `oncePer`), or the resource has
 *   another key
 */
export async function createKey(
  record: ApiKeyRecord,
  origin: Origin,
  claim?: Claim | DeploymentClaim,
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord | 'taken'> {
  const outcome = await transact(table, [
    putting(record, table),
    telling('api_key.created', record, origin, table),
    ...taking(claim, { api_key_id: record.id, previous_key_id: record.parent_key_id }, table),
  ]);
  if (!(outcome instanceof ConditionFailed)) return record;
  // The SDK sends again what was not answered, and then meets what it has written itself.
  const stored = await getKey(record.id, table);
  if (stored?.digest === record.digest) return record;
  if (isTaken(claim, outcome)) return 'taken';
  throw new Error(`the new id ${record.id} is in use`);
}

/**
 * Changes a key as `decide` says, which is asked again with a fresh record when somebody else's write came first.
 * What changes nothing writes nothing, so a change whose answer was lost is not recorded twice.
 *
 * @param seen the record as just read with `getKey`
 * @param decide throws the problem when the record does not allow the change; changes nothing itself
 * @returns the record as written
 * @throws what `decide` throws; NotFound; Unavailable
 */
export function updateKey(
  seen: ApiKeyRecord,
  decide: (record: ApiKeyRecord) => Change,
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord> {
  return decideAndWrite(
    seen,
    async (record) => {
      const changes = Object.fromEntries(
        Object.entries(decide(record)).filter(([name, value]) => value !== undefined || REMOVABLE.has(name)),
      );
      const shown = changesBetween(record, changes).filter(({ field }) => field in ListedKey.shape);
      if (shown.length === 0) return record;
      return writeVersion(record, changes, 'api_key.updated', origin, table);
    },
    table,
  );
}

/** What a rotation has written. */
export interface Rotated {
  successor: ApiKeyRecord;
  previous: ApiKeyRecord;
  /** Other keys of the line that ended with it. */
  ended: ApiKeyRecord[];
}

/** What `decideRotation` says, with a successor minted from it. */
export type DecidedRotation = Omit<Rotation, 'successor'> & { successor: ApiKeyRecord };

/**
 * Rotates a key: its end, the successor, the taken Idempotency-Key and what ends with it are one transaction. Of many
 * at the same time one is done; the others are decided again and find the key rotated.
 *
 * @param seen the record as just read with `getKey`
 * @param decide `decideRotation`, and a successor minted from what it says
 * @param ancestors how many of the keys before it the decision needs
 * @returns the records as written; `'taken'` when another request holds the Idempotency-Key (see `oncePer`)
 * @throws what `decide` throws; NotFound; Unavailable
 */
export function rotateKey(
  seen: ApiKeyRecord,
  decide: (record: ApiKeyRecord, line: Line) => DecidedRotation,
  origin: Origin,
  claim?: Claim,
  table: KeyTable = environmentTable(),
  ancestors = 2,
): Promise<Rotated | 'taken'> {
  let last: Rotated | undefined;

  return decideAndWrite<Rotated | 'taken'>(
    seen,
    async (record) => {
      // An answer was lost and the write was ours: DynamoDB knows its token for ten minutes, other engines may not.
      if (last && record.successor_key_id === last.successor.id) return last;
      const held = record.successor_key_id;
      const before = held === null ? undefined : await getKey(held, table);
      const contested = held !== seen.successor_key_id;
      const line = { successor: before, contested, ancestors: await ancestorsOf(record, ancestors, table) };
      const { old, successor, superseded, ended } = decide(record, line);
      const previous = changed(record, { ...old, successor_key_id: successor.id }, origin);
      const dropped = before && superseded && changed(before, superseded, origin);
      const cut = ended.map((key) => ({
        before: key.record,
        after: changed(key.record, key.changes, origin),
      }));
      last = {
        successor,
        previous,
        ended: [...(dropped ? [dropped] : []), ...cut.map(({ after }) => after)],
      };

      const outcome = await transact(table, [
        updating(record, previous, table, { successor_key_id: held }),
        putting(successor, table),
        telling('api_key.rotated', previous, origin, table, { before: record }),
        telling('api_key.created', successor, origin, table),
        ...(dropped
          ? [
              updating(before, dropped, table, { successor_key_id: null }),
              telling('api_key.revoked', dropped, origin, table, { before, reason: SUPERSEDED }),
            ]
          : []),
        ...cut.flatMap(({ before, after }) => [
          updating(before, after, table),
          telling('api_key.updated', after, origin, table, { before, reason: LINE_LIMIT }),
        ]),
        ...taking(claim, { api_key_id: successor.id, previous_key_id: record.id }, table),
      ]);
      if (!(outcome instanceof ConditionFailed)) return last;
      if (!isTaken(claim, outcome)) return 'conflict';
      return (await isOurs(last, table)) ? last : 'taken';
    },
    table,
  );
}

/** The keys before this one, the nearest first. */
async function ancestorsOf(record: ApiKeyRecord, most: number, table: KeyTable): Promise<ApiKeyRecord[]> {
  const ancestors: ApiKeyRecord[] = [];
  let id = record.parent_key_id;
  while (id !== null && ancestors.length < most) {
    const ancestor = await getKey(id, table);
    // The oldest ones of a line are tidied away.
    if (!ancestor) break;
    ancestors.push(ancestor);
    id = ancestor.parent_key_id;
  }
  return ancestors;
}

/**
 * Takes a rotation back: the old key, the revoked successor and the events of both are one transaction. The first use
 * of the successor and this never both succeed.
 *
 * @param seen the record as just read with `getKey`
 * @param decide `decideCancellation`
 * @returns both records as written
 * @throws what `decide` throws; NotFound; Unavailable
 */
export function cancelRotation(
  seen: ApiKeyRecord,
  decide: (record: ApiKeyRecord, successor: ApiKeyRecord | undefined) => Cancellation,
  reason: string,
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<{ record: ApiKeyRecord; successor: ApiKeyRecord }> {
  let last: { record: ApiKeyRecord; successor: ApiKeyRecord } | undefined;

  return decideAndWrite(
    seen,
    async (record) => {
      // Done by this very request, whose answer was lost, or by its twin at the same moment: either way it is done.
      if (last && record.version === last.record.version && record.successor_key_id === null)
        return { record, successor: (await getKey(last.successor.id, table)) ?? last.successor };
      const id = record.successor_key_id;
      const successor = id === null ? undefined : await getKey(id, table);
      const decided = decide(record, successor);
      if (!successor) throw new NotFound();
      const after = changed(record, decided.old, origin);
      const dropped = decided.successor ? changed(successor, decided.successor, origin) : successor;
      last = { record: after, successor: dropped };
      const outcome = await transact(table, [
        updating(record, after, table, { successor_key_id: successor.id }),
        telling('api_key.updated', after, origin, table, { before: record, reason }),
        ...(decided.successor
          ? [
              updating(successor, dropped, table, { successor_key_id: null }),
              telling('api_key.revoked', dropped, origin, table, { before: successor, reason }),
            ]
          : []),
      ]);
      return outcome instanceof ConditionFailed ? 'conflict' : last;
    },
    table,
  );
}

/**
 * Ends a key for ever. First as every write, from the state it was decided from; when others keep coming first,
 * then depending on nothing but that the key is not revoked yet, so no stream of other writes can hold it up. Its
 * event then shows the other fields as they were a moment before. Again changes nothing: the first time and reason
 * stay.
 *
 * @param seen the record as just read with `getKey`
 * @returns the record as it is now
 * @throws NotFound; Unavailable
 */
export async function revokeKey(
  seen: ApiKeyRecord,
  revocation: { reason: string | null; retention_days: number },
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord> {
  const { reason, retention_days } = revocation;
  const revoked_at = new Date(origin.now).toISOString();
  let record = seen;
  for (let tries = 1; record.revoked_at === null; tries++) {
    if (tries > MOST_POLITE_REVOKES + 1) throw new Unavailable(1);
    const regardless = tries > MOST_POLITE_REVOKES;
    // An end that is past cannot move any more, and one to come lies after this; so the ttl holds, whoever writes.
    const ttl = ttlOf({ expires_at: record.expires_at, revoked_at }, retention_days);
    const revoked = changed(record, { revoked_at, revoked_reason: reason, ttl, ...NOTHING_DUE }, origin);
    const update = regardless ? revokingRegardless(revoked, table) : updating(record, revoked, table);
    const event = telling('api_key.revoked', revoked, origin, table, { before: record, reason });
    const outcome = await transact(table, [update, event], MOST_TRIES_OF_REVOKE);
    if (!(outcome instanceof ConditionFailed) && !regardless) return revoked;
    const stored = await getKey(seen.id, table);
    if (!stored) throw new NotFound();
    // Revoked by another, or by this very request whose first answer was lost: either way it is revoked.
    record = stored;
  }
  return record;
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
  secret: { digest: string; hint: string },
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<ApiKeyRecord> {
  const { digest, hint } = secret;
  return decideAndWrite(
    seen,
    async (record) => {
      // The answer to an earlier attempt of ours was lost.
      if (record.digest === digest) return record;
      if (record.revoked_at !== null) throw new KeyRevoked();
      if (record.first_used_at !== null) throw new IdempotencyKeyUsed(record.id);
      if (!isValid(record, origin.now)) throw new KeyExpired();
      // The caller was found to be allowed what `seen` may do. Asked again, it is judged by what the key may do now.
      if (canonicalJson(record.scopes) !== canonicalJson(seen.scopes)) throw new Unavailable(1);
      return writeVersion(record, { digest, hint }, 'api_key.updated', origin, table, {
        reason: 'secret_replaced',
        condition: { digest: record.digest },
      });
    },
    table,
  );
}

/**
 * Notes the last use of a key, once an hour at most. Nobody needs to wait for it: whatever becomes of it is of no
 * consequence but for what `last_used_at` says.
 *
 * @param seen the record as just read with `getKey`
 */
export async function noteLastUse(
  seen: ApiKeyRecord,
  use: Use,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const update = decideLastUse(seen, use);
  if (!update) return;
  const { values, ...expressions } = update;
  const Key = placeOf(seen.id);
  const command = new UpdateCommand({
    TableName: table.tableName,
    Key,
    ...expressions,
    ExpressionAttributeValues: values,
  });
  await send(table, command).catch(() => undefined);
}

/**
 * Marks the first use of a secret, and begins the grace of a parent that has been waiting for it, in the same
 * transaction. Awaited before the use is allowed: from then on `replaceSecret` refuses, and if it came first, this does.
 *
 * @param seen the record as just read with `getKey`
 * @param digest of the secret that is used
 * @returns `'refused'` when the key is gone, has ended or has another secret by now: it must not be let in
 * @throws Unavailable
 */
export async function markFirstUse(
  seen: ApiKeyRecord,
  digest: string,
  origin: Origin,
  settings: { retention_days: number },
  table: KeyTable = environmentTable(),
): Promise<'marked' | 'already' | 'refused'> {
  try {
    return await decideAndWrite<'marked' | 'already' | 'refused'>(
      seen,
      async (record) => {
        if (record.digest !== digest || !isValid(record, origin.now)) return 'refused';
        if (record.first_used_at !== null) return 'already';
        const waiting = record.pending_until === null ? null : record.parent_key_id;
        const parent = waiting === null ? undefined : await getKey(waiting, table);
        const decided = decideFirstUse(record, parent, origin.now, settings);
        // The version stays: traffic disturbs no decision about the key but the one that it is unused.
        const used = present({ ...record, ...decided.used });
        const ending = parent && decided.parent && changed(parent, decided.parent, origin);
        const outcome = await transact(table, [
          updating(record, used, table, { digest }),
          telling('api_key.first_used', used, origin, table, { before: record }),
          ...(ending
            ? [
                updating(parent, ending, table, { successor_key_id: record.id }),
                telling('api_key.updated', ending, origin, table, { before: parent, reason: GRACE_STARTED }),
              ]
            : []),
        ]);
        return outcome instanceof ConditionFailed ? 'conflict' : 'marked';
      },
      table,
    );
  } catch (error) {
    if (error instanceof NotFound) return 'refused';
    throw error;
  }
}

/**
 * Tells of something that happened with a key and changed nothing of it, and notes when, so that it is told only so
 * often. Of many at the same time one tells.
 *
 * @param seen the record as just read with `getKey`
 * @param told `noted`: the attribute that says when
 * @returns false when the key has changed since, or somebody else told
 */
export async function tell(
  seen: ApiKeyRecord,
  told: {
    type: Misuse | 'api_key.leaked';
    noted: 'told_at' | 'leaked_at';
    data: Record<string, unknown>;
  },
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<boolean> {
  const { type, noted, data } = told;
  const after = { ...seen, [noted]: new Date(origin.now).toISOString() };
  const outcome = await transact(table, [
    updating(seen, after, table, { digest: seen.digest, [noted]: seen[noted] ?? ABSENT }),
    // After what happened to the key before, also within its millisecond.
    telling(type, seen, { ...origin, now: nextVersion(seen, origin.now) }, table, { data }),
  ]);
  return !(outcome instanceof ConditionFailed);
}

/**
 * Does what is due of a key, one thing after the other, each in a transaction with its event. Whoever else is at it,
 * and wherever it breaks off, each is done once: it is written to the version of the key that it was decided from,
 * and moves `swept_until` past itself.
 *
 * @param seen the record as just read with `getKey`
 * @param decide `decideDue` for this moment
 * @param drop `decideDrop` for this moment
 * @returns how many events were recorded, and whether it was counted as older than allowed
 * @throws what `decide` throws; Unavailable
 */
export async function doWhatIsDue(
  seen: ApiKeyRecord,
  decide: (record: ApiKeyRecord) => DueStep | undefined,
  drop: (successor: ApiKeyRecord, parent: ApiKeyRecord | undefined) => Drop,
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<{ events: number; overdue: boolean }> {
  let record = seen;
  let events = 0;
  let overdue = false;
  for (;;) {
    const done = await decideAndWrite<Done | 'nothing'>(
      record,
      async (record) => {
        const step = decide(record);
        if (!step) return 'nothing';
        if ('drop' in step) return dropPending(record, drop, origin, table);
        const { changes, event, overdue = false } = step;
        const after = changed(record, changes, origin);
        const told = event && telling(event.type, after, origin, table, event);
        const outcome = await transact(table, [updating(record, after, table), ...(told ? [told] : [])]);
        if (outcome instanceof ConditionFailed) return 'conflict';
        return { record: after, events: told ? 1 : 0, overdue };
      },
      table,
    );
    if (done === 'nothing') return { events, overdue };
    record = done.record;
    events += done.events;
    overdue ||= done.overdue;
  }
}

/** One thing that was due is done. */
interface Done {
  record: ApiKeyRecord;
  events: number;
  overdue: boolean;
}

/** Ends a successor that was not used in time, and frees its line. */
async function dropPending(
  record: ApiKeyRecord,
  drop: (successor: ApiKeyRecord, parent: ApiKeyRecord | undefined) => Drop,
  origin: Origin,
  table: KeyTable,
): Promise<Done | 'conflict'> {
  const parent = record.parent_key_id === null ? undefined : await getKey(record.parent_key_id, table);
  const decided = drop(record, parent);
  const dropped = changed(record, decided.successor, origin);
  const freed = parent && decided.parent && changed(parent, decided.parent, origin);
  const reason = NEVER_USED;
  const outcome = await transact(table, [
    updating(record, dropped, table, { successor_key_id: null }),
    telling('api_key.revoked', dropped, origin, table, { before: record, reason }),
    ...(freed
      ? [
          updating(parent, freed, table, { successor_key_id: record.id }),
          telling('api_key.updated', freed, origin, table, { before: parent, reason }),
        ]
      : []),
  ]);
  if (outcome instanceof ConditionFailed) return 'conflict';
  return { record: dropped, events: freed ? 2 : 1, overdue: false };
}
/** What a query asks an index of keys for, and all that its role lets it see: an index holds whole records. */
const LISTED = Object.keys(ListedKey.shape);
const asListed = {
  Select: 'SPECIFIC_ATTRIBUTES',
  ProjectionExpression: LISTED.map((field) => `#${field}`).join(', '),
  ExpressionAttributeNames: names(...LISTED),
} as const;

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
      ...asListed,
      KeyConditionExpression:
        last === undefined ? '#owner_id = :owner' : '#owner_id = :owner AND #id < :last',
      ExpressionAttributeValues: { ':owner': owner_id, ...(last === undefined ? {} : { ':last': last }) },
      ScanIndexForward: false,
      Limit: Math.min(left, filter ? QUERY_PAGE : limit + 1 - keys.length),
    });
    for (const item of page.Items ?? []) {
      const key = ListedKey.parse(factsOfItem(item));
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
      ...asListed,
      KeyConditionExpression: '#root_key_id = :root AND #generation > :last',
      ExpressionAttributeValues: { ':root': root_key_id, ':last': last },
      Limit: limit + 1 - keys.length,
    });
    for (const item of page.Items ?? []) {
      if (keys.length === limit) return { keys, last };
      const key = ListedKey.parse(factsOfItem(item));
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

/** The record with these changes, and one version on. What is undefined is taken away. */
const changed = (record: ApiKeyRecord, changes: Partial<ApiKeyRecord>, { now }: Origin): ApiKeyRecord =>
  present({ ...record, ...changes, version: nextVersion(record, now) });

/** What of a record a write has to set, or to take away. */
const differing = (before: ApiKeyRecord, after: ApiKeyRecord): Partial<ApiKeyRecord> =>
  Object.fromEntries(
    (Object.keys({ ...before, ...after }) as (keyof ApiKeyRecord)[])
      .filter((name) => canonicalJson(before[name]) !== canonicalJson(after[name]))
      .map((name) => [name, after[name]]),
  );

/** Writes changes and their event, to the version of the key they were decided from. */
async function writeVersion(
  record: ApiKeyRecord,
  changes: Partial<ApiKeyRecord>,
  type: KeyEventType,
  origin: Origin,
  table: KeyTable,
  more: { reason?: string; condition?: Condition } = {},
): Promise<ApiKeyRecord | 'conflict'> {
  const after = changed(record, changes, origin);
  const outcome = await transact(table, [
    updating(record, after, table, more.condition),
    telling(type, after, origin, table, { before: record, ...(more.reason && { reason: more.reason }) }),
  ]);
  return outcome instanceof ConditionFailed ? 'conflict' : after;
}

const putting = (record: ApiKeyRecord, table: KeyTable) => ({
  Put: {
    TableName: table.tableName,
    Item: present({ ...placeOf(record.id), ...attributesOfKey(record) }),
    ConditionExpression: 'attribute_not_exists(#pk)',
    ExpressionAttributeNames: names('pk'),
  },
});

/** For an attribute that must not be there. */
const ABSENT = Symbol('absent');

/** Values that attributes must have besides: a text, or null for what has not happened. */
type Condition = Partial<
  Record<'digest' | 'successor_key_id' | 'told_at' | 'leaked_at', string | null | typeof ABSENT>
>;

/** The update that makes one record of the other, if it is still as it was. */
function updating(before: ApiKeyRecord, after: ApiKeyRecord, table: KeyTable, more: Condition = {}) {
  const changes = differing(before, after);
  const { expression, values } = changing(attributesOfKey(changes));
  const state = unchanged(before);
  const demanded = Object.entries(more);
  const condition = [
    state.expression,
    ...demanded.map(([name, value]) =>
      value === ABSENT
        ? `attribute_not_exists(#${name})`
        : value === null
          ? `attribute_type(#${name}, :null)`
          : `#${name} = :seen_${name}`,
    ),
  ].join(' AND ');
  return {
    Update: {
      TableName: table.tableName,
      Key: placeOf(before.id),
      UpdateExpression: expression,
      ConditionExpression: condition,
      ExpressionAttributeNames: names(...state.names, ...Object.keys(more), ...Object.keys(changes)),
      ExpressionAttributeValues: {
        ...values,
        ...state.values,
        // DynamoDB refuses a value that nothing names.
        ...(condition.includes(':null') && { ':null': 'NULL' }),
        ...Object.fromEntries(
          demanded.flatMap(([name, value]) => (typeof value === 'string' ? [[`:seen_${name}`, value]] : [])),
        ),
      },
    },
  };
}

/** The update that revokes a key in whatever state it is. */
function revokingRegardless({ id, revoked_at, revoked_reason, ttl }: ApiKeyRecord, table: KeyTable) {
  const { expression, values } = changing({ revoked_at, revoked_reason, ttl, ...NOTHING_DUE });
  return {
    Update: {
      TableName: table.tableName,
      Key: placeOf(id),
      UpdateExpression: `${expression} ADD #version :one`,
      ConditionExpression: 'attribute_exists(#pk) AND attribute_type(#revoked_at, :null)',
      ExpressionAttributeNames: names(
        ...['pk', 'version', 'revoked_at', 'revoked_reason', 'ttl'],
        ...Object.keys(NOTHING_DUE),
      ),
      ExpressionAttributeValues: { ...values, ':one': 1, ':null': 'NULL' },
    },
  };
}

type KeyEventType = Parameters<typeof keyEvent>[0];

/** The event that goes with a write, in its transaction. */
const telling = (
  type: KeyEventType,
  record: ApiKeyRecord,
  origin: Origin,
  table: KeyTable,
  told: { before?: ApiKeyRecord; reason?: string | null; data?: Record<string, unknown> } = {},
) => {
  const now = eventTime(record, origin.now);
  return putEvent(keyEvent(type, record, { ...origin, now }, { id: newEventId(now), ...told }), table);
};

/** The last part of a transaction: it takes what the request claims, if anything. */
const taking = (
  claim: Claim | DeploymentClaim | undefined,
  made: Parameters<typeof claiming>[1],
  table: KeyTable,
) => {
  if (!claim) return [];
  return 'deployment' in claim
    ? [beginningLine(claim, made.api_key_id, table)]
    : [claiming(claim, made, table)];
};

const isTaken = (claim: Claim | DeploymentClaim | undefined, { failed }: ConditionFailed): boolean =>
  claim !== undefined && failed.at(-1) === true;

/** Whether a rotation whose answer was lost was done after all. */
async function isOurs(
  { successor, previous }: { successor: ApiKeyRecord; previous: ApiKeyRecord },
  table: KeyTable,
): Promise<boolean> {
  return (await getKey(previous.id, table))?.successor_key_id === successor.id;
}
