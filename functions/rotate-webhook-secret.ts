import { serve } from '../lib/operation.ts';
import { rotateWebhookSecret } from '../lib/operations/rotate-webhook-secret.ts';

export const handler = serve(rotateWebhookSecret);
