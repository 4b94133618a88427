import { serve } from '../lib/operation.ts';
import { rotateKey } from '../lib/operations/rotate-key.ts';

export const handler = serve(rotateKey);
