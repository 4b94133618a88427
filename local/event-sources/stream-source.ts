import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { Shard, StreamRecord, Streams, StreamView } from '../dynamodb/streams.ts';
import { InvokeProblem } from '../lambda/service.ts';

export interface StreamMapping {
  stream: { arn: string; tableName: string; view: StreamView };
  functionArn: string;
  batchSize: number;
  windowSeconds: number;
  startingPosition: 'TRIM_HORIZON' | 'LATEST';
  /** -1: as long as it takes. */
  maximumRetryAttempts: number;
  /** -1: none. */
  maximumRecordAgeSeconds: number;
  bisects: boolean;
  reportsItems: boolean;
  isWanted(record: StreamRecord): boolean;
}

/** What was read last of each shard. Kept over a restart. */
export interface Checkpoints {
  get(shard: string): string | undefined;
  set(shard: string, sequenceNumber: string): void;
}

interface World {
  streams: Streams;
  clock: Clock;
  checkpoints: Checkpoints;
  invoke(functionArn: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
  /** Gets what is given up: AWS sends it to the failure destination. */
  giveUp(record: Record<string, unknown>): Promise<void>;
  log(line: string): void;
}

/** What runs longer when the stack stops is not waited for: the next start reads it again. */
const STOPS_WITHIN_MS = 2_000;

/** How often a stream is looked at without a sign of a write. */
const IDLE_MS = 250;
/** New shards are looked for this often. */
const SHARDS_EVERY_MS = 5_000;
/** The first wait before a batch is tried again; it doubles up to the longest. AWS does not tell its own. */
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;

/** A batch of one shard, and how often it was tried. */
interface Batch {
  records: StreamRecord[];
  attempts: number;
}

/**
 * Feeds a function from a table's stream: one batch at a time for each shard, in order, so that a batch that fails holds
 * up its shard until it is through, given up or bisected.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
 */
export function startStreamSource(mapping: StreamMapping, world: World): { stop(): Promise<void> } {
  const { streams, clock, checkpoints, log } = world;
  const stopping = new AbortController();
  const isStopped = (): boolean => stopping.signal.aborted;
  const shards = new Map<string, { isDone: boolean; running: Promise<void> }>();

  async function readShard(engineArn: string, { ShardId }: Shard, done: () => void): Promise<void> {
    const place = `${engineArn} ${ShardId}`;
    let iterator: string | undefined;
    while (!isStopped()) {
      try {
        iterator ??= await streams.iterator(
          engineArn,
          ShardId,
          checkpoints.get(place) ?? mapping.startingPosition,
        );
        const { records, last, next } = await readBatch(iterator);
        await process({ records: records.filter(mapping.isWanted), attempts: 0 }, ShardId);
        if (isStopped()) return;
        if (last !== undefined) checkpoints.set(place, last);
        if (next === undefined) return done();
        iterator = next;
        if (last === undefined) await streams.arrival(IDLE_MS);
      } catch (error) {
        if (isStopped()) return;
        log(`${mapping.stream.arn}: ${(error as Error).message}`);
        iterator = undefined;
        await pause(LONGEST_RETRY_MS);
      }
    }
  }

  /** Reads on within the window until the batch is full. */
  async function readBatch(from: string): ReturnType<Streams['read']> {
    let found = await streams.read(mapping.stream, from, mapping.batchSize);
    if (mapping.windowSeconds === 0 || found.last === undefined) return found;
    const until = clock.now() + mapping.windowSeconds * 1000;
    while (found.next !== undefined && found.records.length < mapping.batchSize && clock.now() < until) {
      if (isStopped()) break;
      const more = await streams.read(mapping.stream, found.next, mapping.batchSize - found.records.length);
      found = {
        records: [...found.records, ...more.records],
        last: more.last ?? found.last,
        next: more.next,
      };
      if (more.last === undefined) await streams.arrival(Math.min(IDLE_MS, until - clock.now()));
    }
    return found;
  }

  async function process(whole: Batch, shardId: string): Promise<void> {
    const batches = whole.records.length === 0 ? [] : [whole];
    for (let batch = batches.shift(); batch !== undefined && !isStopped(); batch = batches.shift()) {
      const failure = await attempt(batch);
      if (failure === undefined) continue;
      const rest = batch.records.slice(failure.from);
      // What went before is through: the rest is a batch of its own, that was not tried yet.
      const attempts = failure.from > 0 ? 0 : batch.attempts + 1;
      const { maximumRetryAttempts: most, maximumRecordAgeSeconds: oldest } = mapping;
      const age = clock.now() / 1000 - rest[0]!.dynamodb.ApproximateCreationDateTime;
      if (failure.isOfFunction && mapping.bisects && rest.length > 1) {
        // Bisecting is free of the quota of retries.
        const middle = Math.ceil(rest.length / 2);
        batches.unshift(
          { records: rest.slice(0, middle), attempts: batch.attempts },
          { records: rest.slice(middle), attempts: batch.attempts },
        );
      } else if (failure.isOfFunction && most >= 0 && attempts > most) {
        await giveUp(rest, shardId, { condition: 'RetryAttemptsExhausted', attempts, failure });
        continue;
      } else if (oldest >= 0 && age > oldest) {
        await giveUp(rest, shardId, { condition: 'RecordAgeExceeded', attempts, failure });
        continue;
      } else {
        batches.unshift({ records: rest, attempts });
      }
      await pause(Math.min(FIRST_RETRY_MS * 2 ** Math.min(attempts, 10), LONGEST_RETRY_MS));
    }
  }

  /** Undefined: all is through. Else from where on it is not. */
  async function attempt({ records }: Batch): Promise<Failure | undefined> {
    let answer: Awaited<ReturnType<World['invoke']>>;
    try {
      answer = await world.invoke(mapping.functionArn, { Records: records });
    } catch (error) {
      if (!(error instanceof InvokeProblem)) throw error;
      return { from: 0, isOfFunction: false };
    }
    if (answer.functionError !== undefined)
      return { from: 0, isOfFunction: true, functionError: answer.functionError };
    if (!mapping.reportsItems) return undefined;
    const failed = failedItems(
      answer.payload,
      records.map(({ dynamodb }) => dynamodb.SequenceNumber),
    );
    if (failed === 'all') return { from: 0, isOfFunction: true };
    // The lowest one is the checkpoint.
    const from = records.findIndex(({ dynamodb }) => failed.has(dynamodb.SequenceNumber));
    return from === -1 ? undefined : { from, isOfFunction: true };
  }

  async function giveUp(
    records: StreamRecord[],
    shardId: string,
    { condition, attempts, failure }: { condition: string; attempts: number; failure: Failure },
  ): Promise<void> {
    const [first, last] = [records[0]!.dynamodb, records.at(-1)!.dynamodb];
    const time = (seconds: number): string => new Date(seconds * 1000).toISOString();
    log(
      `${mapping.stream.arn}: gave up ${records.length} records from ${first.SequenceNumber} on: ${condition}`,
    );
    await world.giveUp({
      requestContext: {
        requestId: crypto.randomUUID(),
        functionArn: `${mapping.functionArn}:$LATEST`,
        condition,
        approximateInvokeCount: attempts,
      },
      responseContext: {
        statusCode: 200,
        executedVersion: '$LATEST',
        functionError: failure.functionError ?? null,
      },
      version: '1.0',
      timestamp: new Date(clock.now()).toISOString(),
      DDBStreamBatchInfo: {
        shardId,
        startSequenceNumber: first.SequenceNumber,
        endSequenceNumber: last.SequenceNumber,
        approximateArrivalOfFirstRecord: time(first.ApproximateCreationDateTime),
        approximateArrivalOfLastRecord: time(last.ApproximateCreationDateTime),
        batchSize: records.length,
        streamArn: mapping.stream.arn,
      },
    });
  }

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(done, isStopped() ? 0 : ms);
      function done(): void {
        clearTimeout(timer);
        stopping.signal.removeEventListener('abort', done);
        resolve();
      }
      stopping.signal.addEventListener('abort', done);
    });

  async function watch(): Promise<void> {
    while (!isStopped()) {
      try {
        const { engineArn, shards: found } = await streams.describe(mapping.stream.tableName);
        for (const shard of found) {
          const parent = shards.get(shard.ParentShardId ?? '');
          // The children of a shard come after it, so that the order of each item's records is kept.
          if (shards.has(shard.ShardId) || parent?.isDone === false) continue;
          const state = { isDone: false, running: Promise.resolve() };
          shards.set(shard.ShardId, state);
          state.running = readShard(engineArn, shard, () => {
            state.isDone = true;
          });
        }
      } catch (error) {
        if (!isStopped()) log(`${mapping.stream.arn}: ${(error as Error).message}`);
      }
      await pause(SHARDS_EVERY_MS);
    }
  }

  const watching = watch();
  return {
    async stop() {
      stopping.abort();
      streams.wake();
      await watching;
      const all = Promise.all([...shards.values()].map(({ running }) => running));
      await Promise.race([all, sleep(STOPS_WITHIN_MS, undefined, { ref: false })]);
    },
  };
}

interface Failure {
  from: number;
  /** The function ran and failed; else it could not be invoked. */
  isOfFunction: boolean;
  functionError?: string;
}

/**
 * What a function with `ReportBatchItemFailures` says. Nothing is success; an answer that can't be right (an identifier
 * that is empty or none of the batch) is a failure of all.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
 */
export function failedItems(payload: unknown, identifiers: string[]): Set<string> | 'all' {
  if (payload === null || payload === undefined) return new Set();
  const items = (payload as { batchItemFailures?: unknown }).batchItemFailures;
  if (items === null || items === undefined) return new Set();
  if (!Array.isArray(items)) return 'all';
  const failed = items.map((item) => (item as { itemIdentifier?: unknown } | null)?.itemIdentifier);
  const known = new Set<unknown>(identifiers);
  return failed.every((each) => known.has(each)) ? new Set(failed as string[]) : 'all';
}
