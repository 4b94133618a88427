import { serve } from '../lib/operation.ts';
import { getKey } from '../lib/operations/get-key.ts';

export const handler = serve(getKey);
