import { CustomResource, Duration, Lazy, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { findClashes } from '../lib/policy-compiler.ts';
import { type RouteScopes, routesHash, validateRoutes } from '../lib/routes.ts';
import { flushRole } from './flush-role.ts';
import type { RekeyReference } from './rekey-reference.ts';
import { neededBy, type RouteAccess } from './route-access.ts';

export interface DeclaredRoutesProps {
  rekey: RekeyReference;
  apiId: string;
  stage: DeclaredStage;
  /** What scopes mean, for people. */
  scopes?: Record<string, string> | undefined;
  /** @default false */
  removeScopesInUse?: boolean | undefined;
}

/** The stage that names the hash. Whoever revokes a key flushes what it keeps. */
export interface DeclaredStage {
  name: string;
  kind: 'rest' | 'http' | 'websocket';
  /** Seconds for which API Gateway keeps answers of the authorizer; 0: none. */
  ttlSeconds: number;
  /** The header by which they are kept. */
  cacheHeader?: string | undefined;
}

/**
 * The routes of one API and who may call them, registered under their hash before the stage that names the hash changes
 * (docs/decisions/0001-route-tables-by-hash.md).
 */
export class DeclaredRoutes extends Construct {
  /** For the stage's variable `rekeyRoutes`. */
  readonly hash: string;
  /** What the stage depends on. */
  readonly registration: CustomResource;
  readonly #routes: RouteScopes = {};
  readonly #isWebSocket: boolean;

  constructor(scope: Construct, id: string, props: DeclaredRoutesProps) {
    super(scope, id);
    this.#isWebSocket = props.stage.kind === 'websocket';
    this.hash = Lazy.string({
      produce: () => {
        if (this.#isWebSocket && !Object.hasOwn(this.#routes, '$connect'))
          throw new Error(
            `${this.node.path}: a WebSocket API needs the route $connect, without which everybody could open a connection`,
          );
        const clashes = props.stage.ttlSeconds > 0 ? findClashes(this.#routes) : [];
        if (clashes.length > 0)
          throw new Error(`${this.node.path}: ${clashes.map(({ message }) => message).join('\n')}`);
        return routesHash(this.#routes);
      },
    });
    this.registration = new CustomResource(this, 'Default', {
      resourceType: 'Custom::RekeyRoutes',
      serviceToken: props.rekey.registerRoutesFunctionArn,
      serviceTimeout: Duration.minutes(2),
      properties: {
        RestApiId: props.apiId,
        Hash: this.hash,
        // For GET /apis and GET /scopes, and to know what a deployment takes away.
        Catalog: JSON.stringify({
          scopes: props.scopes ?? {},
          stages: [{ name: props.stage.name, cache_header: props.stage.cacheHeader ?? null }],
          force: props.removeScopesInUse ?? false,
        }),
        // One string: CDK leaves out empty lists, which are the public routes.
        Routes: Lazy.string({ produce: () => JSON.stringify(this.#routes) }),
        Stage: this.#stageText(props),
      },
    });
  }

  /** @throws Error naming the route, when it is declared twice, says nobody or too much, or is not well formed */
  add(route: string, access: RouteAccess): void {
    this.declare(route, neededBy(route, access));
  }

  /** @throws Error naming the route, when it is declared twice or is not well formed */
  declare(route: string, needed: RouteScopes[string]): void {
    if (Object.hasOwn(this.#routes, route)) throw new Error(`Route "${route}" is declared twice`);
    // A WebSocket API is known by its $connect, which may be declared later.
    validateRoutes(this.#isWebSocket ? { $connect: [], [route]: needed } : { [route]: needed });
    if (!this.#isWebSocket && route === '$connect') throw new Error('Route "$connect" is for WebSocket APIs');
    Object.assign(this.#routes, { [route]: needed });
  }

  /** A `StageDeclaration` of lib/stage.schema.ts. */
  #stageText({ apiId, rekey, stage }: DeclaredRoutesProps): string {
    const { account, region } = Stack.of(this);
    const role = flushRole(this, apiId, rekey, stage);
    return Stack.of(this).toJsonString({
      api_id: apiId,
      stage: stage.name,
      kind: stage.kind,
      account,
      region,
      cache_ttl_seconds: stage.ttlSeconds,
      ...(role && { role_arn: role.roleArn }),
    });
  }
}
