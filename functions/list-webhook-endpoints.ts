import { serve } from '../lib/operation.ts';
import { listWebhookEndpoints } from '../lib/operations/list-webhook-endpoints.ts';

export const handler = serve(listWebhookEndpoints);
