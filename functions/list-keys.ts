import { serve } from '../lib/operation.ts';
import { listKeys } from '../lib/operations/list-keys.ts';

export const handler = serve(listKeys);
