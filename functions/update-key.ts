import { serve } from '../lib/operation.ts';
import { updateKey } from '../lib/operations/update-key.ts';

export const handler = serve(updateKey);
