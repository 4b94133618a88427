import { serve } from '../lib/operation.ts';
import { deleteWebhookEndpoint } from '../lib/operations/delete-webhook-endpoint.ts';

export const handler = serve(deleteWebhookEndpoint);
