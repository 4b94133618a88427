import { serve } from '../lib/operation.ts';
import { getApi } from '../lib/operations/get-api.ts';

export const handler = serve(getApi);
