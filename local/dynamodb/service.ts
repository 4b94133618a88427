import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Answer, type AwsRequest, type AwsService } from '../aws-front.ts';
import { authorizationsOf, type PartitionKeys, type TableLookup } from './authorizations.ts';
import { describeTable, engineAuthorization } from './engine-client.ts';

/** DynamoDB as a function sees it: an allowed request goes on to the engine, body byte for byte, and so its answer. */
export function dynamoDbService(o: {
  engine: string;
  account: string;
  region: string;
  /** Runs after each write. */
  onWrite?(): void;
}): AwsService {
  const engine = new URL(o.engine);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const tables = new Map<string, PartitionKeys>();
  const lookup: TableLookup = {
    account: o.account,
    region: o.region,
    async partitionKeys(name) {
      const known = tables.get(name);
      if (known !== undefined) return known;
      const found = await describeTable(o.engine, name);
      if (found === undefined) return undefined;
      const hashKey = (schema: { AttributeName?: string; KeyType?: string }[] = []): string =>
        schema.find(({ KeyType }) => KeyType === 'HASH')!.AttributeName!;
      const keys: PartitionKeys = { table: hashKey(found.KeySchema), indexes: Object.create(null) };
      for (const index of [...(found.GlobalSecondaryIndexes ?? []), ...(found.LocalSecondaryIndexes ?? [])]) {
        keys.indexes[index.IndexName!] = hashKey(index.KeySchema);
      }
      tables.set(name, keys);
      return keys;
    },
  };

  const forward = async ({ headers, body }: AwsRequest): Promise<Answer> => {
    const onward = httpRequest({
      agent,
      host: engine.hostname,
      port: engine.port || 80,
      path: '/',
      method: 'POST',
      headers: {
        ...(headers['content-type'] ? { 'content-type': headers['content-type'] } : {}),
        ...(headers['accept-encoding'] ? { 'accept-encoding': headers['accept-encoding'] } : {}),
        'x-amz-target': headers['x-amz-target'] as string,
        'x-amz-date': headers['x-amz-date'] as string,
        // DynamoDB Local keeps one database per access key unless told otherwise: all come as the same caller.
        authorization: engineAuthorization(o.region),
        'content-length': body.byteLength,
      },
    });
    onward.end(body);
    const [answer] = (await once(onward, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    const { connection: _c, date: _d, 'keep-alive': _k, 'transfer-encoding': _t, ...kept } = answer.headers;
    const whole = Buffer.concat(chunks);
    return new Answer(answer.statusCode!, { ...kept, 'content-length': String(whole.byteLength) }, whole);
  };

  return {
    name: 'dynamodb',
    protocol: { kind: 'json', version: '1.0', targets: ['DynamoDB_20120810'] },
    questions: ({ operation, input }) => authorizationsOf(operation, input, lookup),
    async handle({ operation, request }) {
      const answer = await forward(request);
      if (/Put|Update|Delete|Write/.test(operation)) o.onWrite?.();
      return answer;
    },
  };
}
