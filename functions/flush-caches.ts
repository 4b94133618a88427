import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { flushForEvents } from '../lib/flush-events.ts';
import { putHeartbeat } from '../lib/status-table.ts';

/** Kept for the calls that are under way. */
const MARGIN_MS = 8_000;

/** A process says at most once a minute how long an event takes to it. */
const BEAT_EVERY_MS = 60_000;
let beaten = Number.NEGATIVE_INFINITY;

const metrics = new Metrics();

/** Flushes what API Gateway keeps of keys that may do less than before, for the events that say so. */
export const handler = async (event: SQSEvent, context: Context): Promise<SQSBatchResponse> => {
  const until = Date.now() + context.getRemainingTimeInMillis() - MARGIN_MS;
  const { response, lag_seconds, publish_lag_seconds, pending } = await flushForEvents(event, until);
  if (lag_seconds !== undefined) {
    metrics.addMetric('flush_lag_seconds', MetricUnit.Seconds, lag_seconds);
    metrics.addMetric('flushes_pending', MetricUnit.Count, pending);
  }
  metrics.publishStoredMetrics();
  if (publish_lag_seconds !== undefined && performance.now() - beaten > BEAT_EVERY_MS) {
    await putHeartbeat('publishing', publish_lag_seconds, Date.now());
    beaten = performance.now();
  }
  return response;
};
