import { serve } from '../lib/operation.ts';
import { reportGithubLeaks } from '../lib/operations/report-github-leaks.ts';

export const handler = serve(reportGithubLeaks);
