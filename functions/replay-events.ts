import { serve } from '../lib/operation.ts';
import { replayEvents } from '../lib/operations/replay-events.ts';

export const handler = serve(replayEvents);
