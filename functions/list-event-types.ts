import { serve } from '../lib/operation.ts';
import { listEventTypes } from '../lib/operations/list-event-types.ts';

export const handler = serve(listEventTypes);
