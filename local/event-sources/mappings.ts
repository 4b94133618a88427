import { join } from 'node:path';
import { authorize, type Principal, type Question } from '../aws-front.ts';
import type { Clock } from '../clock.ts';
import type { StreamRecord, Streams, StreamView } from '../dynamodb/streams.ts';
import { compilePattern } from '../event-pattern.ts';
import type { LambdaService } from '../lambda/service.ts';
import type { DeployedResource } from '../resource.ts';
import type { Sqs } from '../sqs/index.ts';
import { readState, writePrivate } from '../state-file.ts';
import { type QueueRecord, startQueueSource } from './queue-source.ts';
import { startStreamSource } from './stream-source.ts';

/** Functions that a queue feeds get as many processes as this, unless the template says fewer. AWS: a thousand and more. */
const MOST_AT_ONCE = 16;

interface MappingProperties {
  EventSourceArn: string;
  FunctionName: string;
  Enabled?: boolean | 'true' | 'false';
  BatchSize?: number | string;
  MaximumBatchingWindowInSeconds?: number | string;
  MaximumRetryAttempts?: number | string;
  MaximumRecordAgeInSeconds?: number | string;
  BisectBatchOnFunctionError?: boolean | 'true' | 'false';
  StartingPosition?: string;
  FunctionResponseTypes?: string[];
  FilterCriteria?: { Filters?: { Pattern?: string }[] };
  ScalingConfig?: { MaximumConcurrency?: number | string };
  DestinationConfig?: { OnFailure?: { Destination?: string } };
}

/**
 * Starts the templates' event source mappings.
 *
 * @throws Error where AWS would not make the mapping: the function's role lacks a permission that it needs, the queue's
 *   time-out is shorter than the function's, a filter is no pattern
 */
