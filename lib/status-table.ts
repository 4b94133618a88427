import { PutCommand } from '@aws-sdk/lib-dynamodb';
import { z } from 'zod';
import { Instant } from './api-key.schema.ts';
import { CANARY_STAGES, CanarySample, type CanaryStage } from './canary-sample.ts';
import { dueItems } from './due-index.ts';
import { environmentTable, type KeyTable, names, query, readItem, send } from './table-client.ts';

const SAMPLES = 'canary_samples';
/** Samples are kept for three days: `GET /status` looks at one, whoever looks into the table has a weekend. */
const KEPT_SECONDS = 3 * 24 * 60 * 60;
/** A day has 288 runs of five minutes; with some by hand no more than this are read. */
const MOST_SAMPLES = 500;

/** What says of itself that it is alive. */
export type HeartbeatOf = 'sweep' | 'publishing' | 'delivery';

export const Heartbeat = z.object({
  beat_at: Instant,
  /** How late it was then. */
  late_seconds: z.number().min(0),
});
export type Heartbeat = z.infer<typeof Heartbeat>;

const heartbeatPlace = (of: HeartbeatOf) => ({ pk: 'heartbeats', sk: of });

export async function putHeartbeat(
  of: HeartbeatOf,
  late_seconds: number,
  now: number,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const beat: Heartbeat = { beat_at: new Date(now).toISOString(), late_seconds };
  await send(table, new PutCommand({ TableName: table.tableName, Item: { ...heartbeatPlace(of), ...beat } }));
}

export async function getHeartbeat(
  of: HeartbeatOf,
  table: KeyTable = environmentTable(),
): Promise<Heartbeat | undefined> {
  const item = await readItem(table, heartbeatPlace(of));
  return item && Heartbeat.parse(item);
}

export async function putSample(sample: CanarySample, table: KeyTable = environmentTable()): Promise<void> {
  await send(
    table,
    new PutCommand({
      TableName: table.tableName,
      Item: {
        pk: SAMPLES,
        sk: `${sample.canary_stage}/${sample.measured_at}`,
        ...sample,
        ttl: Math.floor(Date.parse(sample.measured_at) / 1000) + KEPT_SECONDS,
      },
    }),
  );
}

/** The samples of a stage since then, the newest first. @param since epoch milliseconds */
async function samplesOf(stage: CanaryStage, since: number, table: KeyTable): Promise<CanarySample[]> {
  const page = await query(table, {
    KeyConditionExpression: '#pk = :samples AND #sk BETWEEN :since AND :end',
    ExpressionAttributeNames: names('pk', 'sk'),
    ExpressionAttributeValues: {
      ':samples': SAMPLES,
      ':since': `${stage}/${new Date(since).toISOString()}`,
      ':end': `${stage}/~`,
    },
    ScanIndexForward: false,
    Limit: MOST_SAMPLES,
  });
  return (page.Items ?? []).map((item) => CanarySample.parse(item));
}

export async function readSamples(
  since: number,
  table: KeyTable = environmentTable(),
): Promise<Record<CanaryStage, CanarySample[]>> {
  const [cached, uncached] = await Promise.all(CANARY_STAGES.map((stage) => samplesOf(stage, since, table)));
  return { cached: cached!, uncached: uncached! };
}

/** Since when the longest waiting item of these shards has been due; undefined: nothing is. */
export async function oldestDue(
  shards: readonly string[],
  now: number,
  table: KeyTable = environmentTable(),
): Promise<string | undefined> {
  const first = await Promise.all(
    shards.map(async (shard) => {
      for await (const { next_action_at } of dueItems(shard, now, table, 1)) return next_action_at;
      return undefined;
    }),
  );
  return first.filter((at) => at !== undefined).toSorted()[0];
}
