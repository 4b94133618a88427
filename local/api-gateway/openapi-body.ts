import type { DeployedResource } from '../resource.ts';
import { record, refuse } from './model.ts';

/** The operations of a path, in an OpenAPI document. */
export const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'];
export const ANY_METHOD = 'x-amazon-apigateway-any-method';
export const AUTHORIZER = 'x-amazon-apigateway-authorizer';
const GATEWAY_RESPONSES = 'x-amazon-apigateway-gateway-responses';
export const INTEGRATION = 'x-amazon-apigateway-integration';

/** `responseParameters` of an extension is `ResponseParameters` of a resource. */
export const capitalized = (members: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(members).map(([name, value]) => [
      `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
      value,
    ]),
  );

/** Extensions are what the document says to API Gateway: one that is not known here changes what is served. */
export function demandKnown(
  api: DeployedResource,
  members: Record<string, unknown>,
  known: string[],
  where: string,
) {
  for (const name of Object.keys(members))
    if (name.startsWith('x-amazon-apigateway-') && !known.includes(name))
      refuse(api, `the laptop stack does not know ${name} in ${where} of Body`);
}

/** Which authorizer an operation is guarded by. Of the whole document's `security` API Gateway takes no notice. */
export function authorizerOf(
  api: DeployedResource,
  operation: Record<string, unknown>,
  schemes: Record<string, unknown>,
  where: string,
): string | undefined {
  const security = operation['security'] ?? [];
  if (!Array.isArray(security)) return refuse(api, `security of ${where} in Body is no list`);
  const names = security.flatMap((requirement) => Object.keys(record(requirement)));
  const [name] = names;
  if (name === undefined) return undefined;
  if (names.length > 1)
    refuse(api, `the laptop stack knows only one authorizer for ${where} in Body, not ${names.join(', ')}`);
  // Without an authorizer it would be API Gateway's own API keys, or nothing at all.
  if (!record(schemes[name])[AUTHORIZER])
    refuse(api, `the security scheme ${name} of ${where} in Body has no ${AUTHORIZER}`);
  return name;
}

/**
 * The resources that API Gateway makes when it imports the OpenAPI document of an API (AWS::ApiGateway::RestApi.Body), as
 * if the template had them.
 *
 * @throws Error naming what the laptop stack does not know
 */
export function importBody(api: DeployedResource): DeployedResource[] {
  const body = record(api.properties['Body']);
  if (!/^3\.0\./.test(String(body['openapi'])))
    refuse(api, 'the laptop stack knows only a Body of OpenAPI 3.0');
  demandKnown(api, body, [GATEWAY_RESPONSES], 'the root');
  const made = new Map<string, DeployedResource>();
  const make = (kind: string, ref: string, properties: Record<string, unknown>): string => {
    const id = `${kind} ${ref}`;
    if (!made.has(id))
      made.set(id, {
        stack: api.stack,
        logicalId: `${api.logicalId} ${id}`,
        type: `AWS::ApiGateway::${kind}`,
        properties: { RestApiId: api.ref, ...properties },
        ref,
        attributes: {},
      });
    return ref;
  };

  const schemes = record(record(body['components'])['securitySchemes']);
  for (const [name, scheme] of Object.entries(schemes)) {
    if (!record(scheme)[AUTHORIZER]) continue;
    const { type, ...authorizer } = record(record(scheme)[AUTHORIZER]);
    make('Authorizer', name, { Name: name, Type: String(type).toUpperCase(), ...capitalized(authorizer) });
  }

  const resourceId = (path: string): string => {
    if (path === '') return api.attributes['RootResourceId'] ?? refuse(api, 'RootResourceId is missing');
    const at = path.lastIndexOf('/');
    return make('Resource', path, { ParentId: resourceId(path.slice(0, at)), PathPart: path.slice(at + 1) });
  };
  for (const [path, item] of Object.entries(record(body['paths']))) {
    demandKnown(api, record(item), [ANY_METHOD], path);
    for (const [name, member] of Object.entries(record(item))) {
      if (!METHODS.includes(name) && name !== ANY_METHOD) continue;
      const where = `${name} ${path}`;
      const operation = record(member);
      demandKnown(api, operation, [INTEGRATION], where);
      const { type, httpMethod, ...integration } = record(operation[INTEGRATION]);
      const authorizer = authorizerOf(api, operation, schemes, where);
      make('Method', where, {
        ResourceId: resourceId(path === '/' ? '' : path),
        HttpMethod: name === ANY_METHOD ? 'ANY' : name.toUpperCase(),
        AuthorizationType: authorizer === undefined ? 'NONE' : 'CUSTOM',
        ...(authorizer !== undefined && { AuthorizerId: authorizer }),
        Integration: {
          Type: String(type).toUpperCase(),
          IntegrationHttpMethod: httpMethod,
          ...capitalized(integration),
        },
      });
    }
  }

  for (const [type, response] of Object.entries(record(body[GATEWAY_RESPONSES])))
    make('GatewayResponse', type, { ResponseType: type, ...capitalized(record(response)) });
  return [...made.values()];
}
