import {
  type AttributeValue,
  CreateTableCommand,
  DeleteItemCommand,
  DeleteTableCommand,
  DescribeTimeToLiveCommand,
  paginateScan,
  type TableDescription,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
  waitUntilTableNotExists,
} from '@aws-sdk/client-dynamodb';
import { checkSupported, type DeployedResource, describeUnknown, type Supported } from '../resource.ts';
import { describeTable, engineClient } from './engine-client.ts';

const capacity = { noEffect: 'the engine has no capacity limits and no bill' };
const backups = { noEffect: 'nothing is backed up on a laptop' };
const encryption = { noEffect: 'the engine writes a plain file in the state directory' };
const protection = { noEffect: 'CloudFormation never deletes the table here; --fresh does, and says so' };
const metrics = { noEffect: 'there is no CloudWatch on a laptop' };
const tags = { noEffect: 'nothing on a laptop reads tags' };

const keySchema = { 'KeySchema.AttributeName': 'used', 'KeySchema.KeyType': 'used' } as const;
const projection = { 'Projection.ProjectionType': 'used', 'Projection.NonKeyAttributes': 'used' } as const;

const below = <Use>(prefix: string, properties: Record<string, Use>): Record<string, Use> =>
  Object.fromEntries(Object.entries(properties).map(([path, use]) => [`${prefix}.${path}`, use]));

const table: Supported[string]['properties'] = {
  TableName: 'used',
  'AttributeDefinitions.AttributeName': 'used',
  'AttributeDefinitions.AttributeType': 'used',
  ...keySchema,
  BillingMode: capacity,
  ...below('GlobalSecondaryIndexes', { IndexName: 'used', ...keySchema, ...projection }),
  ...below('LocalSecondaryIndexes', { IndexName: 'used', ...keySchema, ...projection }),
  'TimeToLiveSpecification.AttributeName': 'used',
  'TimeToLiveSpecification.Enabled': 'used',
  'StreamSpecification.StreamViewType': 'used',
  SSESpecification: encryption,
  WarmThroughput: capacity,
};

/**
 * Tables, as far as they have a meaning on a laptop. A resource policy is not here on purpose: IAM would have to ask
 * it, so a template that has one stops the start.
 */
export const supported: Supported = {
  'AWS::DynamoDB::Table': {
    properties: {
      ...table,
      ProvisionedThroughput: capacity,
      OnDemandThroughput: capacity,
      TableClass: capacity,
      'GlobalSecondaryIndexes.ProvisionedThroughput': capacity,
      'GlobalSecondaryIndexes.OnDemandThroughput': capacity,
      'GlobalSecondaryIndexes.WarmThroughput': capacity,
      'GlobalSecondaryIndexes.ContributorInsightsSpecification': metrics,
      PointInTimeRecoverySpecification: backups,
      DeletionProtectionEnabled: protection,
      ContributorInsightsSpecification: metrics,
      Tags: tags,
    },
  },
  'AWS::DynamoDB::GlobalTable': {
    properties: {
      ...table,
      WriteOnDemandThroughputSettings: capacity,
      WriteProvisionedThroughputSettings: capacity,
      'GlobalSecondaryIndexes.WriteOnDemandThroughputSettings': capacity,
      'GlobalSecondaryIndexes.WriteProvisionedThroughputSettings': capacity,
      'GlobalSecondaryIndexes.WarmThroughput': capacity,
      'Replicas.Region': { noEffect: 'the laptop is one region' },
      'Replicas.PointInTimeRecoverySpecification': backups,
      'Replicas.DeletionProtectionEnabled': protection,
      'Replicas.SSESpecification': encryption,
      'Replicas.TableClass': capacity,
      'Replicas.Tags': tags,
      'Replicas.ContributorInsightsSpecification': metrics,
      'Replicas.ReadOnDemandThroughputSettings': capacity,
      'Replicas.ReadProvisionedThroughputSettings': capacity,
      'Replicas.GlobalSecondaryIndexes': capacity,
    },
  },
};

