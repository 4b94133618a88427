import { gatewayResponses } from '../gateway-responses.ts';
import { findClashes } from '../policy-compiler.ts';
import { type RouteScopes, routesHash, validateRoutes } from '../routes.ts';
import { CACHE_HEADER_VARIABLE, type CacheHeader, ROUTES_VARIABLE } from '../stage-variables.ts';
import { neededBySecurity } from './security.ts';

/** An OpenAPI 3 document, as JSON or YAML was parsed. */
export type OpenApiDocument = Record<string, unknown>;

export interface ProtectOptions {
  api: 'rest' | 'http';
  /**
   * What the authorizer is invoked by: `arn:aws:apigateway:<region>:lambda:path/2015-03-31/functions/<ARN>/invocations`,
   * or what a template makes it of, like `{ 'Fn::Sub': … }`. It is put into the document as it is.
   */
  authorizerUri: unknown;
  /**
   * What answers an operation that has no `x-amazon-apigateway-integration` of its own: `{ type: 'aws_proxy', … }`. With it,
   * an operation that nothing answers is an error. @default integrations are left as they are
   */
  integrationOf?: (operation: { operationId: string | undefined; route: string }) => unknown;
  /** The name of the security scheme that stands for Rekey. @default rekey */
  scheme?: string;
  /** How long API Gateway keeps an answer of the authorizer, 3600 at most. @default 0: nothing is kept */
  cacheTtlSeconds?: number;
  /** The one header that callers send their key in, once answers are kept. @default x-api-key */
  cacheHeader?: CacheHeader;
}

export interface ProtectedOpenApi {
  /** To be imported by API Gateway. */
  document: OpenApiDocument;
  /** To be registered: by `Custom::RekeyRoutes`, or with PUT /apis/{id}. */
  routes: RouteScopes;
  /** The name of that table of routes. */
  hash: string;
  /** Of each stage that serves the document. */
  stageVariables: Record<string, string>;
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'];
const ANY_METHOD = 'x-amazon-apigateway-any-method';
const INTEGRATION = 'x-amazon-apigateway-integration';
/** What a path has beside its operations. */
const OTHER_MEMBERS = ['summary', 'description', 'servers', 'parameters'];
const LONGEST_TTL_SECONDS = 3600;

type Members = Record<string, unknown>;
const membersOf = (value: unknown): Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : {};

const authorizerOf = ({ api, authorizerUri }: ProtectOptions, ttl: number, header?: CacheHeader): Members => {
  const place = api === 'rest' ? 'method.request.header' : '$request.header';
  return {
    type: 'request',
    authorizerUri,
    authorizerResultTtlInSeconds: ttl,
    // One, since API Gateway wants all of several; without a cache none, since a key may come in either header.
    ...(header !== undefined && { identitySource: `${place}.${header}` }),
    ...(api === 'http' && { authorizerPayloadFormatVersion: '2.0', enableSimpleResponses: false }),
  };
};

const ownGatewayResponses = (): Members =>
  Object.fromEntries(
    Object.entries(gatewayResponses).map(([type, { status, headers, template }]) => [
      type,
      {
        ...(status !== undefined && { statusCode: String(status) }),
        responseParameters: Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [`gatewayresponse.header.${name}`, value]),
        ),
        responseTemplates: { 'application/json': template },
      },
    ]),
  );

/**
 * Makes an OpenAPI document one that API Gateway protects: `security: [{ rekey: ["orders:write"] }]` of an operation, or
 * of the document for those that say nothing, is the whole declaration.
 *
 * Added are the authorizer, each operation's use of it and, for REST APIs, the gateway responses that the document does
 * not have already. The document given is not changed.
 *
 * @throws Error naming every operation that does not say who may call it, and, with a cache, the routes that no policy
 *   can tell apart
 */
