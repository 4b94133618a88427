import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Context } from 'aws-lambda';
import { runCanary } from '../lib/canary.ts';
import type { CanarySample } from '../lib/canary-sample.ts';
import { canaryUrls, keyPrefix } from '../lib/environment.ts';
import { systemOrigin } from '../lib/event.ts';
import { putSample } from '../lib/status-table.ts';

const urls = canaryUrls();
const prefix = keyPrefix();
const metrics = new Metrics();

/** Started by the schedule. What it returns has no key in it. */
export const handler = async (_event: unknown, context: Context): Promise<CanarySample[]> => {
  const origin = systemOrigin('run-canary', Date.now(), context.awsRequestId);
  const samples = await runCanary(urls, prefix, origin);
  for (const sample of samples) {
    const single = metrics.singleMetric();
    single.addDimension('stage', sample.canary_stage);
    single.addMetric('revocation_seconds', MetricUnit.Seconds, sample.refused_after_ms / 1000);
    await putSample(sample);
  }
  return samples;
};
