import { serve } from '../lib/operation.ts';
import { listKeyEvents } from '../lib/operations/list-key-events.ts';

export const handler = serve(listKeyEvents);
