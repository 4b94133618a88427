import { randomUUID } from 'node:crypto';
import type { ApiKeyRecord } from './api-key.schema.ts';
import { isValid } from './api-key.ts';
import type { DynamoDbCall } from './dynamodb-http.ts';
import { DynamoDbFailure } from './dynamodb-http.ts';
import { keyEvent, newEventId, type Origin } from './event.ts';
import { eventItem } from './event-item.ts';
import { decideFirstUse, GRACE_STARTED } from './first-use.ts';
import { scopesOfItem } from './key-item.ts';
import { decideLastUse, type Use } from './last-use.ts';
import { type Misuse, misuseData } from './misuse.ts';
import { isGrant } from './scope.ts';
import { eventTime, nextVersion } from './version.ts';

/** What of a key a decision needs. Names and metadata stay in the table. */
const FACTS = [
  'id',
  'owner_id',
  'owner_access',
  'environment',
  'scopes',
  'expires_at',
  'rotated_at',
  'revoked_at',
  'first_used_at',
  'pending_until',
  'last_used_at',
  'digest',
  'honey',
  'told_at',
] as const;

export type KeyFacts = Pick<ApiKeyRecord, (typeof FACTS)[number]>;

const PROJECTION = {
  ProjectionExpression: FACTS.map((name) => `#${name}`).join(', '),
  ExpressionAttributeNames: Object.fromEntries(FACTS.map((name) => [`#${name}`, name])),
};

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;
const DIGEST = /^[0-9a-f]{64}$/;
/** As in key-fields.schema.ts. The owner's id goes into the context, which nothing escapes. */
const OWNER_ID = /^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}$/;
const MOST_SCOPES = 100;
/** Last uses that are being written at the same time. */
const MOST_NOTED = 32;

/** The item is not what this product writes. It opens nothing: a key nobody can read is no key. */
export class UnexpectedItem extends Error {
  override readonly name = 'UnexpectedItem';
}

type Item = Record<string, unknown>;

const isObject = (value: unknown): value is Item =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The `Item` of GetItem's answer; undefined when there is none. */
export function itemOf(answer: unknown): Item | undefined {
  if (!isObject(answer)) throw new UnexpectedItem('the answer of the table is not an object');
  if (!Object.hasOwn(answer, 'Item')) return undefined;
  if (!isObject(answer['Item'])) throw new UnexpectedItem('the item is not an object');
  return answer['Item'];
}

/** One attribute in DynamoDB's JSON: exactly one type, and of that type. */
function attributeOf(item: Item, name: string, type: 'S' | 'NULL' | 'BOOL'): unknown {
  const attribute = Object.hasOwn(item, name) ? item[name] : undefined;
  if (!isObject(attribute) || Object.keys(attribute).length !== 1 || !Object.hasOwn(attribute, type))
    throw new UnexpectedItem(`attribute ${name} is missing or not of type ${type}`);
  return attribute[type];
}

/** A text attribute of a known form. */
export function textOf(item: Item, name: string, form: RegExp): string {
  const text = attributeOf(item, name, 'S');
  if (typeof text !== 'string' || !form.test(text))
    throw new UnexpectedItem(`attribute ${name} has an unexpected form`);
  return text;
}

const instantOrNull = (item: Item, name: string): string | null => {
  const attribute = item[name];
  if (isObject(attribute) && Object.hasOwn(attribute, 'NULL') && attributeOf(item, name, 'NULL') === true)
    return null;
  return textOf(item, name, INSTANT);
};

/** Of an attribute that records of earlier versions do not have. */
const laterInstantOrNull = (item: Item, name: string): string | null =>
  Object.hasOwn(item, name) ? instantOrNull(item, name) : null;

/** Absent in records of earlier versions, which know no honey keys. */
const honeyOf = (item: Item): boolean => {
  if (!Object.hasOwn(item, 'honey')) return false;
  const honey = attributeOf(item, 'honey', 'BOOL');
  if (typeof honey !== 'boolean') throw new UnexpectedItem('attribute honey is not a boolean');
  return honey;
};

/** An attribute value of DynamoDB's JSON as a plain one; only the types that a key has. */
const plain = (attribute: unknown): unknown => {
  const [[type, value] = [], ...more] = isObject(attribute) ? Object.entries(attribute) : [];
  if (more.length === 0) {
    if (type === 'NULL') return null;
    if (type === 'S' || type === 'BOOL') return value;
    if (type === 'N') return Number(value);
    if (type === 'L' && Array.isArray(value)) return value.map(plain);
    if (type === 'M' && isObject(value)) return plainOf(value);
  }
  throw new UnexpectedItem('the item has an attribute of no known type');
};

const scopesOf = (item: Item): string[] => {
  const scopes = scopesOfItem(plain(item['scopes']));
  if (!Array.isArray(scopes) || scopes.length === 0 || scopes.length > MOST_SCOPES)
    throw new UnexpectedItem('attribute scopes has not 1 to 100 scopes');
  for (const scope of scopes)
    if (typeof scope !== 'string' || !isGrant(scope))
      throw new UnexpectedItem('attribute scopes has no scope in it');
  return scopes;
};

