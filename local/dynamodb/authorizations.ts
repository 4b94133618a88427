import { AwsError } from '../aws-error.ts';
import type { Question } from '../aws-front.ts';
import { type AttributeNames, attributesIn, partitionValuesIn } from './expression.ts';

/** The partition key (its first attribute) of a table and of each of its indexes. */
export interface PartitionKeys {
  table: string;
  indexes: Record<string, string>;
}

type Json = Record<string, unknown>;
type Context = Question['context'];

export interface TableLookup {
  account: string;
  region: string;
  /** Undefined: there is no such table. */
  partitionKeys(tableName: string): Promise<PartitionKeys | undefined>;
}

/**
 * What IAM is asked for one request: the actions, resources and condition keys of AWS's service authorization
 * reference and of its page on fine-grained access control (docs/iam-on-the-laptop.md has the sources).
 *
 * Undefined: an operation that isn't known here, so nobody is allowed to do it.
 */
export async function authorizationsOf(
  operation: string,
  request: Json,
  lookup: TableLookup,
): Promise<Question[] | undefined> {
  const consumed = { 'dynamodb:ReturnConsumedCapacity': text(request['ReturnConsumedCapacity']) ?? 'NONE' };

  /** One operation on one item, on its own or within a transaction. */
  const item = async (action: keyof typeof itemContext, of: Json, more: Context = {}) => {
    const table = tableOf(of['TableName'], lookup);
    const keys = await lookup.partitionKeys(table.name);
    return {
      action: `dynamodb:${action}`,
      resource: table.arn,
      context: {
        // Only the part that this action reads: a `Key` beside the `Item` of a PutItem says nothing.
        ...leadingKeys([object(of[action === 'PutItem' ? 'Item' : 'Key'])], keys?.table),
        'dynamodb:Attributes': namedBy(of),
        ...consumed,
        ...itemContext[action](of),
        ...more,
      },
    };
  };

  switch (operation) {
    case 'GetItem':
    case 'PutItem':
    case 'UpdateItem':
    case 'DeleteItem':
      return [await item(operation, request)];

    case 'TransactGetItems':
    case 'TransactWriteItems': {
      const enclosing = { 'dynamodb:EnclosingOperation': operation };
      return await Promise.all(
        list(request['TransactItems'], 100).map((entry) => {
          const [name, ...others] = Object.keys(entry);
          const actions: Record<string, keyof typeof itemContext> = transactionActions[operation];
          const action = Object.hasOwn(actions, name ?? '') ? actions[name!] : undefined;
          if (action === undefined || others.length > 0) {
            throw new AwsError('ValidationException', 'TransactItems has an entry that is no action.');
          }
          return item(action, object(entry[name!]), enclosing);
        }),
      );
    }

    case 'Query':
    case 'Scan':
      return [await read(operation, request, consumed, lookup)];

    case 'BatchGetItem':
    case 'BatchWriteItem': {
      const tables = Object.entries(object(request['RequestItems']));
      if (tables.length > 100) throw new AwsError('ValidationException', 'Too many tables.');
      const perTable = tables.map(([name, asked]) => batch(operation, name, asked, consumed, lookup));
      return (await Promise.all(perTable)).flat();
    }

    case 'DescribeTable':
    case 'DescribeTimeToLive':
      return [
        { action: `dynamodb:${operation}`, resource: tableOf(request['TableName'], lookup).arn, context: {} },
      ];

    case 'ListTables':
      return [{ action: 'dynamodb:ListTables', resource: '*', context: {} }];

    default:
      return undefined;
  }
}

const transactionActions = {
  TransactGetItems: { Get: 'GetItem' },
  TransactWriteItems: {
    Put: 'PutItem',
    Update: 'UpdateItem',
    Delete: 'DeleteItem',
    ConditionCheck: 'ConditionCheckItem',
  },
} as const satisfies Record<string, Record<string, keyof typeof itemContext>>;

