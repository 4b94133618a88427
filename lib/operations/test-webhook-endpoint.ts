import { newDelivery, publicDelivery } from '../delivery.ts';
import { sendDeliveries } from '../delivery-queue.ts';
import { putDelivery } from '../delivery-table.ts';
import { laneOf } from '../webhook-endpoint.ts';
import { testEvent } from '../webhook-endpoint-event.ts';
import { defineOperation } from './definition.ts';
import { exampleDelivery } from './example-webhook.ts';
import { manageableEndpoint } from './visible-endpoint.ts';
import { OneDelivery } from './webhook-answers.schema.ts';
import { endpointIds } from './webhook-ids.schema.ts';

export const testWebhookEndpoint = defineOperation({
  name: 'test-webhook-endpoint',
  method: 'POST',
  path: '/webhook-endpoints/{id}/test',
  ids: endpointIds,
  scope: 'webhooks:manage',
  summary: 'Send a test to a webhook endpoint',
  description:
    'Sends an event of the type `webhook_endpoint.test`, once and without another try, also to a disabled endpoint. How it went is in its deliveries. The event is not in the trail.',
  answer: { status: 202, description: 'The delivery of the test.', schema: OneDelivery },
  problems: ['environment_forbidden', 'not_found'],
  examples: {
    answer: {
      delivery: {
        ...exampleDelivery,
        event_type: 'webhook_endpoint.test',
        attempts: [],
        attempt_count: 0,
        next_attempt_at: exampleDelivery.created_at,
      },
    },
  },
  async run({ caller, id, now, origin }) {
    const endpoint = await manageableEndpoint(caller, id);
    const event = testEvent(endpoint, origin);
    const about = { id: event.id, webhook_endpoint_id: id, event_type: event.type, held: false };
    const delivery = newDelivery(about, { event: JSON.stringify(event) }, now);
    await putDelivery(delivery);
    await sendDeliveries([{ webhook_endpoint_id: id, id: event.id, lane: laneOf(endpoint, now) }]);
    return { delivery: publicDelivery(delivery) };
  },
});
