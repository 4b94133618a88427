import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import { answerCustomResource } from '../lib/custom-resource.ts';
import { registerStage } from '../lib/register-stage.ts';
import { registerRoutes, routeTables } from '../lib/route-table.ts';

const tables = routeTables();

/** `Custom::RekeyRoutes` of CloudFormation. */
export const handler = (event: CloudFormationCustomResourceEvent, context: Context): Promise<void> =>
  answerCustomResource(event, context, async () => {
    const physicalId = await registerRoutes(event, Date.now(), tables);
    await registerStage(event, physicalId, Date.now());
    return physicalId;
  });
