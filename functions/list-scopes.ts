import { serve } from '../lib/operation.ts';
import { listScopes } from '../lib/operations/list-scopes.ts';

export const handler = serve(listScopes);