const factsOf = (item: Item, id: string): KeyFacts => {
  if (textOf(item, 'id', /^key_[0-9A-Za-z]{22}$/) !== id) throw new UnexpectedItem('the item has another id');
  return {
    id,
    owner_id: textOf(item, 'owner_id', OWNER_ID),
    owner_access: textOf(item, 'owner_access', /^(?:own|any)$/) as KeyFacts['owner_access'],
    environment: textOf(item, 'environment', /^(?:live|test)$/) as KeyFacts['environment'],
    scopes: scopesOf(item),
    expires_at: instantOrNull(item, 'expires_at'),
    rotated_at: instantOrNull(item, 'rotated_at'),
    revoked_at: instantOrNull(item, 'revoked_at'),
    first_used_at: instantOrNull(item, 'first_used_at'),
    pending_until: laterInstantOrNull(item, 'pending_until'),
    last_used_at: laterInstantOrNull(item, 'last_used_at'),
    digest: textOf(item, 'digest', DIGEST),
    honey: honeyOf(item),
    told_at: Object.hasOwn(item, 'told_at') ? textOf(item, 'told_at', INSTANT) : undefined,
  };
};

const plainOf = (item: Item): Record<string, unknown> =>
  Object.fromEntries(Object.entries(item).map(([name, attribute]) => [name, plain(attribute)]));

/** What a record of an earlier version does not have. */
const ABSENT = {
  ...{ grace_starts: null, pending_until: null, rotation: null, rotation_due_at: null },
  on_reuse: 'tell',
  replaces_key_id: null,
};

type Value = string | number | null | undefined;

/** What is undefined is left out. */
const attributesOf = (values: Record<string, Value>) =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [
        name,
        value === null ? { NULL: true } : typeof value === 'number' ? { N: String(value) } : { S: value },
      ]),
  );

/** The whole record; `factsOf` has looked at what a decision depends on. */
const recordOf = (item: Item) => ({ ...ABSENT, ...plainOf(item) }) as unknown as ApiKeyRecord;

/** What an attribute must be; undefined: not there. */
type Demand = Partial<Record<'digest' | 'successor_key_id' | 'told_at', string | undefined>>;

/** The update of a key that is still as it was read, since its event shows all of it. */
const updateOf = (record: ApiKeyRecord, changes: Record<string, Value>, demand: Demand) => {
  const written = Object.entries(changes);
  const demanded = Object.entries(demand);
  const set = written.filter(([, value]) => value !== undefined).map(([name]) => `#${name} = :new_${name}`);
  const removed = written.filter(([, value]) => value === undefined).map(([name]) => `#${name}`);
  const named = (prefix: string, entries: [string, Value][]) =>
    Object.fromEntries(entries.map(([name, value]) => [`${prefix}${name}`, value]));
  const isUnused = record.first_used_at === null;
  const names = ['pk', 'version', 'revoked_at', ...(isUnused ? ['first_used_at'] : [])];
  return {
    UpdateExpression: `SET ${set.join(', ')}${removed.length > 0 ? ` REMOVE ${removed.join(', ')}` : ''}`,
    ConditionExpression: [
      'attribute_exists(#pk) AND #version = :version AND attribute_type(#revoked_at, :null)',
      ...(isUnused ? ['attribute_type(#first_used_at, :null)'] : []),
      ...demanded.map(([name, value]) =>
        value === undefined ? `attribute_not_exists(#${name})` : `#${name} = :seen_${name}`,
      ),
    ].join(' AND '),
    ExpressionAttributeNames: Object.fromEntries(
      [...names, ...Object.keys(changes), ...Object.keys(demand)].map((name) => [`#${name}`, name]),
    ),
    ExpressionAttributeValues: attributesOf({
      ...named(':new_', written),
      ...named(':seen_', demanded),
      ':version': record.version,
      ':null': 'NULL',
    }),
  };
};

export type KeyReader = ReturnType<typeof createKeyReader>;

/**
 * Reads keys for decisions, and writes the few things a decision writes, with their events. Strict: what does not have
 * the form of a key record is an error, not a key.
 *
 * @param eventRetentionDays how long an event is kept
 * @param retentionDays how long a key is kept after its end
 */
