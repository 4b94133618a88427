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
  /** For people: what the catalog of scopes calls the API. */
  apiName: string;
  stageName: string;
  /** What scopes are for, for the catalog. */
  scopeDescriptions?: Record<string, string>;
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

  constructor(scope: Construct, id: string, props: DeclaredRoutesProps) {
    super(scope, id);
    this.hash = Lazy.string({ produce: () => routesHash(this.#routes) });
    this.registration = new CustomResource(this, 'Default', {
      resourceType: 'Custom::RekeyRoutes',
      serviceToken: props.rekey.registerRoutesFunctionArn,
      serviceTimeout: Duration.minutes(2),
      properties: {
        RestApiId: props.apiId,
        Hash: this.hash,
        // One string: CDK leaves out empty lists, which are the public routes.
        Routes: Lazy.string({ produce: () => JSON.stringify(this.#routes) }),
        Name: props.apiName,
        Stages: JSON.stringify([props.stageName]),
        ...(props.scopeDescriptions && { Scopes: JSON.stringify(props.scopeDescriptions) }),
      },
    });
  }

  /** Who may call what, as declared so far. */
  get table(): Readonly<RouteScopes> {
    return this.#routes;
  }

  /** @throws Error naming the route, when it is declared twice, says nobody or too much, or is not well formed */
  add(route: string, access: RouteAccess): void {
    if (Object.hasOwn(this.#routes, route)) throw new Error(`Route "${route}" is declared twice`);
    const needed = neededBy(route, access);
    // A WebSocket API is known by its $connect, which may be declared later.
    const isWebSocket = !/^[A-Z]+ \//.test(route);
    validateRoutes(isWebSocket ? { $connect: [], [route]: needed } : { [route]: needed });
    Object.assign(this.#routes, { [route]: needed });
  }
}
