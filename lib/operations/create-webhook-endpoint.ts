import { z } from 'zod';
import { maySee } from '../caller.ts';
import { OwnerId } from '../key-fields.schema.ts';
import { newId } from '../key-format.ts';
import { OwnerForbidden } from '../problem.ts';
import type { WebhookEndpointRecord } from '../webhook-endpoint.schema.ts';
import { ALL_OWNERS, demandLiveCaller, publicEndpoint } from '../webhook-endpoint.ts';
import { Description, SentPatterns, SentUrl } from '../webhook-endpoint-fields.schema.ts';
import { createEndpoint } from '../webhook-endpoint-table.ts';
import { webhookRootSecret } from '../webhook-root-secret.ts';
import { endpointSecret } from '../webhook-secret.ts';
import { acceptedUrl } from './accepted-url.ts';
import { defineOperation } from './definition.ts';
import { exampleEndpoint } from './example-webhook.ts';
import { EndpointWithSecret } from './webhook-answers.schema.ts';

const CreateWebhookEndpoint = z
  .strictObject({
    url: SentUrl,
    events: SentPatterns,
    owner_id: OwnerId.optional().meta({
      description: "Whose events. By default the calling key's owner; another one needs owner_access `any`.",
    }),
    all_owners: z
      .boolean('must be true or false')
      .default(false)
      .meta({ description: 'Listen to the events of every owner. Needs owner_access `any`.' }),
    description: Description.optional(),
  })
  .meta({ id: 'CreateWebhookEndpoint' });

const FIRST_SECRET = 1;

export const createWebhookEndpoint = defineOperation({
  name: 'create-webhook-endpoint',
  method: 'POST',
  path: '/webhook-endpoints',
  scope: 'webhooks:manage',
  summary: 'Register a webhook endpoint',
  description:
    'Events are sent to the URL as they happen, signed as Standard Webhooks has it. Shows the secret this once. An owner has at most 20 endpoints.',
  body: CreateWebhookEndpoint,
  answer: { status: 201, description: 'The endpoint, and its secret.', schema: EndpointWithSecret },
  problems: ['owner_forbidden', 'environment_forbidden', 'webhook_endpoint_limit', 'webhook_url_refused'],
  examples: {
    body: {
      url: exampleEndpoint.url,
      events: exampleEndpoint.events,
      owner_id: exampleEndpoint.owner_id,
      description: exampleEndpoint.description,
    },
    answer: { webhook_endpoint: exampleEndpoint, secret: 'whsec_…' },
  },
  async run({ caller, body, now, origin }) {
    const { events, all_owners, description = null } = body;
    const owner_id = body.owner_id ?? caller.owner_id;
    if (!maySee(caller, { owner_id })) throw new OwnerForbidden();
    if (all_owners && caller.owner_access !== 'any')
      throw new OwnerForbidden(
        'Only a key whose owner_access is any may listen to all owners. Leave all_owners out, or call with one.',
      );
    demandLiveCaller(caller);
    const [url, root] = await Promise.all([acceptedUrl(body.url), webhookRootSecret()]);

    const record: WebhookEndpointRecord = {
      id: newId('whe_', now),
      owner_id,
      all_owners,
      webhook_owner: all_owners ? ALL_OWNERS : owner_id,
      url,
      events,
      description,
      created_at: new Date(now).toISOString(),
      created_by: caller.key_id,
      disabled_at: null,
      disabled_reason: null,
      failing_since: null,
      slow_until: null,
      secret_version: FIRST_SECRET,
      previous_secret_until: null,
      oldest_secret_version: FIRST_SECRET,
      version: now,
    };
    await createEndpoint(record, origin);
    return {
      webhook_endpoint: publicEndpoint(record),
      secret: endpointSecret(root, record.id, FIRST_SECRET).reveal(),
    };
  },
});
