import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { engineAuthorization } from './engine-client.ts';

/** Values as on the wire: `{"S": "text"}`, binary ones in base64, which is also how a function gets them. */
export type Image = Record<string, Record<string, unknown>>;

export type StreamView = 'NEW_IMAGE' | 'OLD_IMAGE' | 'NEW_AND_OLD_IMAGES' | 'KEYS_ONLY';

/** As a function gets it: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html */
export interface StreamRecord {
  eventID: string;
  eventName: 'INSERT' | 'MODIFY' | 'REMOVE';
  eventVersion: string;
  eventSource: 'aws:dynamodb';
  awsRegion: string;
  eventSourceARN: string;
  dynamodb: {
    /** In seconds. */
    ApproximateCreationDateTime: number;
    Keys: Image;
    NewImage?: Image;
    OldImage?: Image;
    SequenceNumber: string;
    SizeBytes: number;
    StreamViewType: StreamView;
  };
  userIdentity?: { type: 'Service'; principalId: 'dynamodb.amazonaws.com' };
}

export interface Shard {
  ShardId: string;
  ParentShardId?: string;
}

/** The streams of an engine's tables. */
export interface Streams {
  /** The engine's own ARN of the table's stream: another one when the table was made anew. */
  describe(tableName: string): Promise<{ engineArn: string; shards: Shard[] }>;
  /** Where to read from: after a record, or from the beginning or the end. */
  iterator(engineArn: string, shardId: string, from: string): Promise<string>;
  read(
    stream: { arn: string; tableName: string; view: StreamView },
    iterator: string,
    limit: number,
  ): Promise<{ records: StreamRecord[]; last: string | undefined; next: string | undefined }>;
  /** Something was written: readers look at once. */
  wake(): void;
  /** Resolves at the next write, or after so many milliseconds. */
  arrival(limitMs: number): Promise<void>;
  /** Says that TTL deletes an item (or did not, after all): its stream record says so too. */
  expiring(tableName: string, key: Record<string, unknown>, isExpiring: boolean): void;
}

export function openStreams(o: { engine: string; region: string; clock: Clock }): Streams {
  const waiting = new Set<() => void>();
  const expired = new Set<string>();
  const keyOf = (tableName: string, key: Record<string, unknown>): string =>
    JSON.stringify([tableName, Object.entries(key).sort(([a], [b]) => (a < b ? -1 : 1))]);

  async function ask<Output>(operation: string, input: unknown): Promise<Output> {
    const answer = await fetch(o.engine, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `DynamoDBStreams_20120810.${operation}`,
        'x-amz-date': `${new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')}`,
        authorization: engineAuthorization(o.region),
      },
      body: JSON.stringify(input),
    });
    const output = await answer.json();
    if (!answer.ok) throw new Error(`${operation}: ${JSON.stringify(output)}`);
    return output as Output;
  }

  return {
    async describe(TableName) {
      const { Streams: found } = await ask<{ Streams: { StreamArn: string }[] }>('ListStreams', {
        TableName,
      });
      const engineArn = found.at(-1)?.StreamArn;
      if (engineArn === undefined) throw new Error(`the table ${TableName} has no stream`);
      const shards: Shard[] = [];
      let ExclusiveStartShardId: string | undefined;
      do {
        const { StreamDescription } = await ask<{
          StreamDescription: { Shards: Shard[]; LastEvaluatedShardId?: string };
        }>('DescribeStream', { StreamArn: engineArn, ExclusiveStartShardId });
        shards.push(...StreamDescription.Shards);
        ExclusiveStartShardId = StreamDescription.LastEvaluatedShardId;
      } while (ExclusiveStartShardId !== undefined);
      return { engineArn, shards };
    },
    async iterator(StreamArn, ShardId, from) {
      const { ShardIterator } = await ask<{ ShardIterator: string }>('GetShardIterator', {
        StreamArn,
        ShardId,
        ...(from === 'TRIM_HORIZON' || from === 'LATEST'
          ? { ShardIteratorType: from }
          : { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: from }),
      });
      return ShardIterator;
    },
    async read({ arn, tableName, view }, ShardIterator, Limit) {
      type EngineRecord = Omit<StreamRecord, 'eventSourceARN'>;
      const { Records, NextShardIterator } = await ask<{
        Records: EngineRecord[];
        NextShardIterator?: string;
      }>('GetRecords', { ShardIterator, Limit });
      const records: StreamRecord[] = [];
      for (const { eventID: _id, userIdentity: _who, awsRegion: _region, dynamodb, ...record } of Records) {
        const { NewImage, OldImage, ...rest } = dynamodb;
        // A write that changes nothing has no record in DynamoDB; the engine makes one.
        if (record.eventName === 'MODIFY' && isSame(NewImage, OldImage)) continue;
        const isExpired = record.eventName === 'REMOVE' && expired.delete(keyOf(tableName, dynamodb.Keys));
        records.push({
          eventID: createHash('md5').update(`${arn} ${dynamodb.SequenceNumber}`).digest('hex'),
          ...record,
          awsRegion: o.region,
          dynamodb: {
            ...rest,
            // The engine does not know the stack's clock.
            ApproximateCreationDateTime: Math.floor(
              dynamodb.ApproximateCreationDateTime + o.clock.offsetMs() / 1000,
            ),
            ...(/^NEW_/.test(view) && NewImage !== undefined && { NewImage }),
            ...(/OLD_IMAGE/.test(view) && OldImage !== undefined && { OldImage }),
            StreamViewType: view,
          },
          eventSourceARN: arn,
          ...(isExpired && {
            userIdentity: { type: 'Service' as const, principalId: 'dynamodb.amazonaws.com' as const },
          }),
        });
      }
      return { records, last: Records.at(-1)?.dynamodb.SequenceNumber, next: NextShardIterator };
    },
    wake() {
      for (const done of [...waiting]) done();
    },
    arrival: (limitMs) =>
      new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, limitMs);
        waiting.add(done);
      }),
    expiring(tableName, key, isExpiring) {
      const marked = keyOf(tableName, key);
      if (isExpiring) expired.add(marked);
      else expired.delete(marked);
    },
  };
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => isSame((a as Image)[key], (b as Image)[key]))
  );
}
