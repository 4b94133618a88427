import { serve } from '../lib/operation.ts';
import { listLineage } from '../lib/operations/list-lineage.ts';

export const handler = serve(listLineage);
