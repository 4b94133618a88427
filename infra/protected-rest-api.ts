import { Duration, Lazy, Validations } from 'aws-cdk-lib';
import {
  AccessLogFormat,
  AuthorizationType,
  EndpointType,
  IdentitySource,
  LambdaIntegration,
  LogGroupLogDestination,
  MethodLoggingLevel,
  RequestAuthorizer,
  RestApi,
  type Stage,
} from 'aws-cdk-lib/aws-apigateway';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { gatewayResponses } from './gateway-responses.ts';
import { acknowledgeOpen, type CachingProps, type ProtectedApiProps, Protection } from './protection.ts';
import type { RekeyReference } from './rekey-reference.ts';
import type { RouteOptions } from './route-access.ts';

const STAGE = 'v1';

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
    const { routes, stageVariables, throttle, logs, accessLogs, ttlSeconds, cacheHeader } = this.#protection;
    const name = this.node.path.replaceAll('/', '-');

    this.#api = new RestApi(this, 'Api', {
      restApiName: name,
      description: props.description,
      endpointTypes: [EndpointType.REGIONAL],
      cloudWatchRole: false,
      deployOptions: {
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
      },
    });
    // CDK's own output of the URL, under a name nobody chose.
    this.#api.node.tryRemoveChild('Endpoint');
    this.restApiId = this.#api.restApiId;
    this.stage = this.#api.deploymentStage;
    this.url = `https://${this.restApiId}.execute-api.${this.#api.stack.region}.${this.#api.stack.urlSuffix}/${STAGE}`;

    for (const response of gatewayResponses)
      this.#api.addGatewayResponse(response.type.responseType, response);

    // A stage serves what was deployed, and its variable must not say otherwise.
    this.#api.latestDeployment?.addToLogicalId({ ttlSeconds, cacheHeader });
    // API Gateway makes this group by itself at the first line, and then it is kept for ever.
    const executionLogs = new LogGroup(this, 'ExecutionLogs', {
      logGroupName: `API-Gateway-Execution-Logs_${this.restApiId}/${STAGE}`,
      ...logs,
    });
    this.stage.node.addDependency(routes.registration, executionLogs);
    this.#acknowledge();
  }

  /**
   * Adds a route and says who may call it.
   *
   * @param route a method or `ANY`, a space, and a resource path: `GET /orders/{id}`
   * @throws Error naming the route, when it does not say in exactly one way who may call it, or is not well formed
   */
  addRoute(route: string, options: RouteOptions): void {
    const { handler } = options;
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
    if (options.public) acknowledgeOpen(added, `${route} is declared public on purpose, with public: true.`);
  }

  /** The API's authorizer, made for the first route that needs it. */
  #authorizer(): RequestAuthorizer {
    const made = this.node.tryFindChild('Authorizer');
    if (made) return made as RequestAuthorizer;
    const { ttlSeconds, cacheHeader } = this.#protection;
    return new RequestAuthorizer(this, 'Authorizer', {
      handler: LambdaFunction.fromFunctionAttributes(this, 'AuthorizerFunction', {
        functionArn: this.#rekey.authorizerFunctionArn,
        // CDK can't tell by the ARN, and without it leaves the permission to invoke the function out.
        sameEnvironment: !this.#rekey.ofAnotherAccount,
      }),
      // Said, since CDK's default is five minutes.
      resultsCacheTtl: Duration.seconds(ttlSeconds),
      identitySources: cacheHeader === undefined ? [] : [IdentitySource.header(cacheHeader)],
    });
  }

  #acknowledge(): void {
    const reasons = {
      'AwsSolutions-APIG2':
        'Requests are validated in the functions, which answer problem documents with a pointer to each bad field; validators of API Gateway cannot.',
      'AwsSolutions-APIG3':
        'A web ACL is a matter of the account. Every route needs a key of 256 random bits, is throttled, and refuses a malformed key without reading the table.',
      'AwsSolutions-COG4':
        'API keys of Rekey authorize here, by a Lambda authorizer; there are no user pools.',
    };
    for (const [id, reason] of Object.entries(reasons)) Validations.of(this).acknowledge({ id, reason });
  }
}
