import { CreateTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { tableLayout } from '../../lib/table-layout.ts';

const attributesOf = () => {
  const keys = [
    tableLayout.partitionKey,
    tableLayout.sortKey,
    ...tableLayout.indexes.flatMap((index) => [index.partitionKey, index.sortKey]),
  ];
  const types = new Map(keys.map(({ name, type }) => [name, type]));
  return [...types].map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType }));
};

const keySchema = (index: { partitionKey: { name: string }; sortKey: { name: string } }) => [
  { AttributeName: index.partitionKey.name, KeyType: 'HASH' as const },
  { AttributeName: index.sortKey.name, KeyType: 'RANGE' as const },
];

/** Makes the table of lib/table-layout.ts with all its indexes in an engine. */
export async function makeTable(client: DynamoDBClient, tableName: string): Promise<void> {
  await client.send(
    new CreateTableCommand({
      TableName: tableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: attributesOf(),
      KeySchema: keySchema(tableLayout),
      GlobalSecondaryIndexes: tableLayout.indexes.map((index) => ({
        IndexName: index.name,
        KeySchema: keySchema(index),
        Projection:
          typeof index.projection === 'string'
            ? { ProjectionType: index.projection }
            : { ProjectionType: 'INCLUDE', NonKeyAttributes: index.projection },
      })),
    }),
  );
}
