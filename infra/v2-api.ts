import { CfnIntegration, type CfnIntegrationProps, CfnRoute, CfnStage } from 'aws-cdk-lib/aws-apigatewayv2';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import type { Protection } from './protection.ts';

/** What HTTP APIs and WebSocket APIs have in common: API Gateway's version 2. */
interface V2Api {
  construct: Construct;
  apiId: string;
  protection: Protection;
}

/** The one stage, deployed with each change. A route that is there before the stage names its scopes is refused meanwhile. */
export function autoDeployedStage(
  { construct, apiId, protection }: V2Api,
  stageName: string,
  accessLog: Record<string, string>,
): CfnStage {
  const { routes, stageVariables, throttle, accessLogs } = protection;
  const stage = new CfnStage(construct, 'Stage', {
    apiId,
    stageName,
    autoDeploy: true,
    stageVariables,
    accessLogSettings: { destinationArn: accessLogs.logGroupArn, format: JSON.stringify(accessLog) },
    defaultRouteSettings: {
      throttlingRateLimit: throttle.requestsPerSecond,
      throttlingBurstLimit: throttle.burst,
    },
  });
  stage.node.addDependency(routes.registration);
  return stage;
}

/**
 * A route with its handler, which API Gateway may then invoke.
 *
 * @param authorizerId absent: nothing is asked for a key
 */
export function addV2Route(
  { construct, apiId, protection }: V2Api,
  route: string,
  handler: IFunction,
  {
    authorizerId,
    ...how
  }: Pick<CfnIntegrationProps, 'integrationUri' | 'payloadFormatVersion'> & {
    authorizerId?: string | undefined;
  },
): CfnRoute {
  const integration = new CfnIntegration(construct, `${route} Integration`, {
    apiId,
    integrationType: 'AWS_PROXY',
    ...how,
  });
  protection.allowHandler(handler, route);
  return new CfnRoute(construct, route, {
    apiId,
    routeKey: route,
    target: `integrations/${integration.ref}`,
    ...(authorizerId === undefined
      ? { authorizationType: 'NONE' }
      : { authorizationType: 'CUSTOM', authorizerId }),
  });
}
