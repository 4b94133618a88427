import { RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import {
  CfnApi,
  CfnAuthorizer,
  CfnIntegration,
  CfnRoute,
  CfnRouteResponse,
  CfnStage,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { CfnPermission, type IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { DeclaredRoutes, ROUTES_VARIABLE } from './declared-routes.ts';
import type { ProtectedApiProps } from './protected-api-props.ts';
import type { RekeyReference } from './rekey-reference.ts';
import type { RouteOptions } from './route-access.ts';

const STAGE = 'v1';

const ACCESS_LOG = {
  time: '$context.requestTime',
  request_id: '$context.requestId',
  route: '$context.routeKey',
  event: '$context.eventType',
  connection_id: '$context.connectionId',
  status: '$context.status',
  source_ip: '$context.identity.sourceIp',
  key_id: '$context.authorizer.key_id',
  owner_id: '$context.authorizer.owner_id',
};

/**
 * A WebSocket API of which every route needs scopes, or is open on purpose.
 *
 * ```ts
 * const api = new ProtectedWebSocketApi(this, 'Api', { rekey: importRekey() });
 * api.addRoute('$connect', { scopes: ['notifications:read'], handler: connect });
 * api.addRoute('subscribe', { scopes: ['notifications:read'], handler: subscribe });
 * ```
 *
 * API Gateway asks the authorizer at `$connect` only, so nobody gets in without its scopes. Those of a message are
 * registered too, and checked by `requiresScope` in the handler, which gets the connection's principal with each
 * message. A connection lives on when its key is revoked, two hours at most: a handler for which that is too long asks
 * `rekey/verify`.
 */
export class ProtectedWebSocketApi extends Construct {
  readonly apiId: string;
  readonly stage: CfnStage;
  /** `wss:`, with the stage. */
  readonly url: string;
  readonly #routes: DeclaredRoutes;
  readonly #rekey: RekeyReference;

  constructor(scope: Construct, id: string, props: ProtectedApiProps) {
    super(scope, id);
    const { requestsPerSecond, burst } = props.throttle ?? { requestsPerSecond: 100, burst: 200 };
    const { region, urlSuffix } = Stack.of(this);
    const name = this.node.path.replaceAll('/', '-');
    this.#rekey = props.rekey;

    const api = new CfnApi(this, 'Api', {
      name,
      protocolType: 'WEBSOCKET',
      description: props.description,
      routeSelectionExpression: '$request.body.action',
    });
    this.apiId = api.ref;
    this.url = `wss://${this.apiId}.execute-api.${region}.${urlSuffix}/${STAGE}`;
    this.#routes = new DeclaredRoutes(this, 'Routes', {
      rekey: props.rekey,
      apiId: this.apiId,
      stage: STAGE,
      scopes: props.scopes,
      removeScopesInUse: props.removeScopesInUse,
      isWebSocket: true,
    });
    const logs = new LogGroup(this, 'AccessLogs', {
      retention: props.logRetention ?? RetentionDays.THREE_MONTHS,
      removalPolicy: props.logRemoval ?? RemovalPolicy.RETAIN,
    });
    this.stage = new CfnStage(this, 'Stage', {
      apiId: this.apiId,
      stageName: STAGE,
      autoDeploy: true,
      stageVariables: { [ROUTES_VARIABLE]: this.#routes.hash },
      accessLogSettings: { destinationArn: logs.logGroupArn, format: JSON.stringify(ACCESS_LOG) },
      defaultRouteSettings: { throttlingRateLimit: requestsPerSecond, throttlingBurstLimit: burst },
    });
    this.stage.node.addDependency(this.#routes.registration);
  }

  /**
   * Adds a route and says who may use it.
   *
   * @param route `$connect`, `$default`, or what a message names in `action`: `subscribe`
   * @throws Error naming the route, when it does not say in exactly one way who may call it, or is not well formed
   */
  addRoute(route: string, options: RouteOptions): void {
    this.#routes.add(route, options);
    const isGuarded = route === '$connect' && !options.public;
    const added = this.#route(route, options.handler, isGuarded);
    if (route !== '$connect') {
      // What the handler answers goes back over the connection.
      added.routeResponseSelectionExpression = '$default';
      new CfnRouteResponse(this, `${route} Response`, {
        apiId: this.apiId,
        routeId: added.ref,
        routeResponseKey: '$default',
      });
    }
  }

  /** What is called when a connection has ended. There is nobody left to be refused. */
  onDisconnect(handler: IFunction): void {
    this.#route('$disconnect', handler, false);
  }

  #route(route: string, handler: IFunction, isGuarded: boolean): CfnRoute {
    const integration = new CfnIntegration(this, `${route} Integration`, {
      apiId: this.apiId,
      integrationType: 'AWS_PROXY',
      integrationUri: this.#invocationUri(handler.functionArn),
    });
    handler.addPermission(`${this.node.path} ${route}`, {
      scope: this,
      principal: new ServicePrincipal('apigateway.amazonaws.com'),
      sourceArn: this.#arn(`${STAGE}/${route}`),
    });
    const added = new CfnRoute(this, route, {
      apiId: this.apiId,
      routeKey: route,
      target: `integrations/${integration.ref}`,
      ...(isGuarded
        ? { authorizationType: 'CUSTOM', authorizerId: this.#authorizer().ref }
        : { authorizationType: 'NONE' }),
    });
    if (!isGuarded) {
      Validations.of(added).acknowledge({
        id: 'AwsSolutions-APIG4',
        reason: 'A WebSocket API has authorizers on $connect only; messages belong to an opened connection.',
      });
    }
    return added;
  }

  #invocationUri(functionArn: string): string {
    const { partition, region } = Stack.of(this);
    return `arn:${partition}:apigateway:${region}:lambda:path/2015-03-31/functions/${functionArn}/invocations`;
  }

  #arn(rest: string): string {
    const stack = Stack.of(this);
    return stack.formatArn({ service: 'execute-api', resource: this.apiId, resourceName: rest });
  }

  #authorizer(): CfnAuthorizer {
    const authorizer = new CfnAuthorizer(this, 'Authorizer', {
      apiId: this.apiId,
      name: 'Rekey',
      authorizerType: 'REQUEST',
      authorizerUri: this.#invocationUri(this.#rekey.authorizerFunctionArn),
      // With sources, API Gateway would answer by itself where one is missing, and a key may come in either header.
      identitySource: [],
    });
    if (!this.#rekey.ofAnotherAccount) {
      new CfnPermission(this, 'AuthorizerPermission', {
        action: 'lambda:InvokeFunction',
        functionName: this.#rekey.authorizerFunctionArn,
        principal: 'apigateway.amazonaws.com',
        sourceArn: this.#arn(`authorizers/${authorizer.ref}`),
      });
    }
    return authorizer;
  }
}
