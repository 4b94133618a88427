import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { DeliveryCounts } from './deliver-webhook.ts';

/** infra/webhooks.ts makes alarms of these. */
const metrics = new Metrics();

/** Writes how attempts ended as metrics (EMF, a line of the log). Nothing of what was sent is in them. */
export function countAttempts({ succeeded, failed, gone, moved }: DeliveryCounts): void {
  metrics.addMetric('deliveries_succeeded', MetricUnit.Count, succeeded);
  metrics.addMetric('deliveries_failed', MetricUnit.Count, failed + gone);
  metrics.addMetric('deliveries_moved', MetricUnit.Count, moved);
  metrics.publishStoredMetrics();
}
