import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import { answerCustomResource } from '../lib/custom-resource.ts';
import { systemOrigin } from '../lib/event.ts';
import { registerStage } from '../lib/register-stage.ts';
import { registerRoutes } from '../lib/route-table.ts';

/** `Custom::RekeyRoutes` of CloudFormation. */
export const handler = (event: CloudFormationCustomResourceEvent, context: Context): Promise<void> =>
  answerCustomResource(event, context, async () => {
    const origin = systemOrigin('register-routes', Date.now(), context.awsRequestId);
    const physicalId = await registerRoutes(event, origin);
    await registerStage(event, physicalId, origin.now);
    return physicalId;
  });
