import { Stack } from 'aws-cdk-lib';
import { CfnApi, CfnAuthorizer, type CfnStage } from 'aws-cdk-lib/aws-apigatewayv2';
import { Construct } from 'constructs';
import { acknowledgeOpen, type CachingProps, type ProtectedApiProps, Protection } from './protection.ts';
import type { RouteOptions } from './route-access.ts';
import { addV2Route, autoDeployedStage } from './v2-api.ts';

const STAGE = '$default';

/** As that of the REST API: nothing in it that the caller chose freely. */
const ACCESS_LOG = {
  time: '$context.requestTime',
  request_id: '$context.requestId',
  method: '$context.httpMethod',
  route: '$context.routeKey',
  status: '$context.status',
  source_ip: '$context.identity.sourceIp',
  key_id: '$context.authorizer.key_id',
  owner_id: '$context.authorizer.owner_id',
  refused: '$context.authorizer.code',
  error: '$context.error.responseType',
  latency_ms: '$context.responseLatency',
};

/**
 * An HTTP API (payload format 2.0) of which every route needs scopes, or is open on purpose.
 *
 * ```ts
 * const api = new ProtectedHttpApi(this, 'Api', { rekey: importRekey() });
 * api.addRoute('GET /shipments', { scopes: ['shipments:read'], handler: listShipments });
 * api.addRoute('GET /health', { public: true, handler: health });
 * ```
 *
 * HTTP APIs have no gateway responses: what they refuse is `{"message":"Unauthorized"}` or `{"message":"Forbidden"}`,
 * and can't say which scope is missing. A route that shall say it declares `authenticated: true` and leaves the scopes to
 * `requiresScope` in its handler (docs/attach.md). The authorizer answers IAM policies, never simple responses.
 */
export class ProtectedHttpApi extends Construct {
  readonly apiId: string;
  readonly stage: CfnStage;
  /** Without a slash at the end. */
  readonly url: string;
  readonly #protection: Protection;

  constructor(scope: Construct, id: string, props: ProtectedApiProps & CachingProps) {
    super(scope, id);
    const { region, urlSuffix } = Stack.of(this);
    const name = this.node.path.replaceAll('/', '-');

    const api = new CfnApi(this, 'Api', { name, protocolType: 'HTTP', description: props.description });
    this.apiId = api.ref;
    this.url = `https://${this.apiId}.execute-api.${region}.${urlSuffix}`;
    this.#protection = new Protection(this, {
      ...props,
      apiId: this.apiId,
      stage: { name: STAGE, kind: 'http' },
    });
    this.stage = autoDeployedStage(this.#v2, STAGE, ACCESS_LOG);
  }

  /**
   * Adds a route and says who may call it.
   *
   * @param route a method or `ANY`, a space, and a path: `GET /shipments/{id}`
   * @throws Error naming the route, when it does not say in exactly one way who may call it, or is not well formed
   */
  addRoute(route: string, options: RouteOptions): void {
    this.#protection.routes.add(route, options);
    const { handler } = options;
    const added = addV2Route(this.#v2, route, handler, {
      integrationUri: handler.functionArn,
      payloadFormatVersion: '2.0',
      authorizerId: options.public ? undefined : this.#authorizer().ref,
    });
    if (options.public) acknowledgeOpen(added, `${route} is declared public on purpose, with public: true.`);
  }

  get #v2() {
    return { construct: this, apiId: this.apiId, protection: this.#protection };
  }

  /** The API's authorizer, made for the first route that needs it. */
  #authorizer(): CfnAuthorizer {
    const made = this.node.tryFindChild('Authorizer');
    if (made) return made as CfnAuthorizer;
    const { authorizerUri, ttlSeconds, cacheHeader } = this.#protection;
    const authorizer = new CfnAuthorizer(this, 'Authorizer', {
      apiId: this.apiId,
      name: 'Rekey',
      authorizerType: 'REQUEST',
      authorizerUri,
      authorizerPayloadFormatVersion: '2.0',
      // Once it is kept, a simple response would be one answer for all routes.
      enableSimpleResponses: false,
      // Said, since a default is five minutes in CDK's own construct and not documented in AWS.
      authorizerResultTtlInSeconds: ttlSeconds,
      identitySource: cacheHeader === undefined ? [] : [`$request.header.${cacheHeader}`],
    });
    this.#protection.allowAuthorizer(authorizer.ref);
    return authorizer;
  }
}
