import { z } from 'zod';
import { maySee } from '../caller.ts';
import { OwnerId } from '../key-fields.schema.ts';
import { OwnerForbidden } from '../problem.ts';
import { WebhookEndpoint, type WebhookEndpointRecord } from '../webhook-endpoint.schema.ts';
import { publicEndpoint } from '../webhook-endpoint.ts';
import { endpointsOf } from '../webhook-endpoint-table.ts';
import { defineOperation } from './definition.ts';
import { exampleEndpoint } from './example-webhook.ts';
import { pageOfAll } from './page-of-all.ts';
import { Cursor, Limit } from './page-query.schema.ts';
import { NextCursor } from './webhook-answers.schema.ts';

const EndpointPage = z
  .object({ data: z.array(WebhookEndpoint), next_cursor: NextCursor })
  .meta({ id: 'WebhookEndpointPage' });

export const listWebhookEndpoints = defineOperation({
  name: 'list-webhook-endpoints',
  method: 'GET',
  path: '/webhook-endpoints',
  scope: 'webhooks:read',
  summary: "List an owner's webhook endpoints",
  description:
    'Newest first. Endpoints that listen to all owners are shown to keys whose owner_access is `any`.',
  query: z.strictObject({
    owner_id: OwnerId.optional().meta({
      description:
        "Whose endpoints. By default the calling key's owner; another one needs owner_access `any`.",
    }),
    limit: Limit,
    cursor: Cursor.optional(),
  }),
  answer: { status: 200, description: 'A page of endpoints.', schema: EndpointPage },
  problems: ['invalid_cursor', 'owner_forbidden'],
  examples: { query: { limit: '20' }, answer: { data: [exampleEndpoint], next_cursor: null } },
  async run({ caller, query: { limit, cursor, ...query } }) {
    const owner_id = query.owner_id ?? caller.owner_id;
    if (!maySee(caller, { owner_id })) throw new OwnerForbidden();

    const bound = {
      operation: 'list-webhook-endpoints',
      caller_key_id: caller.key_id,
      query: { owner_id, limit },
    };
    const newestFirst = {
      read: () => endpointsOf(owner_id, { all_owners: caller.owner_access === 'any' }),
      positionOf: ({ id }: WebhookEndpointRecord) => id,
      isAfter: (id: string, after: string) => id < after,
    };
    const { data, next_cursor } = await pageOfAll(newestFirst, { limit, cursor }, bound);
    return { data: data.map(publicEndpoint), next_cursor };
  },
});
