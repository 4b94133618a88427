import { serve } from '../lib/operation.ts';
import { updateWebhookEndpoint } from '../lib/operations/update-webhook-endpoint.ts';

export const handler = serve(updateWebhookEndpoint);
