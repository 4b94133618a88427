import { type Duration, RemovalPolicy, Stack, Token, Validations } from 'aws-cdk-lib';
import { ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { CfnPermission, type IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct, IConstruct } from 'constructs';
import { CACHE_HEADER_VARIABLE, type CacheHeader, ROUTES_VARIABLE } from '../lib/stage-variables.ts';
import { DeclaredRoutes, type DeclaredStage } from './declared-routes.ts';
import type { RekeyReference } from './rekey-reference.ts';

/** How many requests API Gateway lets through, of all callers together. */
export interface Throttle {
  requestsPerSecond: number;
  burst: number;
}

/** What the constructs for all kinds of API take. */
export interface ProtectedApiProps {
  rekey: RekeyReference;
  description?: string;
  /** What scopes mean, for people: `{ 'orders:refund': 'Give money back' }`. GET /scopes shows it. */
  scopes?: Record<string, string>;
  /**
   * Whether a deployment may remove scopes that active keys hold. Without it, it is refused and rolled back.
   * @default false
   */
  removeScopesInUse?: boolean;
  /** For the whole stage. @default 100 requests a second, in bursts of 200 */
  throttle?: Throttle;
  /** Of access logs and execution logs. @default three months */
  logRetention?: RetentionDays;
  /** @default RemovalPolicy.RETAIN */
  logRemoval?: RemovalPolicy;
}

/** For the kinds of API that can keep what an authorizer answered. */
export interface CachingProps {
  /**
   * How long API Gateway keeps an answer of the authorizer, at most an hour. A key that is revoked is refused this much
   * later at the latest (docs/policies.md). @default nothing is kept
   */
  cacheTtl?: Duration;
  /** The one header that callers send their key in, once answers are kept. @default x-api-key */
  cacheHeader?: CacheHeader;
}

/** https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html: "The maximum value is 3600". */
const LONGEST_TTL_SECONDS = 3600;

const ttlSecondsOf = (api: Construct, { cacheTtl }: CachingProps): number => {
  const seconds = cacheTtl?.toSeconds({ integral: false }) ?? 0;
  if (Token.isUnresolved(seconds) || !Number.isInteger(seconds) || seconds > LONGEST_TTL_SECONDS)
    throw new Error(
      `${api.node.path}: cacheTtl must be whole seconds, ${LONGEST_TTL_SECONDS} at most; without it, or with 0, nothing is kept`,
    );
  return seconds;
};

/** What stands between an API and its callers, the same for all kinds of API: routes, authorizer, stage and logs. */
export class Protection {
  readonly routes: DeclaredRoutes;
  /** Seconds; 0: no answer of the authorizer is kept. */
  readonly ttlSeconds: number;
  /**
   * The header by which answers are kept: one, since API Gateway wants all of several. Without a cache none, since with
   * one API Gateway would answer by itself where it is missing, and a key may come in either header.
   */
  readonly cacheHeader: CacheHeader | undefined;
  readonly throttle: Throttle;
  readonly logs: { retention: RetentionDays; removalPolicy: RemovalPolicy };
  readonly accessLogs: LogGroup;
  readonly #api: Construct;
  readonly #apiId: string;
  readonly #stageName: string;
  readonly #rekey: RekeyReference;

  constructor(
    api: Construct,
    {
      apiId,
      stage,
      ...props
    }: ProtectedApiProps &
      CachingProps & { apiId: string; stage: Omit<DeclaredStage, 'ttlSeconds' | 'cacheHeader'> },
  ) {
    this.#api = api;
    this.#apiId = apiId;
    this.#stageName = stage.name;
    this.#rekey = props.rekey;
    this.ttlSeconds = ttlSecondsOf(api, props);
    if (stage.kind === 'websocket' && this.ttlSeconds > 0)
      throw new Error(
        `${api.node.path}: a WebSocket API has no cacheTtl: API Gateway asks the authorizer at every $connect`,
      );
    this.cacheHeader = this.ttlSeconds === 0 ? undefined : (props.cacheHeader ?? 'x-api-key');
    this.throttle = props.throttle ?? { requestsPerSecond: 100, burst: 200 };
    this.logs = {
      retention: props.logRetention ?? RetentionDays.THREE_MONTHS,
      removalPolicy: props.logRemoval ?? RemovalPolicy.RETAIN,
    };
    this.accessLogs = new LogGroup(api, 'AccessLogs', this.logs);
    this.routes = new DeclaredRoutes(api, 'Routes', {
      rekey: props.rekey,
      apiId,
      stage: { ...stage, ttlSeconds: this.ttlSeconds, cacheHeader: this.cacheHeader },
      scopes: props.scopes,
      removeScopesInUse: props.removeScopesInUse,
    });
  }

  /** Which table of routes is in force, and whether answers are kept. The authorizer reads them from each request. */
  get stageVariables(): Record<string, string> {
    return {
      [ROUTES_VARIABLE]: this.routes.hash,
      ...(this.cacheHeader !== undefined && { [CACHE_HEADER_VARIABLE]: this.cacheHeader }),
    };
  }

  get authorizerUri(): string {
    return this.invocationUri(this.#rekey.authorizerFunctionArn);
  }

  /** Names a function as authorizers and integrations of API Gateway do. */
  invocationUri(functionArn: string): string {
    const { partition, region } = Stack.of(this.#api);
    return `arn:${partition}:apigateway:${region}:lambda:path/2015-03-31/functions/${functionArn}/invocations`;
  }

  /** @param rest what follows the API's id: `v1/GET/orders`, `authorizers/abc123` */
  arn(rest: string): string {
    const stack = Stack.of(this.#api);
    return stack.formatArn({ service: 'execute-api', resource: this.#apiId, resourceName: rest });
  }

  /** @param route `GET /orders/{id}`, or `$connect` of a WebSocket API */
  allowHandler(handler: IFunction, route: string): void {
    const [method = '', path] = route.split(' ');
    const called = `${method === 'ANY' ? '*' : method}${path?.replaceAll(/\{[^}]+\}/g, '*') ?? ''}`;
    handler.addPermission(`${this.#api.node.path} ${route}`, {
      scope: this.#api,
      principal: new ServicePrincipal('apigateway.amazonaws.com'),
      sourceArn: this.arn(`${this.#stageName}/${called}`),
    });
  }

  /** Lets this authorizer of the API, and no other, call the product's function. */
  allowAuthorizer(authorizerId: string): void {
    // Only the owner of a function can give a permission.
    if (this.#rekey.ofAnotherAccount) return;
    new CfnPermission(this.#api, 'AuthorizerPermission', {
      action: 'lambda:InvokeFunction',
      functionName: this.#rekey.authorizerFunctionArn,
      principal: 'apigateway.amazonaws.com',
      sourceArn: this.arn(`authorizers/${authorizerId}`),
    });
  }
}

/** Tells cdk-nag of a route that has no authorizer on purpose. */
export function acknowledgeOpen(route: IConstruct, reason: string): void {
  Validations.of(route).acknowledge({ id: 'AwsSolutions-APIG4', reason });
}
