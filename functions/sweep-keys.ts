import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Context } from 'aws-lambda';
import { retentionDays, scheduleSettings } from '../lib/environment.ts';
import { putHeartbeat } from '../lib/status-table.ts';
import { type SweepResult, sweep } from '../lib/sweep.ts';
import { continueSweep } from '../lib/unfinished-sweep.ts';

/** Before its time-out the sweep stops: keys that are begun are done by then, and what is left is said. */
const RESERVE_MS = 30_000;

const settings = { ...scheduleSettings(), retention_days: retentionDays() };
const metrics = new Metrics();

/** Started by the schedule, and by a sweep that could not finish. What the event says does not matter. */
export const handler = async (_event: unknown, context: Context): Promise<SweepResult> => {
  const result = await sweep(
    {
      hasTime: () => context.getRemainingTimeInMillis() > RESERVE_MS,
      request_id: context.awsRequestId,
    },
    settings,
  );
  metrics.addMetric('oldest_due_age_seconds', MetricUnit.Seconds, result.oldest_due_age_seconds);
  metrics.addMetric('keys_swept', MetricUnit.Count, result.keys);
  metrics.addMetric('events_recorded', MetricUnit.Count, result.events);
  metrics.addMetric('overdue_keys', MetricUnit.Count, result.overdue);
  metrics.addMetric('keys_failed', MetricUnit.Count, result.failed);
  metrics.publishStoredMetrics();
  await putHeartbeat('sweep', result.oldest_due_age_seconds, Date.now());
  // One that got nothing done would only go round in circles: the schedule tries again.
  if (!result.finished && result.events > 0) await continueSweep();
  return result;
};
