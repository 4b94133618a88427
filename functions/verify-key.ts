import { serve } from '../lib/operation.ts';
import { verifyKey } from '../lib/operations/verify-key.ts';

export const handler = serve(verifyKey);
