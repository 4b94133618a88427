import { serve } from '../lib/operation.ts';
import { getStatus } from '../lib/operations/get-status.ts';

export const handler = serve(getStatus);
