import { z } from 'zod';
import { EndpointStatus } from '../webhook-endpoint.schema.ts';
import { decideUpdate, publicEndpoint } from '../webhook-endpoint.ts';
import { Description, SentPatterns, SentUrl } from '../webhook-endpoint-fields.schema.ts';
import { updateEndpoint } from '../webhook-endpoint-table.ts';
import { acceptedUrl } from './accepted-url.ts';
import { defineOperation } from './definition.ts';
import { exampleEndpoint } from './example-webhook.ts';
import { manageableEndpoint } from './visible-endpoint.ts';
import { OneEndpoint } from './webhook-answers.schema.ts';
import { endpointIds } from './webhook-ids.schema.ts';

const UpdateWebhookEndpoint = z
  .strictObject({
    url: SentUrl.optional(),
    events: SentPatterns.optional(),
    description: Description.nullable().optional(),
    status: EndpointStatus.optional().meta({
      description: '`disabled`: nothing is sent, events are held. `enabled`: send again.',
    }),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), {
    message: 'must change something: url, events, description or status',
  })
  .meta({ id: 'UpdateWebhookEndpoint' });

export const updateWebhookEndpoint = defineOperation({
  name: 'update-webhook-endpoint',
  method: 'PATCH',
  path: '/webhook-endpoints/{id}',
  ids: endpointIds,
  scope: 'webhooks:manage',
  summary: 'Change a webhook endpoint',
  description:
    'Changes the fields that are sent; the secret stays. Enabling does not send by itself what was held: redeliver it.',
  body: UpdateWebhookEndpoint,
  answer: { status: 200, description: 'The endpoint after the change.', schema: OneEndpoint },
  problems: ['environment_forbidden', 'not_found', 'webhook_url_refused'],
  examples: {
    body: { events: ['api_key.*'], status: 'enabled' },
    answer: { webhook_endpoint: exampleEndpoint },
  },
  async run({ caller, id, body, now, origin }) {
    const seen = await manageableEndpoint(caller, id);
    const wanted = { ...body, ...(body.url !== undefined && { url: await acceptedUrl(body.url) }) };
    const record = await updateEndpoint(seen, (current) => decideUpdate(current, wanted, now), origin);
    return { webhook_endpoint: publicEndpoint(record) };
  },
});
