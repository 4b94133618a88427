import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';

/** The kinds of item in the table, by how their partition keys begin. docs/storage.md describes each. */
export type ItemKind =
  | 'key_*'
  | 'deployment_*'
  | 'idempotency_*'
  | 'secret_cursor'
  | 'routes_*'
  | 'catalog'
  | 'events_*'
  | 'whe_*'
  | 'webhooks_*'
  | 'deliveries_*'
  | 'compromise_*'
  | 'stages'
  | 'flushes'
  | 'heartbeats'
  | 'canary_samples';

export type ItemAction = 'GetItem' | 'PutItem' | 'UpdateItem' | 'DeleteItem' | 'Query';

/**
 * Allows actions on single items of these kinds. A transaction is allowed by what it consists of.
 *
 * `ForAllValues` alone is also true for a request without the key, so `Null` demands that there is one:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
 *
 * @param attributes the only attributes that the request may name, its conditions and the item's keys included
 */
export function itemAccess(
  table: ITable,
  actions: ItemAction[],
  kinds: ItemKind[],
  attributes?: string[],
): PolicyStatement {
  return new PolicyStatement({
    actions: actions.map((action) => `dynamodb:${action}`),
    resources: [table.tableArn],
    conditions: {
      'ForAllValues:StringLike': {
        'dynamodb:LeadingKeys': kinds,
        ...(attributes && { 'dynamodb:Attributes': attributes }),
      },
      Null: {
        'dynamodb:LeadingKeys': 'false',
        ...(attributes && { 'dynamodb:Attributes': 'false' }),
      },
    },
  });
}

/**
 * Allows to record events, as a part of the transaction that makes the change. IAM cannot demand that a put is of a
 * new item; docs/storage.md says what does. No statement may allow more on events: test/infra/roles.test.ts.
 */
export function eventRecording(table: ITable): PolicyStatement {
  return new PolicyStatement({
    actions: ['dynamodb:PutItem'],
    resources: [table.tableArn],
    conditions: {
      'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['events_*'] },
      Null: { 'dynamodb:LeadingKeys': 'false' },
      StringEquals: { 'dynamodb:EnclosingOperation': 'TransactWriteItems' },
    },
  });
}

/**
 * Allows queries, or scans, on one index.
 *
 * @param attributes all that they may see, where the index holds more; without `Select` it would see all of it:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
 */
export function indexAccess(
  table: ITable,
  index: string,
  attributes?: string[],
  action: 'Query' | 'Scan' = 'Query',
): PolicyStatement {
  return new PolicyStatement({
    actions: [`dynamodb:${action}`],
    resources: [`${table.tableArn}/index/${index}`],
    ...(attributes && {
      conditions: {
        'ForAllValues:StringEquals': { 'dynamodb:Attributes': attributes },
        StringEquals: { 'dynamodb:Select': 'SPECIFIC_ATTRIBUTES' },
        Null: { 'dynamodb:Attributes': 'false' },
      },
    }),
  });
}
