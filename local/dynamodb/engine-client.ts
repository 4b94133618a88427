import { DescribeTableCommand, DynamoDBClient, type TableDescription } from '@aws-sdk/client-dynamodb';

/** Engines don't check credentials, but want some; DynamoDB Local takes letters and digits only. */
const accessKeyId = 'rekeylaptop';

const clients = new Map<string, DynamoDBClient>();

/** A client that talks to the engine itself, past IAM. */
export function engineClient(endpoint: string): DynamoDBClient {
  let client = clients.get(endpoint);
  if (client === undefined) {
    client = new DynamoDBClient({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId, secretAccessKey: accessKeyId },
    });
    clients.set(endpoint, client);
  }
  return client;
}

/** Lets the connections to an engine go, before it ends. */
export function releaseEngine(endpoint: string): void {
  clients.get(endpoint)?.destroy();
  clients.delete(endpoint);
}

/** Undefined: there is no such table. */
export async function describeTable(endpoint: string, name: string): Promise<TableDescription | undefined> {
  try {
    return (await engineClient(endpoint).send(new DescribeTableCommand({ TableName: name }))).Table;
  } catch (error) {
    if ((error as Error).name === 'ResourceNotFoundException') return undefined;
    throw error;
  }
}

/** An `Authorization` header of the right form, for the same caller as `engineClient`. */
export const engineAuthorization = (region: string): string =>
  `AWS4-HMAC-SHA256 Credential=${accessKeyId}/20260101/${region}/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=${'0'.repeat(64)}`;
