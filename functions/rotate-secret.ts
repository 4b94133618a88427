import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { managementOf } from '../lib/client/management.ts';
import { DueOnBus, deliverRotation, NotDelivered } from '../lib/deliver-rotation.ts';
import { managementUrl } from '../lib/environment.ts';
import { logFailure } from '../lib/error-log.ts';
import { RotationStep, rotateSecret } from '../lib/rotate-secret.ts';
import { secretVersions } from '../lib/secret-versions.ts';

const world = { secrets: secretVersions(), management: managementOf(managementUrl(), fetch) };
const metrics = new Metrics();

/**
 * Secrets Manager calls it for each step of a rotation; an error makes it begin again. And the bus, for a key that is
 * due and to be delivered: then it has Secrets Manager begin.
 */
export const handler = async (event: unknown): Promise<void> => {
  const due = DueOnBus.safeParse(event);
  if (!due.success) return rotateSecret(RotationStep.parse(event), world);
  try {
    await deliverRotation(due.data, world);
    metrics.addMetric('rotations_not_delivered', MetricUnit.Count, 0);
  } catch (error) {
    metrics.addMetric('rotations_not_delivered', MetricUnit.Count, 1);
    logFailure('rotation_not_delivered', error, { api_key_id: due.data.detail.data.api_key.id });
    // Lambda tries again at once. What that would not change is for people, and comes again with the next reminder.
    if (!(error instanceof NotDelivered)) throw error;
  } finally {
    metrics.publishStoredMetrics();
  }
};
