import { serve } from '../lib/operation.ts';
import { listWebhookDeliveries } from '../lib/operations/list-webhook-deliveries.ts';

export const handler = serve(listWebhookDeliveries);
