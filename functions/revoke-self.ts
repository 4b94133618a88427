import { serve } from '../lib/operation.ts';
import { revokeSelf } from '../lib/operations/revoke-self.ts';

export const handler = serve(revokeSelf);