const select = (of: Json): Context => ({
  'dynamodb:Select':
    of['ProjectionExpression'] === undefined && of['AttributesToGet'] === undefined
      ? 'ALL_ATTRIBUTES'
      : 'SPECIFIC_ATTRIBUTES',
});

/** A failed condition can return the whole item too, so asking for that counts as asking for all of it. */
const returnValues = (of: Json): Context => ({
  'dynamodb:ReturnValues':
    of['ReturnValuesOnConditionCheckFailure'] === 'ALL_OLD'
      ? 'ALL_OLD'
      : (text(of['ReturnValues']) ?? 'NONE'),
});

const itemContext = {
  GetItem: select,
  PutItem: returnValues,
  UpdateItem: returnValues,
  DeleteItem: returnValues,
  ConditionCheckItem: returnValues,
};

async function read(
  operation: 'Query' | 'Scan',
  request: Json,
  consumed: Context,
  lookup: TableLookup,
): Promise<Question> {
  const table = tableOf(request['TableName'], lookup);
  const index = request['IndexName'] === undefined ? undefined : checkedName(request['IndexName'], 'index');
  const context: Context = {
    'dynamodb:Attributes': namedBy(request),
    'dynamodb:Select':
      text(request['Select']) ??
      (request['ProjectionExpression'] === undefined &&
      request['AttributesToGet'] === undefined &&
      index !== undefined
        ? 'ALL_PROJECTED_ATTRIBUTES'
        : text(select(request)['dynamodb:Select'])!),
    ...consumed,
  };
  if (operation === 'Query') {
    const keys = await lookup.partitionKeys(table.name);
    const partitionKey = index === undefined ? keys?.table : keys?.indexes[index];
    // A table or index that doesn't exist has no keys to protect: the engine answers that there is none.
    if (partitionKey !== undefined) context['dynamodb:LeadingKeys'] = [queriedKey(request, partitionKey)];
  }
  return {
    action: `dynamodb:${operation}`,
    resource: index === undefined ? table.arn : `${table.arn}/index/${index}`,
    context,
  };
}

/** The one partition that a Query reads. */
function queriedKey(request: Json, partitionKey: string): string {
  const expression = text(request['KeyConditionExpression']);
  const legacy = object(object(request['KeyConditions'])[partitionKey]);
  const values =
    expression === undefined
      ? list(legacy['AttributeValueList'], 2)
      : partitionValuesIn(expression, partitionKey, namesOf(request)).map(
          (value) => object(request['ExpressionAttributeValues'])[value],
        );
  if (values.length !== 1 || (expression !== undefined && request['KeyConditions'] !== undefined)) {
    throw new AwsError('ValidationException', `Query condition missed key schema element: ${partitionKey}`);
  }
  return keyText(values[0]);
}

/**
 * A batch is asked about as a whole (as the plural of `LeadingKeys` says) and item by item too, so that neither two
 * statements that each know half of the keys, nor one `ForAnyValue`, let through what single requests could not do.
 */
async function batch(
  operation: 'BatchGetItem' | 'BatchWriteItem',
  tableName: string,
  asked: unknown,
  consumed: Context,
  lookup: TableLookup,
): Promise<Question[]> {
  const table = tableOf(tableName, lookup);
  const keys = await lookup.partitionKeys(table.name);
  const get = object(asked);
  const items: Json[] =
    operation === 'BatchGetItem'
      ? list(get['Keys'], 100)
      : list(asked, 25).map((entry) => {
          const { PutRequest, DeleteRequest } = entry;
          if ((PutRequest === undefined) === (DeleteRequest === undefined)) {
            throw new AwsError('ValidationException', 'A write of a batch is either a put or a delete.');
          }
          return object(PutRequest === undefined ? object(DeleteRequest)['Key'] : object(PutRequest)['Item']);
        });
  if (items.length === 0) throw new AwsError('ValidationException', 'The batch names no items.');
  const shared = operation === 'BatchGetItem' ? namedBy(get) : [];
  const about = (some: Json[]): Question => ({
    action: `dynamodb:${operation}`,
    resource: table.arn,
    context: {
      ...leadingKeys(some, keys?.table),
      'dynamodb:Attributes': [...new Set([...shared, ...some.flatMap((one) => Object.keys(one))])],
      ...(operation === 'BatchGetItem' ? select(get) : {}),
      ...consumed,
    },
  });
  return items.length === 1 ? [about(items)] : [about(items), ...items.map((one) => about([one]))];
}

