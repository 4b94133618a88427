import { serve } from '../lib/operation.ts';
import { putApi } from '../lib/operations/put-api.ts';

export const handler = serve(putApi);
