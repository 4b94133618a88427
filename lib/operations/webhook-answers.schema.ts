import { z } from 'zod';
import { Delivery } from '../delivery.schema.ts';
import { WebhookEndpoint } from '../webhook-endpoint.schema.ts';

export const OneEndpoint = z.object({ webhook_endpoint: WebhookEndpoint }).meta({ id: 'OneWebhookEndpoint' });

export const OneDelivery = z.object({ delivery: Delivery }).meta({ id: 'OneDelivery' });

/** The endpoint with its secret, which is shown this once. */
export const EndpointWithSecret = OneEndpoint.extend({
  secret: z.string().meta({
    description:
      '`whsec_…`: verifies the signatures, with any Standard Webhooks library. This answer is the only place where it is ever shown.',
  }),
}).meta({ id: 'WebhookEndpointWithSecret' });

export const NextCursor = z
  .string()
  .nullable()
  .meta({ description: 'Send it as `cursor` for the next page; null: this was the last one.' });
