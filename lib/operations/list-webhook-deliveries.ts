import { z } from 'zod';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import { Delivery, DeliveryStatus } from '../delivery.schema.ts';
import { publicDelivery } from '../delivery.ts';
import { listDeliveries } from '../delivery-table.ts';
import { defineOperation } from './definition.ts';
import { exampleDelivery } from './example-webhook.ts';
import { Cursor, Limit } from './page-query.schema.ts';
import { visibleEndpoint } from './visible-endpoint.ts';
import { NextCursor } from './webhook-answers.schema.ts';
import { endpointIds } from './webhook-ids.schema.ts';

const DeliveryPage = z
  .object({ data: z.array(Delivery), next_cursor: NextCursor })
  .meta({ id: 'DeliveryPage' });

export const listWebhookDeliveries = defineOperation({
  name: 'list-webhook-deliveries',
  method: 'GET',
  path: '/webhook-endpoints/{id}/deliveries',
  ids: endpointIds,
  scope: 'webhooks:read',
  summary: "List a webhook endpoint's deliveries",
  description:
    'Newest event first; they are kept for 30 days. A filtered page may be short, even empty, and still have a next one: go on until `next_cursor` is null.',
  query: z.strictObject({
    status: DeliveryStatus.optional().meta({ description: 'Only deliveries that have this status.' }),
    limit: Limit,
    cursor: Cursor.optional(),
  }),
  answer: { status: 200, description: 'A page of deliveries.', schema: DeliveryPage },
  problems: ['invalid_cursor', 'not_found'],
  examples: {
    query: { status: 'pending', limit: '20' },
    answer: { data: [exampleDelivery], next_cursor: null },
  },
  async run({ caller, id, query: { status, limit, cursor } }) {
    await visibleEndpoint(caller, id);
    const bound = {
      operation: 'list-webhook-deliveries',
      caller_key_id: caller.key_id,
      query: { id, status, limit },
    };
    const secret = await cursorSecret();
    const { deliveries, last } = await listDeliveries({
      webhook_endpoint_id: id,
      order: 'newest_first',
      limit,
      after: cursor === undefined ? undefined : String(readCursor(cursor, bound, secret)),
      ...(status && { filter: (delivery) => delivery.status === status }),
    });
    return {
      data: deliveries.map(publicDelivery),
      next_cursor: last === undefined ? null : signCursor(last, bound, secret),
    };
  },
});
