import { serve } from '../lib/operation.ts';
import { redeliverWebhook } from '../lib/operations/redeliver-webhook.ts';

export const handler = serve(redeliverWebhook);
