import { serve } from '../lib/operation.ts';
import { compromiseKey } from '../lib/operations/compromise-key.ts';

export const handler = serve(compromiseKey);
