import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Context } from 'aws-lambda';
import { retentionDays } from '../lib/environment.ts';
import { type Finished, finishCompromises } from '../lib/finish-compromises.ts';
import { ReuseOnBus, revokeReused } from '../lib/revoke-reused.ts';

/** Kept for the calls that are under way. */
const RESERVE_MS = 15_000;

const retention_days = retentionDays();
const metrics = new Metrics();

/** Every minute: goes on with compromises that a request began and did not finish. And at once when the bus tells of a reuse. */
export const handler = async (event: unknown, context: Context): Promise<Finished> => {
  const hasTime = () => context.getRemainingTimeInMillis() > RESERVE_MS;
  const reuse = ReuseOnBus.safeParse(event);
  if (reuse.success) await revokeReused(reuse.data.detail, { now: Date.now(), hasTime, retention_days });
  const result = await finishCompromises({ hasTime, retention_days });
  metrics.addMetric('oldest_compromise_seconds', MetricUnit.Seconds, result.oldest_seconds);
  metrics.publishStoredMetrics();
  return result;
};
