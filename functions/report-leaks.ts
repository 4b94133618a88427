import { serve } from '../lib/operation.ts';
import { reportLeaks } from '../lib/operations/report-leaks.ts';

export const handler = serve(reportLeaks);
