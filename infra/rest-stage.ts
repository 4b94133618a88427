import { Validations } from 'aws-cdk-lib';
import {
  AccessLogFormat,
  LogGroupLogDestination,
  MethodLoggingLevel,
  type RestApiBase,
  type StageOptions,
} from 'aws-cdk-lib/aws-apigateway';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Protection } from './protection.ts';

export const STAGE = 'v1';

/**
 * Of each request, what an operator needs, and nothing that the caller chose freely: no headers, no query string,
 * and the path as declared rather than as sent, since a key may have been put anywhere by mistake.
 */
const ACCESS_LOG = {
  time: '$context.requestTime',
  request_id: '$context.requestId',
  method: '$context.httpMethod',
  route: '$context.resourcePath',
  status: '$context.status',
  source_ip: '$context.identity.sourceIp',
  key_id: '$context.authorizer.key_id',
  owner_id: '$context.authorizer.owner_id',
  refused: '$context.authorizer.code',
  error: '$context.error.responseType',
  latency_ms: '$context.responseLatency',
  authorizer_ms: '$context.authorizer.integrationLatency',
  integration_ms: '$context.integration.latency',
  trace_id: '$context.xrayTraceId',
};

/** The stage of a REST API, however its routes are declared. */
export const stageOptions = ({ stageVariables, throttle, accessLogs }: Protection): StageOptions => ({
  stageName: STAGE,
  variables: stageVariables,
  tracingEnabled: true,
  throttlingRateLimit: throttle.requestsPerSecond,
  throttlingBurstLimit: throttle.burst,
  accessLogDestination: new LogGroupLogDestination(accessLogs),
  accessLogFormat: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
  loggingLevel: MethodLoggingLevel.ERROR,
  // Data traces write headers and bodies to the log, keys among them.
  dataTraceEnabled: false,
});

/** With the stage and without a slash at the end. */
export const urlOf = ({ restApiId, stack }: RestApiBase): string =>
  `https://${restApiId}.execute-api.${stack.region}.${stack.urlSuffix}/${STAGE}`;

/** What a REST API has that was made with `stageOptions`, beside its routes. */
export function completeRestApi(construct: Construct, api: RestApiBase, protection: Protection): void {
  const { routes, logs, ttlSeconds, cacheHeader } = protection;
  // CDK's own output of the URL, under a name nobody chose.
  api.node.tryRemoveChild('Endpoint');
  // A stage serves what was deployed, and its variable must not say otherwise.
  api.latestDeployment?.addToLogicalId({ ttlSeconds, cacheHeader });
  // API Gateway makes this group by itself at the first line, and then it is kept for ever.
  const executionLogs = new LogGroup(construct, 'ExecutionLogs', {
    logGroupName: `API-Gateway-Execution-Logs_${api.restApiId}/${STAGE}`,
    ...logs,
  });
  api.deploymentStage.node.addDependency(routes.registration, executionLogs);

  const reasons = {
    'AwsSolutions-APIG2':
      'Requests are validated in the functions, which answer problem documents with a pointer to each bad field; validators of API Gateway cannot.',
    'AwsSolutions-APIG3':
      'A web ACL is a matter of the account. Every route needs a key of 256 random bits, is throttled, and refuses a malformed key without reading the table.',
    'AwsSolutions-COG4': 'API keys of Rekey authorize here, by a Lambda authorizer; there are no user pools.',
  };
  for (const [id, reason] of Object.entries(reasons)) Validations.of(construct).acknowledge({ id, reason });
}
