import { randomUUID } from 'node:crypto';
import type { ApiKeyRecord } from './api-key.schema.ts';
import type { DynamoDbCall } from './dynamodb-http.ts';
import { DynamoDbFailure } from './dynamodb-http.ts';
import type { Event } from './event.schema.ts';
import { keyEvent, newEventId, type Origin } from './event.ts';
import { eventItem } from './event-item.ts';
import { decideLastUse, type Use } from './last-use.ts';
import { type Misuse, misuseData } from './misuse.ts';
import { isGrant } from './scope.ts';
import { eventTime, firstUseOf } from './version.ts';

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
export function attributeOf(item: Item, name: string, type: 'S' | 'L' | 'NULL' | 'BOOL'): unknown {
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

/** Absent in records of earlier versions, which know no honey keys. */
const honeyOf = (item: Item): boolean => {
  if (!Object.hasOwn(item, 'honey')) return false;
  const honey = attributeOf(item, 'honey', 'BOOL');
  if (typeof honey !== 'boolean') throw new UnexpectedItem('attribute honey is not a boolean');
  return honey;
};

const scopesOf = (item: Item): string[] => {
  const list = attributeOf(item, 'scopes', 'L');
  if (!Array.isArray(list) || list.length === 0 || list.length > MOST_SCOPES)
    throw new UnexpectedItem('attribute scopes is not a list of 1 to 100');
  return list.map((element) => {
    const scope: unknown = attributeOf({ scope: element }, 'scope', 'S');
    if (typeof scope !== 'string' || !isGrant(scope))
      throw new UnexpectedItem('attribute scopes has no scope in it');
    return scope;
  });
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
    // A record of an earlier version has none.
    last_used_at: Object.hasOwn(item, 'last_used_at') ? instantOrNull(item, 'last_used_at') : null,
    digest: textOf(item, 'digest', DIGEST),
    honey: honeyOf(item),
    told_at: Object.hasOwn(item, 'told_at') ? textOf(item, 'told_at', INSTANT) : undefined,
  };
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

const plainOf = (item: Item): Record<string, unknown> =>
  Object.fromEntries(Object.entries(item).map(([name, attribute]) => [name, plain(attribute)]));

/** What a record of an earlier version does not have. */
const ABSENT = { on_reuse: 'tell', replaces_key_id: null };

const attributesOf = (values: Record<string, string | number | null>) =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value === null ? { NULL: true } : typeof value === 'number' ? { N: String(value) } : { S: value },
    ]),
  );

/** The whole record; `factsOf` has looked at what a decision depends on. */
const recordOf = (item: Item) => ({ ...ABSENT, ...plainOf(item) }) as unknown as ApiKeyRecord;

export type KeyReader = ReturnType<typeof createKeyReader>;

/**
 * Reads keys for decisions, and writes the one thing a decision writes, with its event. Strict: what does not have
 * the form of a key record is an error, not a key.
 *
 * @param eventRetentionDays how long the event is kept
 */
export function createKeyReader({
  table,
  call,
  eventRetentionDays,
}: {
  table: string;
  call: DynamoDbCall;
  eventRetentionDays: number;
}) {
  const keyOf = (id: string) => ({ pk: { S: id }, sk: { S: 'api_key' } });

  /** Keys whose use is being noted: of many requests at the same time one writes. */
  const noting = new Set<string>();

  /** Writes one attribute with its event, if the key is still as it was read, and the attribute as the condition says. */
  const mark = async (
    attribute: 'first_used_at' | 'told_at',
    at: string,
    written: { record: ApiKeyRecord; condition: string; seen?: string; event: Event },
  ): Promise<boolean> => {
    const { record, condition, seen, event } = written;
    try {
      await call('TransactWriteItems', {
        // The call may be sent twice; with a token it is done once.
        ClientRequestToken: randomUUID(),
        TransactItems: [
          {
            Update: {
              TableName: table,
              Key: keyOf(record.id),
              UpdateExpression: `SET #${attribute} = :at`,
              ConditionExpression: `attribute_exists(#pk) AND #version = :version AND #digest = :digest AND attribute_type(#revoked_at, :null) AND ${condition}`,
              ExpressionAttributeNames: Object.fromEntries(
                ['pk', 'version', 'digest', 'revoked_at', attribute].map((name) => [`#${name}`, name]),
              ),
              ExpressionAttributeValues: attributesOf({
                ':at': at,
                ':version': record.version,
                ':digest': record.digest,
                ':null': 'NULL',
                ...(seen !== undefined && { ':seen': seen }),
              }),
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
        ],
      });
      return true;
    } catch (error) {
      // Contended: many of the same at once. One of them is writing it.
      if (error instanceof DynamoDbFailure && (error.conditionFailed || error.contended)) return false;
      throw error;
    }
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
     * unused its secret may be replaced, so the two writes must exclude each other. The event shows the whole key,
     * so all of it is read, and must still be so when it is written.
     *
     * @returns false when the key has changed since it was read, or is in use already: read it again
     * @throws DynamoDbFailure, UnexpectedItem
     */
    async markFirstUse(id: string, digest: string, origin: Origin): Promise<boolean> {
      const item = itemOf(await call('GetItem', { TableName: table, Key: keyOf(id), ConsistentRead: true }));
      if (!item) return false;
      const facts = factsOf(item, id);
      if (facts.digest !== digest || facts.revoked_at !== null || facts.first_used_at !== null) return false;

      const record = recordOf(item);
      const first_used_at = firstUseOf(record, origin.now);
      const used = { ...record, first_used_at };
      const now = eventTime(used, origin.now);
      const told = { id: newEventId(now), before: record };
      return mark('first_used_at', first_used_at, {
        record,
        condition: 'attribute_type(#first_used_at, :null)',
        event: keyEvent('api_key.first_used', used, { ...origin, now }, told),
      });
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
      const item = itemOf(await call('GetItem', { TableName: table, Key: keyOf(id), ConsistentRead: true }));
      if (!item) return false;
      const facts = factsOf(item, id);
      if (facts.digest !== digest || facts.revoked_at !== null || facts.told_at !== told_at) return false;

      const record = recordOf(item);
      const data = misuseData(misuse, record, where);
      const now = eventTime(record, origin.now);
      return mark('told_at', new Date(origin.now).toISOString(), {
        record,
        condition: told_at === undefined ? 'attribute_not_exists(#told_at)' : '#told_at = :seen',
        ...(told_at !== undefined && { seen: told_at }),
        event: keyEvent(misuse, record, { ...origin, now }, { id: newEventId(now), data }),
      });
    },
  };
}
