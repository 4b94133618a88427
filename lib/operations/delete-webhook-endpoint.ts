import { z } from 'zod';
import { deleteEndpoint } from '../webhook-endpoint-table.ts';
import { defineOperation } from './definition.ts';
import { manageableEndpoint } from './visible-endpoint.ts';
import { endpointIds } from './webhook-ids.schema.ts';

export const deleteWebhookEndpoint = defineOperation({
  name: 'delete-webhook-endpoint',
  method: 'DELETE',
  path: '/webhook-endpoints/{id}',
  ids: endpointIds,
  scope: 'webhooks:manage',
  summary: 'Delete a webhook endpoint',
  description: 'Nothing more is sent to it, and its deliveries cannot be read any more.',
  answer: { status: 204, description: 'It is deleted.', schema: z.null() },
  problems: ['environment_forbidden', 'not_found'],
  examples: { answer: null },
  async run({ caller, id, origin }) {
    await deleteEndpoint(await manageableEndpoint(caller, id), origin);
    return null;
  },
});