function leadingKeys(items: Json[], partitionKey: string | undefined): Context {
  if (partitionKey === undefined) return {};
  return {
    'dynamodb:LeadingKeys': items.map((one) => {
      if (!Object.hasOwn(one, partitionKey)) {
        throw new AwsError('ValidationException', `One of the required keys was not given a value`);
      }
      return keyText(one[partitionKey]);
    }),
  };
}

/** Top-level attributes that the request names, in its keys, its item and its expressions. */
function namedBy(request: Json): string[] {
  const names = namesOf(request);
  const found = new Set<string>();
  for (const part of ['Key', 'Item', 'ExclusiveStartKey', ...legacyMaps]) {
    for (const name of Object.keys(object(request[part]))) found.add(name);
  }
  for (const name of Array.isArray(request['AttributesToGet']) ? request['AttributesToGet'] : []) {
    found.add(String(name));
  }
  for (const [part, kind] of expressions) {
    const expression = text(request[part]);
    if (expression === undefined) continue;
    for (const name of attributesIn(expression, kind, names)) found.add(name);
  }
  return [...found];
}

const expressions = [
  ['ConditionExpression', 'condition'],
  ['FilterExpression', 'condition'],
  ['KeyConditionExpression', 'condition'],
  ['ProjectionExpression', 'projection'],
  ['UpdateExpression', 'update'],
] as const;

/** Parameters from before expressions, whose keys are attribute names. */
const legacyMaps = ['Expected', 'AttributeUpdates', 'KeyConditions', 'QueryFilter', 'ScanFilter'];

const namesOf = (request: Json): AttributeNames => {
  const names: AttributeNames = {};
  for (const [placeholder, name] of Object.entries(object(request['ExpressionAttributeNames']))) {
    if (typeof name === 'string') names[placeholder] = name;
  }
  return names;
};

/** A string or number key as its text, a binary one as its base64. */
function keyText(value: unknown): string {
  const typed = object(value);
  const found = text(typed['S']) ?? text(typed['N']) ?? text(typed['B']);
  if (found === undefined || Object.keys(typed).length !== 1) {
    throw new AwsError('ValidationException', 'A key attribute must be a string, a number or binary.');
  }
  return found;
}

/** A name, or the ARN of a table in this account and region. */
function tableOf(value: unknown, lookup: TableLookup): { name: string; arn: string } {
  const prefix = `arn:aws:dynamodb:${lookup.region}:${lookup.account}:table/`;
  const given = text(value);
  const name = checkedName(given?.startsWith(prefix) ? given.slice(prefix.length) : given, 'table');
  return { name, arn: `${prefix}${name}` };
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html */
function checkedName(value: unknown, what: 'table' | 'index'): string {
  const name = text(value);
  if (name !== undefined && /^[a-zA-Z0-9_.-]{3,255}$/.test(name)) return name;
  throw new AwsError('ValidationException', `Invalid ${what} name`);
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** A JSON object, or an empty one where something else stands; the engine names what is wrong with it. */
const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

function list(value: unknown, limit: number): Json[] {
  if (!Array.isArray(value)) return [];
  if (value.length > limit) {
    throw new AwsError('ValidationException', `More than ${limit} entries.`);
  }
  return value.map(object);
}