export function protectOpenApi(document: OpenApiDocument, options: ProtectOptions): ProtectedOpenApi {
  const { api, scheme = 'rekey', cacheTtlSeconds: ttl = 0 } = options;
  if (typeof document['openapi'] !== 'string' || !/^3\.\d/.test(document['openapi']))
    throw new Error('The document must be one of OpenAPI 3: its member openapi says 3.0.3, or the like');
  if (!Number.isInteger(ttl) || ttl < 0 || ttl > LONGEST_TTL_SECONDS)
    throw new Error(`cacheTtlSeconds must be whole, from 0 to ${LONGEST_TTL_SECONDS}`);
  const header = ttl === 0 ? undefined : (options.cacheHeader ?? 'x-api-key');

  const routes: RouteScopes = {};
  const problems: string[] = [];
  const operationOf = (path: string, name: string, operation: Members): Members => {
    const route = `${name === ANY_METHOD ? 'ANY' : name.toUpperCase()} ${path}`;
    try {
      const needed = neededBySecurity(operation['security'], document['security'], scheme);
      validateRoutes({ [route]: needed });
      routes[route] = needed;
      const { operationId } = operation;
      const integration =
        operation[INTEGRATION] ??
        options.integrationOf?.({
          route,
          operationId: typeof operationId === 'string' ? operationId : undefined,
        });
      if (integration === undefined && options.integrationOf)
        throw new Error(
          `has nothing that answers it: neither an ${INTEGRATION} nor a handler for its operationId`,
        );
      return {
        ...operation,
        ...(integration !== undefined && { [INTEGRATION]: integration }),
        // API Gateway takes scopes here for those of other authorizers.
        security: needed.length === 0 ? [] : [{ [scheme]: [] }],
      };
    } catch (error) {
      const { message } = error as Error;
      problems.push(message.startsWith('Route ') ? message : `${route} ${message}`);
      return operation;
    }
  };
  const pathOf = (path: string, item: Members): Members => {
    const added = { ...item };
    for (const [name, member] of Object.entries(item)) {
      if (METHODS.includes(name) || name === ANY_METHOD)
        added[name] = operationOf(path, name, membersOf(member));
      else if (!OTHER_MEMBERS.includes(name) && !name.startsWith('x-'))
        problems.push(`${path} has ${name}, which API Gateway knows no method by`);
    }
    return added;
  };
  const paths = Object.fromEntries(
    Object.entries(membersOf(document['paths'])).map(([path, item]) => [path, pathOf(path, membersOf(item))]),
  );
  if (problems.length === 0 && Object.keys(routes).length === 0) problems.push('There are no operations');
  if (problems.length > 0) throw new Error(problems.join('\n'));
  const hash = routesHash(routes);
  const clashes = header === undefined ? [] : findClashes(routes);
  if (clashes.length > 0) throw new Error(clashes.map(({ message }) => message).join('\n'));

  // Of the whole document API Gateway ignores it.
  const { security: _, ...rest } = document;
  const components = membersOf(document['components']);
  const schemes = membersOf(components['securitySchemes']);
  return {
    document: {
      ...rest,
      paths,
      components: {
        ...components,
        securitySchemes: {
          ...schemes,
          [scheme]: {
            ...membersOf(schemes[scheme]),
            type: 'apiKey',
            in: 'header',
            name: header ?? 'x-api-key',
            ...(api === 'rest' && { 'x-amazon-apigateway-authtype': 'custom' }),
            'x-amazon-apigateway-authorizer': authorizerOf(options, ttl, header),
          },
        },
      },
      ...(api === 'rest' && {
        'x-amazon-apigateway-gateway-responses': {
          ...ownGatewayResponses(),
          ...membersOf(document['x-amazon-apigateway-gateway-responses']),
        },
      }),
    },
    routes,
    hash,
    stageVariables: {
      [ROUTES_VARIABLE]: hash,
      ...(header !== undefined && { [CACHE_HEADER_VARIABLE]: header }),
    },
  };
}
