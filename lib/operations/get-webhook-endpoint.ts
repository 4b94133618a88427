import { publicEndpoint } from '../webhook-endpoint.ts';
import { defineOperation } from './definition.ts';
import { exampleEndpoint } from './example-webhook.ts';
import { visibleEndpoint } from './visible-endpoint.ts';
import { OneEndpoint } from './webhook-answers.schema.ts';
import { endpointIds } from './webhook-ids.schema.ts';

export const getWebhookEndpoint = defineOperation({
  name: 'get-webhook-endpoint',
  method: 'GET',
  path: '/webhook-endpoints/{id}',
  ids: endpointIds,
  scope: 'webhooks:read',
  summary: 'Get a webhook endpoint',
  description: 'The endpoint as it is now. Its secret is never shown again.',
  answer: { status: 200, description: 'The endpoint.', schema: OneEndpoint },
  problems: ['not_found'],
  examples: { answer: { webhook_endpoint: exampleEndpoint } },
  async run({ caller, id }) {
    return { webhook_endpoint: publicEndpoint(await visibleEndpoint(caller, id)) };
  },
});
