import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb';
import {
  type DeleteCommand,
  type DeleteCommandOutput,
  DynamoDBDocumentClient,
  GetCommand,
  type GetCommandOutput,
  type PutCommand,
  type PutCommandOutput,
  QueryCommand,
  type QueryCommandInput,
  type QueryCommandOutput,
  ScanCommand,
  type ScanCommandInput,
  type ScanCommandOutput,
  TransactWriteCommand,
  type TransactWriteCommandOutput,
  type UpdateCommand,
  type UpdateCommandOutput,
} from '@aws-sdk/lib-dynamodb';
import { eventRetentionDays, tableName } from './environment.ts';
import { Unavailable } from './problem.ts';

/** The one table, and the client that reaches it: the last parameter of everything that reads or writes. */
export interface KeyTable {
  client: DynamoDBDocumentClient;
  tableName: string;
  eventRetentionDays: number;
}

/**
 * One call may take this long with all its retries, in milliseconds. An operation makes four calls at most
 * unless it loses a race again and again, so it stays under the 29 s of API Gateway.
 */
const LONGEST_CALL = 6_000;

/** Tries of a write that only met another transaction on the same item. */
const MOST_TRIES = 6;
const DEFAULT_EVENT_RETENTION_DAYS = 400;
/** Milliseconds. */
const FIRST_PAUSE = 25;
const LONGEST_PAUSE = 400;

/**
 * Opens the table. The SDK retries throttling, 5xx, time-outs and broken connections (three attempts in all).
 * `requestTimeout` alone would only log a warning: it needs `throwOnRequestTimeout`.
 */
export function openTable(
  name: string,
  config: DynamoDBClientConfig = {},
  eventRetentionDays = DEFAULT_EVENT_RETENTION_DAYS,
): KeyTable {
  const client = new DynamoDBClient({
    maxAttempts: 3,
    requestHandler: {
      connectionTimeout: 1_000,
      requestTimeout: 3_000,
      throwOnRequestTimeout: true,
      socketTimeout: 3_000,
    },
    ...config,
  });
  return { client: DynamoDBDocumentClient.from(client), tableName: name, eventRetentionDays };
}

let opened: KeyTable | undefined;

/** The table of the environment, opened once in a process. */
export function environmentTable(): KeyTable {
  opened ??= openTable(tableName(), {}, eventRetentionDays());
  return opened;
}

type Command =
  | DeleteCommand
  | GetCommand
  | QueryCommand
  | ScanCommand
  | PutCommand
  | UpdateCommand
  | TransactWriteCommand;
type Output<C> = C extends DeleteCommand
  ? DeleteCommandOutput
  : C extends GetCommand
    ? GetCommandOutput
    : C extends QueryCommand
      ? QueryCommandOutput
      : C extends ScanCommand
        ? ScanCommandOutput
        : C extends PutCommand
          ? PutCommandOutput
          : C extends UpdateCommand
            ? UpdateCommandOutput
            : TransactWriteCommandOutput;

/** What a write whose condition did not hold gives instead of its output. */
export class ConditionFailed {
  /** In the order of the transaction's items; one element for a single write. */
  readonly failed: readonly boolean[];
  constructor(failed: readonly boolean[]) {
    this.failed = failed;
  }
}

type Failure = { condition: ConditionFailed } | 'contended' | 'unavailable' | 'fault';

/** What DynamoDB asks to send again; the SDK does so by itself, but never for a cancelled transaction. */
const TRY_AGAIN = new Set([
  'InternalServerError',
  'ProvisionedThroughputExceededException',
  'ReplicatedWriteConflictException',
  'RequestLimitExceeded',
  'ServiceUnavailable',
  'ThrottlingException',
  'TransactionInProgressException',
]);
/** The SDK's names of a time-out, and of the abort at LONGEST_CALL. */
const TIMED_OUT = new Set(['TimeoutError', 'AbortError']);
/** Codes in CancellationReasons, which are not the names of the exceptions. */
const CONTENTION = new Set([
  'TransactionConflict',
  'ThrottlingError',
  'ProvisionedThroughputExceeded',
  'RequestLimitExceeded',
]);

interface SdkError {
  name?: string;
  $metadata?: { httpStatusCode?: number; attempts?: number };
  CancellationReasons?: { Code?: string }[];
}

function classify(error: unknown): Failure {
  const { name = '', $metadata, CancellationReasons = [] } = error as SdkError;
  if (name === 'ConditionalCheckFailedException') return { condition: new ConditionFailed([true]) };
  if (name === 'TransactionConflictException') return 'contended';
  if (name === 'TransactionCanceledException') {
    const codes = CancellationReasons.map((reason) => reason.Code ?? 'None');
    const failed = codes.map((reason) => reason === 'ConditionalCheckFailed');
    if (failed.includes(true)) return { condition: new ConditionFailed(failed) };
    const others = codes.filter((reason) => reason !== 'None');
    return others.length > 0 && others.every((reason) => CONTENTION.has(reason)) ? 'contended' : 'fault';
  }
  if (TRY_AGAIN.has(name) || TIMED_OUT.has(name)) return 'unavailable';
  if (($metadata?.httpStatusCode ?? 0) >= 500) return 'unavailable';
  // The SDK tried (it counts the attempts of what failed) and had no answer: the connection failed, however.
  return $metadata?.attempts !== undefined && $metadata.httpStatusCode === undefined
    ? 'unavailable'
    : 'fault';
}

