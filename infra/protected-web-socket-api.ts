import { Stack } from 'aws-cdk-lib';
import {
  CfnApi,
  CfnAuthorizer,
  type CfnRoute,
  CfnRouteResponse,
  type CfnStage,
} from 'aws-cdk-lib/aws-apigatewayv2';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { acknowledgeOpen, type ProtectedApiProps, Protection } from './protection.ts';
import type { RouteOptions } from './route-access.ts';
import { addV2Route, autoDeployedStage } from './v2-api.ts';

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
  readonly #protection: Protection;

  constructor(scope: Construct, id: string, props: ProtectedApiProps) {
    super(scope, id);
    const { region, urlSuffix } = Stack.of(this);
    const name = this.node.path.replaceAll('/', '-');

    const api = new CfnApi(this, 'Api', {
      name,
      protocolType: 'WEBSOCKET',
      description: props.description,
      routeSelectionExpression: '$request.body.action',
    });
    this.apiId = api.ref;
    this.url = `wss://${this.apiId}.execute-api.${region}.${urlSuffix}/${STAGE}`;
    this.#protection = new Protection(this, {
      ...props,
      apiId: this.apiId,
      stage: { name: STAGE, kind: 'websocket' },
    });
    this.stage = autoDeployedStage(this.#v2, STAGE, ACCESS_LOG);
  }

  /**
   * Adds a route and says who may use it.
   *
   * @param route `$connect`, `$default`, or what a message names in `action`: `subscribe`
   * @throws Error naming the route, when it does not say in exactly one way who may call it, or is not well formed
   */
  addRoute(route: string, options: RouteOptions): void {
    this.#protection.routes.add(route, options);
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
    const added = addV2Route(this.#v2, route, handler, {
      integrationUri: this.#protection.invocationUri(handler.functionArn),
      authorizerId: isGuarded ? this.#authorizer().ref : undefined,
    });
    if (!isGuarded)
      acknowledgeOpen(
        added,
        'A WebSocket API has authorizers on $connect only; messages belong to an opened connection.',
      );
    return added;
  }

  get #v2() {
    return { construct: this, apiId: this.apiId, protection: this.#protection };
  }

  #authorizer(): CfnAuthorizer {
    const authorizer = new CfnAuthorizer(this, 'Authorizer', {
      apiId: this.apiId,
      name: 'Rekey',
      authorizerType: 'REQUEST',
      authorizerUri: this.#protection.authorizerUri,
      identitySource: [],
    });
    this.#protection.allowAuthorizer(authorizer.ref);
    return authorizer;
  }
}
