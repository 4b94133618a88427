import { serve } from '../lib/operation.ts';
import { testWebhookEndpoint } from '../lib/operations/test-webhook-endpoint.ts';

export const handler = serve(testWebhookEndpoint);
