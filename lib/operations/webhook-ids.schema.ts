import { EventId } from '../event.schema.ts';
import { WebhookEndpointId } from '../webhook-endpoint.schema.ts';
import { exampleDelivery, exampleEndpoint } from './example-webhook.ts';

const id = WebhookEndpointId.meta({ example: exampleEndpoint.id });

/** The ids of paths under one webhook endpoint. */
export const endpointIds = { id };

/** The ids of paths under one delivery to it. */
export const deliveryIds = { id, delivery_id: EventId.meta({ example: exampleDelivery.id }) };