export function createKeyReader({
  table,
  call,
  eventRetentionDays,
  retentionDays,
}: {
  table: string;
  call: DynamoDbCall;
  eventRetentionDays: number;
  retentionDays: number;
}) {
  const keyOf = (id: string) => ({ pk: { S: id }, sk: { S: 'api_key' } });

  /** Keys whose use is being noted: of many requests at the same time one writes. */
  const noting = new Set<string>();

  /** The parts of a transaction that change a key and record it. */
  const changing = (
    record: ApiKeyRecord,
    changes: Partial<ApiKeyRecord>,
    demand: Demand,
    {
      type,
      origin,
      ...told
    }: Pick<Parameters<typeof keyEvent>[3], 'reason' | 'data'> & {
      type: Parameters<typeof keyEvent>[0];
      origin: Origin;
    },
  ) => {
    const after = { ...record, ...changes };
    const now = eventTime(after, origin.now);
    const event = keyEvent(type, after, { ...origin, now }, { id: newEventId(now), before: record, ...told });
    return [
      {
        Update: {
          TableName: table,
          Key: keyOf(record.id),
          ...updateOf(record, changes as Record<string, Value>, demand),
        },
      },
      {
        Put: {
          TableName: table,
          Item: attributesOf({ ...eventItem(event, eventRetentionDays) }),
          ConditionExpression: 'attribute_not_exists(#pk)',
          ExpressionAttributeNames: { '#pk': 'pk' },
        },
      },
    ];
  };

  /** @returns whether it was written: a key may have changed since it was read */
  const write = async (parts: object[]): Promise<boolean> => {
    try {
      // The call may be sent twice; with a token it is done once.
      await call('TransactWriteItems', { ClientRequestToken: randomUUID(), TransactItems: parts });
      return true;
    } catch (error) {
      // Contended: many of the same at once. One of them is writing it.
      if (error instanceof DynamoDbFailure && (error.conditionFailed || error.contended)) return false;
      throw error;
    }
  };

  /** The whole of a key, which an event shows. */
  const readWhole = async (id: string): Promise<ApiKeyRecord | undefined> => {
    const item = itemOf(await call('GetItem', { TableName: table, Key: keyOf(id), ConsistentRead: true }));
    return item && { ...recordOf(item), ...factsOf(item, id) };
  };

  return {
    /**
     * One consistent read: a key revoked before this began is read as revoked.
     *
     * @throws DynamoDbFailure, UnexpectedItem
     */
    async getKey(id: string): Promise<KeyFacts | undefined> {
      const item = itemOf(
        await call('GetItem', { TableName: table, Key: keyOf(id), ConsistentRead: true, ...PROJECTION }),
      );
      return item && factsOf(item, id);
    },

    /**
     * Notes the first use of a key, once in its life, and only of the secret that was presented: while a key is
     * unused its secret may be replaced, so the two writes must exclude each other. The grace of a parent that has
     * been waiting for it begins in the same transaction. The events show the whole keys, so all of them is read, and
     * must still be so when it is written.
     *
     * @returns false when a key has changed since it was read, or is in use already: read it again
     * @throws DynamoDbFailure, UnexpectedItem
     */
    async markFirstUse(id: string, digest: string, origin: Origin): Promise<boolean> {
      const record = await readWhole(id);
      if (!record || record.digest !== digest || record.first_used_at !== null) return false;
      if (!isValid(record, origin.now)) return false;
      const waiting = record.pending_until === null ? null : record.parent_key_id;
      const parent = waiting === null ? undefined : await readWhole(waiting);

      const decided = decideFirstUse(record, parent, origin.now, { retention_days: retentionDays });
      const parts = changing(record, decided.used, { digest }, { type: 'api_key.first_used', origin });
      if (parent && decided.parent) {
        const ending = { ...decided.parent, version: nextVersion(parent, origin.now) };
        const told = { type: 'api_key.updated', origin, reason: GRACE_STARTED } as const;
        parts.push(...changing(parent, ending, { successor_key_id: id }, told));
      }
      return write(parts);
    },

    /**
     * Notes the last use, once an hour at most, and lets nobody wait for it: the write is begun here, and whatever
     * becomes of it changes no answer. docs/authorizer.md says what that means on Lambda.
     *
     * @returns when it is over, for tests
     */
    async noteLastUse(seen: Pick<KeyFacts, 'id' | 'digest' | 'last_used_at'>, use: Use): Promise<void> {
      const { id } = seen;
      if (noting.has(id) || noting.size >= MOST_NOTED) return;
      noting.add(id);
      try {
        const update = decideLastUse(seen, use);
        if (!update) return;
        const { values, ...expressions } = update;
        await call('UpdateItem', {
          TableName: table,
          Key: keyOf(id),
          ...expressions,
          ExpressionAttributeValues: attributesOf(values),
        });
      } catch {
        // Noted by somebody else, revoked meanwhile, throttled, or cut off by a freeze: the next request may note it.
      } finally {
        noting.delete(id);
      }
    },

    /**
     * Tells of a use that must not be, and notes when, so that it is told only so often. Of many at the same time one
     * tells. Everything else of the key stays as it is.
     *
     * @param seen as the decision read it
     * @returns false when the key has changed since, or somebody else told
     * @throws DynamoDbFailure, UnexpectedItem
     */
    async tellMisuse(
      seen: Pick<KeyFacts, 'id' | 'digest' | 'told_at'>,
      { misuse, where }: { misuse: Misuse; where: Parameters<typeof misuseData>[2] },
      origin: Origin,
    ): Promise<boolean> {
      const { id, digest, told_at } = seen;
      const record = await readWhole(id);
      if (!record || record.digest !== digest || record.revoked_at !== null || record.told_at !== told_at)
        return false;
      const told = { type: misuse, origin, data: misuseData(misuse, record, where) };
      const noted = { told_at: new Date(origin.now).toISOString() };
      return write(changing(record, noted, { digest, told_at }, told));
    },
  };
}
