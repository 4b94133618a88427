import { serve } from '../lib/operation.ts';
import { getWebhookEndpoint } from '../lib/operations/get-webhook-endpoint.ts';

export const handler = serve(getWebhookEndpoint);
