import { record, refuse } from '../api-gateway/model.ts';
import {
  ANY_METHOD,
  AUTHORIZER,
  authorizerOf,
  capitalized,
  demandKnown,
  INTEGRATION,
  METHODS,
} from '../api-gateway/openapi-body.ts';
import type { DeployedResource } from '../resource.ts';

/** Extensions and properties name some things differently. */
const renamed = (members: Record<string, unknown>, kind: 'Authorizer' | 'Integration') => {
  const { type, uri, httpMethod, identitySource, ...rest } = members;
  const sources = typeof identitySource === 'string' ? identitySource.split(',') : [];
  return {
    [`${kind}Type`]: String(type).toUpperCase(),
    ...(uri !== undefined && { [`${kind}Uri`]: uri }),
    ...(httpMethod !== undefined && { [`${kind}Method`]: httpMethod }),
    ...(identitySource !== undefined && { IdentitySource: sources.map((source) => source.trim()) }),
    ...capitalized(rest),
  };
};

/**
 * The resources that API Gateway makes when it imports the OpenAPI document of an HTTP API (AWS::ApiGatewayV2::Api.Body),
 * as if the template had them, after the API with the name that the document gives it.
 *
 * @throws Error naming what the laptop stack does not know
 */
export function importHttpBody(api: DeployedResource): DeployedResource[] {
  const { Body, ...properties } = api.properties;
  const body = record(Body);
  if (!/^3\.0\./.test(String(body['openapi'])))
    refuse(api, 'the laptop stack knows only a Body of OpenAPI 3.0');
  if (properties['ProtocolType'] === 'WEBSOCKET') refuse(api, 'Body is for HTTP APIs only');
  demandKnown(api, body, [], 'the root');
  const part = (kind: string, name: string, its: Record<string, unknown>): DeployedResource => ({
    stack: api.stack,
    ...(api.account !== undefined && { account: api.account }),
    logicalId: `${api.logicalId} ${kind} ${name}`,
    type: `AWS::ApiGatewayV2::${kind}`,
    properties: { ApiId: api.ref, ...its },
    ref: name,
    attributes: {},
  });
  const { title } = record(body['info']);
  const made: DeployedResource[] = [
    { ...api, properties: { Name: title, ProtocolType: 'HTTP', ...properties } },
  ];

  const schemes = record(record(body['components'])['securitySchemes']);
  for (const [name, scheme] of Object.entries(schemes)) {
    const authorizer = record(scheme)[AUTHORIZER];
    if (authorizer)
      made.push(part('Authorizer', name, { Name: name, ...renamed(record(authorizer), 'Authorizer') }));
  }
  for (const [path, item] of Object.entries(record(body['paths']))) {
    demandKnown(api, record(item), [ANY_METHOD], path);
    if (path === '/$default') refuse(api, 'the laptop stack does not know /$default in Body');
    for (const [name, member] of Object.entries(record(item))) {
      if (!METHODS.includes(name) && name !== ANY_METHOD) continue;
      const operation = record(member);
      const routeKey = `${name === ANY_METHOD ? 'ANY' : name.toUpperCase()} ${path}`;
      demandKnown(api, operation, [INTEGRATION], routeKey);
      const authorizer = authorizerOf(api, operation, schemes, routeKey);
      made.push(
        part('Integration', routeKey, renamed(record(operation[INTEGRATION]), 'Integration')),
        part('Route', routeKey, {
          RouteKey: routeKey,
          Target: `integrations/${routeKey}`,
          AuthorizationType: authorizer === undefined ? 'NONE' : 'CUSTOM',
          ...(authorizer !== undefined && { AuthorizerId: authorizer }),
        }),
      );
    }
  }
  return made;
}
