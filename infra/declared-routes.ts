import { CustomResource, Duration, Lazy } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { type RouteScopes, routesHash, validateRoutes } from '../lib/routes.ts';
import type { RekeyReference } from './rekey-reference.ts';
import { neededBy, type RouteAccess } from './route-access.ts';

/** The stage's variable that names its table of routes. The authorizer reads it from the request. */
export const ROUTES_VARIABLE = 'rekeyRoutes';

export interface DeclaredRoutesProps {
  rekey: RekeyReference;
  apiId: string;
  /** The stage that names the routes. */
  stage: string;
  scopes?: Record<string, string> | undefined;
  /** @default false */
  removeScopesInUse?: boolean | undefined;
  /** @default false */
  isWebSocket?: boolean;
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
    this.#isWebSocket = props.isWebSocket ?? false;
    this.hash = Lazy.string({
      produce: () => {
        if (this.#isWebSocket && !Object.hasOwn(this.#routes, '$connect'))
          throw new Error(
            `${this.node.path}: a WebSocket API needs the route $connect, without which everybody could open a connection`,
          );
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
        // One string: CDK leaves out empty lists, which are the public routes.
        // For GET /apis and GET /scopes, and to know what a deployment takes away.
        Catalog: JSON.stringify({
          scopes: props.scopes ?? {},
          stages: [{ name: props.stage, cache_header: null }],
          force: props.removeScopesInUse ?? false,
        }),
        Routes: Lazy.string({ produce: () => JSON.stringify(this.#routes) }),
      },
    });
  }

  /** @throws Error naming the route, when it is declared twice, says nobody or too much, or is not well formed */
  add(route: string, access: RouteAccess): void {
    if (Object.hasOwn(this.#routes, route)) throw new Error(`Route "${route}" is declared twice`);
    const needed = neededBy(route, access);
    // A WebSocket API is known by its $connect, which may be declared later.
    validateRoutes(this.#isWebSocket ? { $connect: [], [route]: needed } : { [route]: needed });
    if (!this.#isWebSocket && route === '$connect') throw new Error('Route "$connect" is for WebSocket APIs');
    Object.assign(this.#routes, { [route]: needed });
  }
}
