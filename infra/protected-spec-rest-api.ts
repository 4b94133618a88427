import { Lazy } from 'aws-cdk-lib';
import { ApiDefinition, EndpointType, SpecRestApi, type Stage } from 'aws-cdk-lib/aws-apigateway';
import { ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { type OpenApiDocument, protectOpenApi } from '../lib/protect-openapi/index.ts';
import { type CachingProps, type ProtectedApiProps, Protection } from './protection.ts';
import { completeRestApi, STAGE, stageOptions, urlOf } from './rest-stage.ts';

export interface ProtectedSpecRestApiProps extends Omit<ProtectedApiProps, 'description'>, CachingProps {
  /** OpenAPI 3, as JSON or YAML was parsed. Who may call an operation is in its `security`. */
  document: OpenApiDocument;
  /**
   * What runs each operation, by its `operationId`. An operation that has an `x-amazon-apigateway-integration` of its own
   * needs none.
   */
  handlers?: Record<string, IFunction>;
}

const INTEGRATION = 'x-amazon-apigateway-integration';
const ANY_METHOD = 'x-amazon-apigateway-any-method';

type Members = Record<string, unknown>;

/** The operations of a path: whatever has an answer to give. */
const isOperation = (name: string, member: unknown): member is Members =>
  (name === ANY_METHOD || /^(?:get|put|post|delete|options|head|patch)$/.test(name)) &&
  typeof member === 'object' &&
  member !== null;

/**
 * A REST API made from an OpenAPI document, whose operations' `security` is the whole declaration.
 *
 * ```ts
 * const document = parse(readFileSync('invoices.yaml', 'utf8'));
 * new ProtectedSpecRestApi(this, 'Api', { rekey: importRekey(), document, handlers: { listInvoices } });
 * ```
 *
 * @throws Error naming each operation that does not say who may call it, or that nothing runs
 */
export class ProtectedSpecRestApi extends Construct {
  readonly restApiId: string;
  readonly stage: Stage;
  /** With the stage and without a slash at the end. */
  readonly url: string;

  constructor(scope: Construct, id: string, props: ProtectedSpecRestApiProps) {
    super(scope, id);
    const apiId = Lazy.string({ produce: () => this.restApiId });
    const protection = new Protection(this, { ...props, apiId, stage: { name: STAGE, kind: 'rest' } });
    const { ttlSeconds, cacheHeader } = protection;
    const { document, routes } = protectOpenApi(this.#integrated(props, protection), {
      api: 'rest',
      authorizerUri: protection.authorizerUri,
      cacheTtlSeconds: ttlSeconds,
      ...(cacheHeader !== undefined && { cacheHeader }),
    });
    for (const [route, needed] of Object.entries(routes)) protection.routes.declare(route, needed);

    const api = new SpecRestApi(this, 'Api', {
      restApiName: this.node.path.replaceAll('/', '-'),
      apiDefinition: ApiDefinition.fromInline(document),
      endpointTypes: [EndpointType.REGIONAL],
      cloudWatchRole: false,
      deployOptions: stageOptions(protection),
    });
    this.restApiId = api.restApiId;
    this.stage = api.deploymentStage;
    this.url = urlOf(api);
    // What the import makes has no name in a template.
    protection.allowAuthorizer('*');
    completeRestApi(this, api, protection);
  }

  /** The document with the handlers put in, which API Gateway may then invoke. */
  #integrated(
    { document, handlers = {} }: ProtectedSpecRestApiProps,
    protection: Protection,
  ): OpenApiDocument {
    const used = new Set<string>();
    const operationOf = (name: string, path: string, operation: Members): Members => {
      const id = String(operation['operationId'] ?? '');
      const handler = Object.hasOwn(handlers, id) ? handlers[id] : undefined;
      if (!handler && operation[INTEGRATION]) return operation;
      if (!handler)
        throw new Error(
          `${this.node.path}: nothing runs ${name} ${path}: give handlers one for its operationId, or the operation an ${INTEGRATION}`,
        );
      used.add(id);
      const method = name === ANY_METHOD ? 'ANY' : name.toUpperCase();
      handler.addPermission(`${this.node.path} ${method} ${path}`, {
        scope: this,
        principal: new ServicePrincipal('apigateway.amazonaws.com'),
        sourceArn: protection.arn(
          `${STAGE}/${method === 'ANY' ? '*' : method}${path.replaceAll(/\{[^}]+\}/g, '*')}`,
        ),
      });
      return {
        ...operation,
        [INTEGRATION]: {
          type: 'aws_proxy',
          httpMethod: 'POST',
          uri: protection.invocationUri(handler.functionArn),
        },
      };
    };
    const paths = Object.fromEntries(
      Object.entries((document['paths'] ?? {}) as Record<string, Members>).map(([path, item]) => [
        path,
        Object.fromEntries(
          Object.entries(item ?? {}).map(([name, member]) => [
            name,
            isOperation(name, member) ? operationOf(name, path, member) : member,
          ]),
        ),
      ]),
    );
    const unused = Object.keys(handlers).filter((id) => !used.has(id));
    if (unused.length > 0)
      throw new Error(`${this.node.path}: no operation has the operationId ${unused.join(', ')}`);
    return { ...document, paths };
  }
}
