import { serve } from '../lib/operation.ts';
import { rotateSelf } from '../lib/operations/rotate-self.ts';

export const handler = serve(rotateSelf);
