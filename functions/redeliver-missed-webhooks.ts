import { serve } from '../lib/operation.ts';
import { redeliverMissedWebhooks } from '../lib/operations/redeliver-missed-webhooks.ts';

export const handler = serve(redeliverMissedWebhooks);
