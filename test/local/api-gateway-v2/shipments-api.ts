import type { ApiGatewayInput } from '../../../local/api-gateway/index.ts';
import { describeApis, serveApi } from '../../../local/api-gateway-v2/index.ts';
import { evaluatePolicies } from '../../../local/iam.ts';
import type { DeployedResource } from '../../../local/resource.ts';
import { exchangeRaw } from '../../lib/raw-exchange.ts';
import { functionArn, invocationUri } from '../api-gateway/orders-api.ts';

export const API = 'h1t2t3p4a5';
export const ARN = `arn:aws:execute-api:us-east-1:000000000000:${API}`;

const part = (kind: string, logicalId: string, properties: Record<string, unknown>): DeployedResource => ({
  stack: 'Shipments',
  logicalId,
  type: `AWS::ApiGatewayV2::${kind}`,
  properties: { ...(kind !== 'Api' && { ApiId: API }), ...properties },
  ref: kind === 'Api' ? API : kind === 'Stage' ? String(properties['StageName']) : logicalId,
  attributes: {},
});

export interface Options {
  protocol?: 'HTTP' | 'WEBSOCKET';
  /** Route key to function name. */
  routes?: Record<string, string>;
  authorizer?: Record<string, unknown>;
  stages?: Record<string, unknown>[];
  route?: Record<string, unknown>;
  integration?: Record<string, unknown>;
  /** Route keys whose functions' bodies go back to the client. */
  answers?: string[];
}

/** Resources like those that CDK writes for an HttpApi or a WebSocketApi, resolved. */
export function shipmentsApi(options: Options = {}): DeployedResource[] {
  const { protocol = 'HTTP', routes = { 'GET /shipments': 'shipments' }, authorizer } = options;
  const http = protocol === 'HTTP';
  const { stages = [{ StageName: http ? '$default' : 'v1' }], answers = [] } = options;
  return [
    part('Api', 'Api', {
      Name: 'shipments',
      ProtocolType: protocol,
      ...(!http && { RouteSelectionExpression: '$request.body.action' }),
    }),
    ...Object.entries(routes).flatMap(([routeKey, name]) => [
      part('Route', `Route ${routeKey}`, {
        RouteKey: routeKey,
        Target: `integrations/Integration ${routeKey}`,
        ...(authorizer && (http || routeKey === '$connect')
          ? { AuthorizationType: 'CUSTOM', AuthorizerId: 'auth' }
          : { AuthorizationType: 'NONE' }),
        ...options.route,
      }),
      part('Integration', `Integration ${routeKey}`, {
        IntegrationType: 'AWS_PROXY',
        IntegrationUri: http ? functionArn(name) : invocationUri(name),
        ...(http && { PayloadFormatVersion: '2.0' }),
        ...options.integration,
      }),
    ]),
    ...answers.map((routeKey) =>
      part('RouteResponse', `Response ${routeKey}`, {
        RouteId: `Route ${routeKey}`,
        RouteResponseKey: '$default',
      }),
    ),
    ...(authorizer
      ? [
          part('Authorizer', 'auth', {
            Name: 'Authorizer',
            AuthorizerType: 'REQUEST',
            AuthorizerUri: invocationUri('authorizer'),
            ...(http && { AuthorizerPayloadFormatVersion: '2.0', AuthorizerResultTtlInSeconds: 0 }),
            ...authorizer,
          }),
        ]
      : []),
    ...stages.map((stage) => part('Stage', `Stage ${stage['StageName']}`, { AutoDeploy: true, ...stage })),
  ];
}

// biome-ignore lint/suspicious/noExplicitAny: a test names the members it reads
export type Event = any;
type Handler = (event: Event) => unknown;

export const allow = (event: Event, Resource: string | string[] = event.routeArn ?? event.methodArn) => ({
  principalId: 'key_1',
  policyDocument: {
    Version: '2012-10-17',
    Statement: [{ Action: 'execute-api:Invoke', Effect: 'Allow', Resource }],
  },
  context: { key_id: 'key_1', scopes: 'shipments:read' },
});

export const deny = (event: Event) => {
  const answer = allow(event);
  return {
    ...answer,
    policyDocument: {
      ...answer.policyDocument,
      Statement: answer.policyDocument.Statement.map((each) => ({ ...each, Effect: 'Deny' })),
    },
  };
};

/** Serves the API with functions that are plain ones here; `clock.now` can be moved. */
export async function serveShipments(
  options: Options,
  functions: Record<string, Handler>,
  more: Partial<ApiGatewayInput> = {},
) {
  const events: { name: string; event: Event }[] = [];
  const log: Record<string, unknown>[] = [];
  const clock = { now: Date.UTC(2026, 10, 24, 3, 36, 50, 7) };
  const [model] = describeApis({
    resources: shipmentsApi(options),
    invoke: async (arn, payload) => {
      const name = arn.split(':').at(-1) ?? '';
      const event = JSON.parse(JSON.stringify(payload));
      events.push({ name, event });
      const result = await functions[name]?.(event);
      const failed = typeof result === 'object' && result !== null && 'functionError' in result;
      return failed
        ? (result as { functionError: string; payload: unknown })
        : { payload: JSON.parse(JSON.stringify(result ?? null)) };
    },
    mayInvoke: () => true,
    evaluate: evaluatePolicies,
    now: () => clock.now,
    account: '000000000000',
    region: 'us-east-1',
    accessLog: (line) => log.push(line),
    ...more,
  });
  const served = await serveApi(model!, 0);
  const port = Number(new URL(served.url).port);
  return {
    ...served,
    port,
    events,
    log,
    clock,
    asked: () => events.filter(({ name }) => name === 'authorizer').length,
    event: (name = 'shipments'): Event => events.findLast((each) => each.name === name)?.event,
    get: (path: string, init?: RequestInit) => fetch(`${served.url}${path}`, init),
    send: (text: string) => exchangeRaw(port, text),
  };
}
