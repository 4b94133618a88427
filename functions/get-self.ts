import { serve } from '../lib/operation.ts';
import { getSelf } from '../lib/operations/get-self.ts';

export const handler = serve(getSelf);
