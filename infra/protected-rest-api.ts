import { Duration, Lazy, Validations } from 'aws-cdk-lib';
import {
  AuthorizationType,
  type CfnStage,
  EndpointType,
  IdentitySource,
  LambdaIntegration,
  MethodLoggingLevel,
  RequestAuthorizer,
  ResponseType,
  RestApi,
  type Stage,
} from 'aws-cdk-lib/aws-apigateway';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { gatewayResponses } from '../lib/gateway-responses.ts';
import {
  acknowledgeOpen,
  type CachingProps,
  type ProtectedApiProps,
  Protection,
  type Throttle,
} from './protection.ts';
import type { RekeyReference } from './rekey-reference.ts';
import { completeRestApi, STAGE, stageOptions, urlOf } from './rest-stage.ts';
import type { RouteOptions } from './route-access.ts';

/**
 * A REST API of which every route needs scopes, or is public on purpose.
 *
 * ```ts
 * const api = new ProtectedRestApi(this, 'Api', { rekey: importRekey() });
 * api.addRoute('GET /orders', { scopes: ['orders:read'], handler: listOrders });
 * api.addRoute('GET /whoami', { authenticated: true, handler: whoAmI });
 * api.addRoute('GET /health', { public: true, handler: health });
 * ```
 *
 * The routes and their scopes are registered under their hash before the stage that names the hash changes
 * (docs/decisions/0001-route-tables-by-hash.md). Answers of the authorizer are kept only with `cacheTtl`.
 */
export class ProtectedRestApi extends Construct {
  readonly restApiId: string;
  readonly stage: Stage;
  /** With the stage and without a slash at the end. */
  readonly url: string;
  readonly #api: RestApi;
  readonly #rekey: RekeyReference;
  readonly #protection: Protection;

  constructor(scope: Construct, id: string, props: ProtectedApiProps & CachingProps) {
    super(scope, id);
    this.#rekey = props.rekey;
    const apiId = Lazy.string({ produce: () => this.restApiId });
    this.#protection = new Protection(this, { ...props, apiId, stage: { name: STAGE, kind: 'rest' } });

    this.#api = new RestApi(this, 'Api', {
      restApiName: this.node.path.replaceAll('/', '-'),
      description: props.description,
      endpointTypes: [EndpointType.REGIONAL],
      cloudWatchRole: false,
      deployOptions: stageOptions(this.#protection),
    });
    this.restApiId = this.#api.restApiId;
    this.stage = this.#api.deploymentStage;
    this.url = urlOf(this.#api);
    for (const [type, { status, headers, template }] of Object.entries(gatewayResponses))
      this.#api.addGatewayResponse(type, {
        type: ResponseType.of(type),
        ...(status !== undefined && { statusCode: String(status) }),
        responseHeaders: headers,
        templates: { 'application/json': template },
      });
    completeRestApi(this, this.#api, this.#protection);
  }

  /**
   * Adds a route and says who may call it.
   *
   * @param route a method or `ANY`, a space, and a resource path: `GET /orders/{id}`
   * @param options `throttle`: a limit of its own, below that of the stage
   * @throws Error naming the route, when it does not say in exactly one way who may call it, or is not well formed
   */
  addRoute(route: string, options: RouteOptions & { throttle?: Throttle }): void {
    const { handler, throttle } = options;
    this.#protection.routes.add(route, options);
    const [method, path] = route.split(' ') as [string, string];
    const added = this.#api.root
      .resourceForPath(path)
      .addMethod(
        method,
        new LambdaIntegration(handler, { allowTestInvoke: false }),
        options.public
          ? { authorizationType: AuthorizationType.NONE }
          : { authorizer: this.#authorizer(), authorizationType: AuthorizationType.CUSTOM },
      );
    if (throttle) this.#limit(method, path, throttle);
    if (options.public) acknowledgeOpen(added, `${route} is declared public on purpose, with public: true.`);
  }

  /** Gives one method a limit of its own, below that of the stage. */
  #limit(httpMethod: string, path: string, { requestsPerSecond, burst }: Throttle): void {
    const stage = this.stage.node.defaultChild as CfnStage;
    stage.methodSettings = [
      ...((stage.methodSettings ?? []) as CfnStage.MethodSettingProperty[]),
      {
        httpMethod,
        // Slashes are written as ~1, but for a first one that has no meaning.
        resourcePath: `/${path.replaceAll('/', '~1')}`,
        throttlingRateLimit: requestsPerSecond,
        throttlingBurstLimit: burst,
        loggingLevel: MethodLoggingLevel.ERROR,
        dataTraceEnabled: false,
      },
    ];
  }

  /** The API's authorizer, made for the first route that needs it. */
  #authorizer(): RequestAuthorizer {
    const made = this.node.tryFindChild('Authorizer');
    if (made) return made as RequestAuthorizer;
    const { ttlSeconds, cacheHeader } = this.#protection;
    const handler = LambdaFunction.fromFunctionAttributes(this, 'AuthorizerFunction', {
      functionArn: this.#rekey.authorizerFunctionArn,
      // CDK can't tell by the ARN, and without it leaves the permission to invoke the function out.
      sameEnvironment: !this.#rekey.ofAnotherAccount,
    });
    if (this.#rekey.ofAnotherAccount)
      Validations.of(handler).acknowledge({
        id: 'Annotation::UnclearLambdaEnvironment',
        reason: 'The account that has the function gives the permission: rekey:consumerAccounts.',
      });
    return new RequestAuthorizer(this, 'Authorizer', {
      handler,
      // Said, since CDK's default is five minutes.
      resultsCacheTtl: Duration.seconds(ttlSeconds),
      identitySources: cacheHeader === undefined ? [] : [IdentitySource.header(cacheHeader)],
    });
  }
}
