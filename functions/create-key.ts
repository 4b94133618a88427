import { serve } from '../lib/operation.ts';
import { createKey } from '../lib/operations/create-key.ts';

export const handler = serve(createKey);