/** What the template says of one table; all of it passed `supported` before. */
interface TableProperties {
  AttributeDefinitions: { AttributeName: string; AttributeType: 'S' | 'N' | 'B' }[];
  KeySchema: KeySchema;
  GlobalSecondaryIndexes?: Index[];
  LocalSecondaryIndexes?: Index[];
  TimeToLiveSpecification?: { AttributeName?: string; Enabled: boolean | 'true' | 'false' };
  StreamSpecification?: { StreamViewType: 'NEW_IMAGE' | 'OLD_IMAGE' | 'NEW_AND_OLD_IMAGES' | 'KEYS_ONLY' };
}
type KeySchema = { AttributeName: string; KeyType: 'HASH' | 'RANGE' }[];
interface Index {
  IndexName: string;
  KeySchema: KeySchema;
  Projection: { ProjectionType?: 'ALL' | 'KEYS_ONLY' | 'INCLUDE'; NonKeyAttributes?: string[] };
}

const isTable = ({ type }: DeployedResource): boolean => Object.hasOwn(supported, type);
const propertiesOf = (resource: DeployedResource) => resource.properties as unknown as TableProperties;

/**
 * Makes the tables of the template that the engine does not have yet; a table that is there keeps its data.
 *
 * @param fresh deletes them first: for an engine that `startEngine` did not start
 * @throws Error for a property that is not in `supported`, and for a table whose keys, indexes or stream differ from
 *   the template's: CloudFormation would replace or rebuild it, here `--fresh` does
 */
export async function createTables(o: {
  endpoint: string;
  resources: DeployedResource[];
  fresh?: boolean;
}): Promise<void> {
  const tables = o.resources.filter(isTable);
  const { unknown } = checkSupported(tables, supported);
  if (unknown.length > 0) throw new Error(unknown.map(describeUnknown).join('\n'));
  const client = engineClient(o.endpoint);
  for (const resource of tables) {
    const name = resource.ref;
    const wanted = propertiesOf(resource);
    let existing = await describeTable(o.endpoint, name);
    if (existing !== undefined && o.fresh) {
      await client.send(new DeleteTableCommand({ TableName: name }));
      await waitUntilTableNotExists({ client, maxWaitTime: 20, minDelay: 1 }, { TableName: name });
      existing = undefined;
    }
    if (existing === undefined) {
      await client.send(new CreateTableCommand(definition(name, wanted)));
      await waitUntilTableExists({ client, maxWaitTime: 20, minDelay: 1 }, { TableName: name });
    } else if (shapeOf(existing) !== shapeOf(definition(name, wanted))) {
      throw new Error(
        `The table ${name} has other keys, indexes or another stream than ${resource.stack}/${resource.logicalId} in the template. Start with --fresh to make it anew, without its data.`,
      );
    }
    await setTtl(o.endpoint, name, wanted);
  }
}

function definition(name: string, wanted: TableProperties) {
  const indexes = (of?: Index[]) =>
    of?.map(({ IndexName, KeySchema, Projection }) => ({ IndexName, KeySchema, Projection }));
  return {
    TableName: name,
    BillingMode: 'PAY_PER_REQUEST' as const,
    AttributeDefinitions: wanted.AttributeDefinitions,
    KeySchema: wanted.KeySchema,
    GlobalSecondaryIndexes: indexes(wanted.GlobalSecondaryIndexes),
    LocalSecondaryIndexes: indexes(wanted.LocalSecondaryIndexes),
    // Whatever the template's view: only with both images a write that changes nothing can be told from others.
    ...(wanted.StreamSpecification && {
      StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' as const },
    }),
  };
}

