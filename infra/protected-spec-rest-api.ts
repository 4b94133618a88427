import { Lazy } from 'aws-cdk-lib';
import { ApiDefinition, EndpointType, SpecRestApi, type Stage } from 'aws-cdk-lib/aws-apigateway';
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
    const { handlers = {} } = props;
    const used = new Set<string>();
    const { document, routes } = protectOpenApi(props.document, {
      api: 'rest',
      authorizerUri: protection.authorizerUri,
      cacheTtlSeconds: ttlSeconds,
      ...(cacheHeader !== undefined && { cacheHeader }),
      integrationOf: ({ operationId = '', route }) => {
        const handler = Object.hasOwn(handlers, operationId) ? handlers[operationId] : undefined;
        if (!handler) return undefined;
        used.add(operationId);
        protection.allowHandler(handler, route);
        return { type: 'aws_proxy', httpMethod: 'POST', uri: protection.invocationUri(handler.functionArn) };
      },
    });
    const unused = Object.keys(handlers).filter((operationId) => !used.has(operationId));
    if (unused.length > 0)
      throw new Error(
        `${this.node.path}: no operation that needs a handler has the operationId ${unused.join(', ')}`,
      );
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
}
