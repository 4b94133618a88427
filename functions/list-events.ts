import { serve } from '../lib/operation.ts';
import { listEvents } from '../lib/operations/list-events.ts';

export const handler = serve(listEvents);