/** Keys, indexes and stream in one text, to compare a table with its template. */
function shapeOf(of: TableDescription | ReturnType<typeof definition>): string {
  const keys = (schema: { AttributeName?: string; KeyType?: string }[] = []) =>
    schema.map(({ AttributeName, KeyType }) => `${KeyType} ${AttributeName}`).sort();
  const indexes = [...(of.GlobalSecondaryIndexes ?? []), ...(of.LocalSecondaryIndexes ?? [])]
    .map(({ IndexName, KeySchema, Projection }) => [
      IndexName,
      keys(KeySchema),
      Projection?.ProjectionType ?? 'ALL',
      [...(Projection?.NonKeyAttributes ?? [])].sort(),
    ])
    .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
  const types = of.AttributeDefinitions?.map(
    ({ AttributeName, AttributeType }) => `${AttributeName} ${AttributeType}`,
  );
  const stream = of.StreamSpecification?.StreamViewType ?? 'none';
  return JSON.stringify([keys(of.KeySchema), types?.sort(), indexes, stream]);
}

/** The attribute, when the template turns TTL on. */
const ttlAttribute = ({ TimeToLiveSpecification: ttl }: TableProperties): string | undefined =>
  ttl !== undefined && String(ttl.Enabled) === 'true' ? ttl.AttributeName : undefined;

async function setTtl(endpoint: string, name: string, wanted: TableProperties): Promise<void> {
  const client = engineClient(endpoint);
  const { TimeToLiveDescription: now } = await client.send(
    new DescribeTimeToLiveCommand({ TableName: name }),
  );
  const current = now?.TimeToLiveStatus?.startsWith('ENABL') ? now.AttributeName : undefined;
  const attribute = ttlAttribute(wanted);
  if (attribute === current) return;
  for (const [AttributeName, Enabled] of [
    [current, false],
    [attribute, true],
  ] as const) {
    if (AttributeName === undefined) continue;
    await client.send(
      new UpdateTimeToLiveCommand({ TableName: name, TimeToLiveSpecification: { AttributeName, Enabled } }),
    );
  }
}

/** Items whose time is longer past than this stay: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html */
const fiveYears = 5 * 365 * 24 * 3600;

/**
 * Deletes what DynamoDB's TTL would have deleted by `now` (the stack's clock, in ms), and says how many items.
 *
 * DynamoDB takes up to a few days for it; here it is at once. Each delete holds only while the item's time is still
 * past, so an item that was given a later time meanwhile stays.
 */
export async function sweepTtl(o: {
  endpoint: string;
  resources: DeployedResource[];
  now: number;
  /** Told before each delete, and after one that did not happen. */
  onExpiring?(tableName: string, key: Record<string, AttributeValue>, isExpiring: boolean): void;
}): Promise<number> {
  const client = engineClient(o.endpoint);
  const seconds = Math.floor(o.now / 1000);
  let deleted = 0;
  for (const resource of o.resources.filter(isTable)) {
    const properties = propertiesOf(resource);
    const attribute = ttlAttribute(properties);
    if (attribute === undefined) continue;
    const past = {
      names: { '#ttl': attribute },
      values: {
        ':now': { N: String(seconds) },
        ':too_old': { N: String(seconds - fiveYears) },
        ':number': { S: 'N' },
      },
      condition: 'attribute_type(#ttl, :number) AND #ttl < :now AND #ttl > :too_old',
    };
    const keys = Object.fromEntries(
      properties.KeySchema.map(({ AttributeName }, index) => [`#key${index}`, AttributeName]),
    );
    const pages = paginateScan(
      { client },
      {
        TableName: resource.ref,
        FilterExpression: past.condition,
        ProjectionExpression: Object.keys(keys).join(', '),
        ExpressionAttributeNames: { ...past.names, ...keys },
        ExpressionAttributeValues: past.values,
        ConsistentRead: true,
      },
    );
    for await (const { Items: items = [] } of pages) {
      for (const Key of items) {
        o.onExpiring?.(resource.ref, Key, true);
        try {
          await client.send(
            new DeleteItemCommand({
              TableName: resource.ref,
              Key,
              ConditionExpression: past.condition,
              ExpressionAttributeNames: past.names,
              ExpressionAttributeValues: past.values,
            }),
          );
          deleted += 1;
        } catch (error) {
          o.onExpiring?.(resource.ref, Key, false);
          if ((error as Error).name !== 'ConditionalCheckFailedException') throw error;
        }
      }
    }
  }
  return deleted;
}
