import { serve } from '../lib/operation.ts';
import { createWebhookEndpoint } from '../lib/operations/create-webhook-endpoint.ts';

export const handler = serve(createWebhookEndpoint);
