import { serve } from '../lib/operation.ts';
import { deleteApi } from '../lib/operations/delete-api.ts';

export const handler = serve(deleteApi);
