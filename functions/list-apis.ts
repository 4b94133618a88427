import { serve } from '../lib/operation.ts';
import { listApis } from '../lib/operations/list-apis.ts';

export const handler = serve(listApis);
