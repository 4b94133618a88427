import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { flushForEvents } from '../lib/flush-events.ts';

/** Kept for the calls that are under way. */
const MARGIN_MS = 8_000;

const metrics = new Metrics();

/** Flushes what API Gateway keeps of keys that may do less than before, for the events that say so. */
export const handler = async (event: SQSEvent, context: Context): Promise<SQSBatchResponse> => {
  const until = Date.now() + context.getRemainingTimeInMillis() - MARGIN_MS;
  const { response, lag_seconds, pending } = await flushForEvents(event, until);
  if (lag_seconds !== undefined) {
    metrics.addMetric('flush_lag_seconds', MetricUnit.Seconds, lag_seconds);
    metrics.addMetric('flushes_pending', MetricUnit.Count, pending);
  }
  metrics.publishStoredMetrics();
  return response;
};
