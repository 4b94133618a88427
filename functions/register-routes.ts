import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import { answerCustomResource } from '../lib/custom-resource.ts';
import { registerRoutes, routeTables } from '../lib/route-table.ts';

const tables = routeTables();

/** `Custom::RekeyRoutes` of CloudFormation. */
export const handler = (event: CloudFormationCustomResourceEvent, context: Context): Promise<void> =>
  answerCustomResource(event, context, () => registerRoutes(event, Date.now(), tables));
