import { serve } from '../lib/operation.ts';
import { revokeKey } from '../lib/operations/revoke-key.ts';

export const handler = serve(revokeKey);