export async function startEventSources(o: {
  resources: readonly DeployedResource[];
  lambda: LambdaService;
  sqs: Sqs;
  streams: Streams;
  clock: Clock;
  stateDir: string;
  account: string;
  region: string;
  log(line: string): void;
}): Promise<{ stop(): Promise<void> }> {
  const { lambda, sqs, clock, log } = o;
  const world = { now: () => clock.now(), account: o.account };
  const { invoke } = lambda;
  const positionsFile = join(o.stateDir, 'stream-positions.json');
  const positions = readState<Record<string, string>>(positionsFile) ?? {};

  async function start(resource: DeployedResource): Promise<{ stop(): Promise<void> } | undefined> {
    const properties = resource.properties as unknown as MappingProperties;
    const place = `${resource.stack}/${resource.logicalId}`;
    const fail = (why: string): never => {
      throw new Error(`${place}: ${why}`);
    };
    const { EventSourceArn: arn } = properties;
    const { arn: functionArn, timeoutMs, role } = lambda.describe(properties.FunctionName);
    const destination = properties.DestinationConfig?.OnFailure?.Destination;
    const patterns = (properties.FilterCriteria?.Filters ?? []).map(({ Pattern }) =>
      compilePattern(JSON.parse(Pattern ?? 'null'), `${place}: the filter`),
    );
    const isWanted = (event: unknown): boolean =>
      patterns.length === 0 || patterns.some((test) => test(event));
    const number = (name: keyof MappingProperties, without: number): number =>
      Number(properties[name] ?? without);
    const reportsItems = properties.FunctionResponseTypes?.includes('ReportBatchItemFailures') ?? false;
    const windowSeconds = number('MaximumBatchingWindowInSeconds', 0);
    /** AWS asks when the mapping is made; what the role lacks fails the deployment. */
    const need = async (principal: Principal, questions: Question[]): Promise<void> => {
      await authorize(principal, questions, world).catch((error: Error) => fail(error.message));
    };
    const [, , service] = arn.split(':');

    if (service === 'sqs') {
      if (destination !== undefined) fail('a queue’s mapping has no destination: the queue has dead letters');
      const queue = sqs.queue(arn);
      const { visibilityTimeout, policy: resourcePolicy } = queue.settings;
      if (visibilityTimeout * 1000 < timeoutMs) {
        fail(
          `Queue visibility timeout: ${visibilityTimeout} seconds is less than Function timeout: ${timeoutMs / 1000} seconds`,
        );
      }
      await need(
        role(),
        ['ReceiveMessage', 'DeleteMessage', 'GetQueueAttributes'].map((action) => ({
          action: `sqs:${action}`,
          resource: arn,
          context: {},
          ...(resourcePolicy !== undefined && { resourcePolicy }),
        })),
      );
      if (String(properties.Enabled) === 'false') return undefined;
      const concurrency = lambda.scale(
        functionArn,
        Math.min(MOST_AT_ONCE, Number(properties.ScalingConfig?.MaximumConcurrency ?? MOST_AT_ONCE)),
      );
      return startQueueSource(
        {
          queue,
          functionArn,
          region: o.region,
          batchSize: number('BatchSize', 10),
          windowSeconds,
          concurrency,
          reportsItems,
          isWanted: (record) => patterns.length === 0 || isWanted(withParsedBody(record)),
        },
        { clock, invoke, log },
      );
    }

    if (service === 'dynamodb') {
      const table = o.resources.find(({ attributes }) => attributes['StreamArn'] === arn);
      if (table === undefined) return fail(`no table has the stream ${arn}`);
      const view = (table.properties['StreamSpecification'] as { StreamViewType?: StreamView } | undefined)
        ?.StreamViewType;
      if (view === undefined) return fail(`${table.ref} has no stream`);
      await need(role(), [
        ...['DescribeStream', 'GetRecords', 'GetShardIterator'].map((action) => ({
          action: `dynamodb:${action}`,
          resource: arn,
          context: {},
        })),
        { action: 'dynamodb:ListStreams', resource: '*', context: {} },
      ]);
      if (destination !== undefined) {
        const { policy: resourcePolicy } = sqs.queue(destination).settings;
        const send = { action: 'sqs:SendMessage', resource: destination, context: {} };
        await need(role(), [{ ...send, ...(resourcePolicy !== undefined && { resourcePolicy }) }]);
      }
      if (String(properties.Enabled) === 'false') return undefined;
      const from = properties.StartingPosition;
      if (from !== 'TRIM_HORIZON' && from !== 'LATEST')
        return fail(`StartingPosition should be TRIM_HORIZON or LATEST, is ${from}`);
      return startStreamSource(
        {
          stream: { arn, tableName: table.ref, view },
          functionArn,
          batchSize: number('BatchSize', 100),
          windowSeconds,
          startingPosition: from,
          maximumRetryAttempts: number('MaximumRetryAttempts', -1),
          maximumRecordAgeSeconds: number('MaximumRecordAgeInSeconds', -1),
          bisects: String(properties.BisectBatchOnFunctionError) === 'true',
          reportsItems,
          isWanted: (record: StreamRecord) => isWanted(record),
        },
        {
          streams: o.streams,
          clock,
          checkpoints: {
            get: (shard) => positions[`${place} ${shard}`],
            set(shard, sequenceNumber) {
              positions[`${place} ${shard}`] = sequenceNumber;
              writePrivate(positionsFile, positions);
            },
          },
          invoke,
          async giveUp(record) {
            if (destination === undefined) return;
            await sqs.deliver({ queueArn: destination, body: JSON.stringify(record), caller: role() });
          },
          log,
        },
      );
    }
    return fail(`the laptop stack has no event source ${arn}`);
  }

  const sources: { stop(): Promise<void> }[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.stop()));
  };
  try {
    for (const resource of o.resources) {
      if (resource.type !== 'AWS::Lambda::EventSourceMapping') continue;
      const source = await start(resource);
      if (source !== undefined) sources.push(source);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

/** A filter looks into a body that is JSON. https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html */
function withParsedBody(record: QueueRecord): unknown {
  try {
    return { ...record, body: JSON.parse(record.body) };
  } catch {
    return record;
  }
}
