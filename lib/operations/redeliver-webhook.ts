import { publicDelivery } from '../delivery.ts';
import { getDelivery } from '../delivery-table.ts';
import { NotFound } from '../problem.ts';
import { demandEnabled, redeliver } from '../redelivery.ts';
import { defineOperation } from './definition.ts';
import { exampleDelivery } from './example-webhook.ts';
import { manageableEndpoint } from './visible-endpoint.ts';
import { OneDelivery } from './webhook-answers.schema.ts';
import { deliveryIds } from './webhook-ids.schema.ts';

export const redeliverWebhook = defineOperation({
  name: 'redeliver-webhook',
  method: 'POST',
  path: '/webhook-endpoints/{id}/deliveries/{delivery_id}/redeliver',
  ids: deliveryIds,
  scope: 'webhooks:manage',
  summary: 'Deliver an event again',
  description:
    'Begins the delivery again, whatever became of it: at once, and then as often as a new one. The body and the `webhook-id` are the same.',
  answer: { status: 202, description: 'The delivery.', schema: OneDelivery },
  problems: ['environment_forbidden', 'not_found', 'webhook_endpoint_disabled'],
  examples: { answer: { delivery: exampleDelivery } },
  async run({ caller, id, ids, now }) {
    const endpoint = await manageableEndpoint(caller, id);
    demandEnabled(endpoint);
    const seen = await getDelivery({ webhook_endpoint_id: id, id: ids['delivery_id']! });
    if (!seen) throw new NotFound();
    const [delivery] = await redeliver(endpoint, [seen], now);
    return { delivery: publicDelivery(delivery!) };
  },
});