/** Full jitter: AWS Architecture Blog, "Exponential backoff and jitter". */
export function pause(tries: number): Promise<void> {
  return sleep(Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** tries));
}

/**
 * Sends one command within LONGEST_CALL. A write that met another transaction is sent again, a few times, as the
 * same command: a transaction keeps its ClientRequestToken, so an attempt that did succeed is not done twice.
 *
 * @returns the output, or ConditionFailed
 * @throws Unavailable when DynamoDB does not answer, is throttled or stays contended; other errors as they are
 */
export async function send<C extends Command>(
  table: KeyTable,
  command: C,
  mostTries = MOST_TRIES,
): Promise<Output<C> | ConditionFailed> {
  const abortSignal = AbortSignal.timeout(LONGEST_CALL);
  for (let tries = 1; ; tries++) {
    try {
      return (await table.client.send(command as PutCommand, { abortSignal })) as Output<C>;
    } catch (error) {
      const failure = classify(error);
      if (typeof failure === 'object') return failure.condition;
      if (failure === 'fault') throw error;
      if (failure === 'unavailable' || tries >= mostTries || abortSignal.aborted)
        throw new Unavailable(1, error);
      await pause(tries);
    }
  }
}

const isOutput = <T>(outcome: T | ConditionFailed): T => {
  if (outcome instanceof ConditionFailed) throw new Error('a read has no condition');
  return outcome;
};

/** One item, read consistently. */
export async function readItem(
  table: KeyTable,
  key: { pk: string; sk: string },
): Promise<Record<string, unknown> | undefined> {
  const command = new GetCommand({ TableName: table.tableName, Key: key, ConsistentRead: true });
  return isOutput(await send(table, command)).Item;
}

/** One page of a query. */
export async function query(
  table: KeyTable,
  input: Omit<QueryCommandInput, 'TableName'>,
): Promise<QueryCommandOutput> {
  return isOutput(await send(table, new QueryCommand({ TableName: table.tableName, ...input })));
}

/** One page of a scan. */
export async function scan(
  table: KeyTable,
  input: Omit<ScanCommandInput, 'TableName'>,
): Promise<ScanCommandOutput> {
  return isOutput(await send(table, new ScanCommand({ TableName: table.tableName, ...input })));
}

/** Everything that a query finds, page after page as it is taken. */
export async function* queryAll(
  table: KeyTable,
  input: Omit<QueryCommandInput, 'TableName' | 'ExclusiveStartKey'>,
): AsyncGenerator<Record<string, unknown>, void, undefined> {
  let from: Record<string, unknown> | undefined;
  do {
    const page = await query(table, { ...input, ExclusiveStartKey: from });
    yield* page.Items ?? [];
    from = page.LastEvaluatedKey;
  } while (from);
}

export type TransactItems = NonNullable<
  ConstructorParameters<typeof TransactWriteCommand>[0]['TransactItems']
>;

/** All or nothing. Its own token, so that whoever sends the same command again does not do it twice. */
export const transact = (table: KeyTable, TransactItems: TransactItems, mostTries?: number) =>
  send(table, new TransactWriteCommand({ TransactItems, ClientRequestToken: randomUUID() }), mostTries);

/** The names of an expression: `#x` for every attribute x, so that a policy can be written about attributes. */
export function names(...attributes: string[]): Record<string, string> {
  return Object.fromEntries(attributes.map((attribute) => [`#${attribute}`, attribute]));
}

/** `SET` for each change, `REMOVE` for each that is undefined; the values are named `:x_new`. */
export function changing(changes: Record<string, unknown>): {
  expression: string;
  values: Record<string, unknown>;
} {
  const set = Object.entries(changes).filter(([, value]) => value !== undefined);
  const remove = Object.keys(changes).filter((name) => changes[name] === undefined);
  const clauses = [
    set.length > 0 && `SET ${set.map(([name]) => `#${name} = :${name}_new`).join(', ')}`,
    remove.length > 0 && `REMOVE ${remove.map((name) => `#${name}`).join(', ')}`,
  ];
  return {
    expression: clauses.filter(Boolean).join(' '),
    values: Object.fromEntries(set.map(([name, value]) => [`:${name}_new`, value])),
  };
}

/** The item without what is undefined: DynamoDB knows NULL and absent, and the SDK refuses undefined. */
export function present<T extends object>(item: T): T {
  return Object.fromEntries(Object.entries(item).filter(([, value]) => value !== undefined)) as T;
}
