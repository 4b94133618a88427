import { z } from 'zod';
import { GracePeriodHours } from '../key-fields.schema.ts';
import { decideSecretRotation, publicEndpoint } from '../webhook-endpoint.ts';
import { updateEndpoint } from '../webhook-endpoint-table.ts';
import { webhookRootSecret } from '../webhook-root-secret.ts';
import { endpointSecret } from '../webhook-secret.ts';
import { defineOperation } from './definition.ts';
import { exampleEndpoint } from './example-webhook.ts';
import { manageableEndpoint } from './visible-endpoint.ts';
import { EndpointWithSecret } from './webhook-answers.schema.ts';
import { endpointIds } from './webhook-ids.schema.ts';

const RotateWebhookSecret = z
  .strictObject({
    grace_period_hours: GracePeriodHours.default(24).meta({
      description: 'Hours during which the old secret signs as well. 0 ends it at once.',
    }),
  })
  .meta({ id: 'RotateWebhookSecret' });

export const rotateWebhookSecret = defineOperation({
  name: 'rotate-webhook-secret',
  method: 'POST',
  path: '/webhook-endpoints/{id}/rotate-secret',
  ids: endpointIds,
  scope: 'webhooks:manage',
  summary: "Rotate a webhook endpoint's secret",
  description:
    'Shows the new secret this once. Until the grace period ends, each delivery has a signature of the new secret and one of the old. Rotating again during the grace keeps the older secrets signing, the last three of them.',
  body: RotateWebhookSecret,
  bodyOptional: true,
  answer: { status: 200, description: 'The endpoint, and its new secret.', schema: EndpointWithSecret },
  problems: ['environment_forbidden', 'not_found'],
  examples: {
    body: { grace_period_hours: 48 },
    answer: {
      webhook_endpoint: {
        ...exampleEndpoint,
        secret_version: 2,
        previous_secret_until: '2026-12-26T09:00:00.000Z',
      },
      secret: 'whsec_…',
    },
  },
  async run({ caller, id, body, now, origin }) {
    const seen = await manageableEndpoint(caller, id);
    const root = await webhookRootSecret();
    const record = await updateEndpoint(
      seen,
      (current) => decideSecretRotation(current, body.grace_period_hours, now),
      origin,
    );
    return {
      webhook_endpoint: publicEndpoint(record),
      secret: endpointSecret(root, id, record.secret_version).reveal(),
    };
  },
});
