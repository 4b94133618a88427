import { z } from 'zod';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import { listDeliveries } from '../delivery-table.ts';
import { demandEnabled, redeliver } from '../redelivery.ts';
import { defineOperation } from './definition.ts';
import { Cursor } from './page-query.schema.ts';
import { manageableEndpoint } from './visible-endpoint.ts';
import { NextCursor } from './webhook-answers.schema.ts';
import { endpointIds } from './webhook-ids.schema.ts';

/** Of one request. */
const MOST_AT_ONCE = 100;

const RedeliverMissed = z.strictObject({ cursor: Cursor.optional() }).meta({ id: 'RedeliverMissedWebhooks' });

const Redelivered = z
  .object({
    redelivered: z.int().min(0).meta({ description: 'How many were begun again by this request.' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'RedeliveredWebhooks' });

export const redeliverMissedWebhooks = defineOperation({
  name: 'redeliver-missed-webhooks',
  method: 'POST',
  path: '/webhook-endpoints/{id}/deliveries/redeliver',
  ids: endpointIds,
  scope: 'webhooks:manage',
  summary: 'Deliver everything again that was missed',
  description:
    'Begins every held and every failed delivery again, the oldest first, at most 100 with a request: go on with `cursor` until `next_cursor` is null.',
  body: RedeliverMissed,
  bodyOptional: true,
  answer: { status: 202, description: 'How many, and whether there are more.', schema: Redelivered },
  problems: ['environment_forbidden', 'invalid_cursor', 'not_found', 'webhook_endpoint_disabled'],
  examples: { body: {}, answer: { redelivered: 42, next_cursor: null } },
  async run({ caller, id, body: { cursor }, now }) {
    const endpoint = await manageableEndpoint(caller, id);
    demandEnabled(endpoint);
    const bound = {
      operation: 'redeliver-missed-webhooks',
      caller_key_id: caller.key_id,
      query: { id },
    };
    const secret = await cursorSecret();
    const { deliveries, last } = await listDeliveries({
      webhook_endpoint_id: id,
      order: 'oldest_first',
      limit: MOST_AT_ONCE,
      after: cursor === undefined ? undefined : String(readCursor(cursor, bound, secret)),
      filter: ({ status, event_pk }) => (status === 'held' || status === 'failed') && event_pk !== null,
    });
    const begun = await redeliver(endpoint, deliveries, now);
    return {
      redelivered: begun.length,
      next_cursor: last === undefined ? null : signCursor(last, bound, secret),
    };
  },
});
