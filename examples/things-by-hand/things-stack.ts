import { CfnOutput, type StackProps } from 'aws-cdk-lib';
import {
  AuthorizationType,
  CfnAuthorizer,
  EndpointType,
  type IAuthorizer,
  LambdaIntegration,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import {
  CfnApi,
  CfnIntegration,
  CfnRoute,
  CfnStage,
  CfnAuthorizer as CfnV2Authorizer,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { CfnPermission, type IFunction } from 'aws-cdk-lib/aws-lambda';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';
import { ExampleStack } from '../example-stack.ts';

/** Who registers the routes, with `PUT /apis/{id}`: the owner of the key that does it. */
const OWNER = 'team-things';
const PRODUCT = '/rekey/Rekey/authorizer-function-arn';

/**
 * APIs that know nothing of Rekey's constructs: its authorizer is attached by its ARN, and what their routes need is
 * registered by a request (docs/attach.md, "By hand"). The same in Terraform, SAM or the console.
 */
export class ThingsStack extends ExampleStack {
  readonly #authorizerArn = StringParameter.valueForStringParameter(this, PRODUCT);
  readonly #handler: IFunction;

  constructor(scope: Construct, id: string, props: StackProps) {
    super(scope, id, { ...props, mode: 'development' });
    this.#handler = this.lambda('Things', new URL('things.ts', import.meta.url), 'Shows things');
    this.#restApi('Rest', { rekeyOwner: OWNER });
    this.#restApi('Kept', { rekeyOwner: OWNER, rekeyCacheHeader: 'x-api-key' }, 300);
    this.#v2Api('Http', 'HTTP', '$default', ['GET /things', 'POST /things/{id}']);
    this.#v2Api('Socket', 'WEBSOCKET', 'v1', ['$connect']);
  }

  /** @param ttl seconds that API Gateway keeps the answers, by the header that the stage's variable names */
  #restApi(name: string, variables: Record<string, string>, ttl = 0): void {
    const api = new RestApi(this, name, {
      endpointConfiguration: { types: [EndpointType.REGIONAL] },
      cloudWatchRole: false,
      deployOptions: { stageName: 'v1', variables },
    });
    const authorizer = new CfnAuthorizer(this, `${name}Authorizer`, {
      restApiId: api.restApiId,
      name: 'Rekey',
      type: 'REQUEST',
      authorizerUri: this.#authorizerUri,
      authorizerResultTtlInSeconds: ttl,
      ...(ttl > 0 && { identitySource: 'method.request.header.x-api-key' }),
    });
    this.#allow(name, api.restApiId, authorizer.ref);
    const protectedBy = {
      authorizationType: AuthorizationType.CUSTOM,
      authorizer: { authorizerId: authorizer.ref } as IAuthorizer,
    };
    const integration = new LambdaIntegration(this.#handler);
    const things = api.root.addResource('things');
    things.addMethod('GET', integration, protectedBy);
    things.addResource('{id}').addMethod('POST', integration, protectedBy);
    new CfnOutput(this, `Things${name}ApiUrl`, { value: api.url.replace(/\/$/, '') });
    new CfnOutput(this, `Things${name}ApiId`, { value: api.restApiId });
  }

  #v2Api(name: string, protocolType: 'HTTP' | 'WEBSOCKET', stageName: string, routes: string[]): void {
    const isHttp = protocolType === 'HTTP';
    const api = new CfnApi(this, name, {
      name: `things-${name.toLowerCase()}`,
      protocolType,
      ...(!isHttp && { routeSelectionExpression: '$request.body.action' }),
    });
    const authorizer = new CfnV2Authorizer(this, `${name}Authorizer`, {
      apiId: api.ref,
      name: 'Rekey',
      authorizerType: 'REQUEST',
      authorizerUri: this.#authorizerUri,
      // CDK's own construct says 1.0 here, which Rekey refuses.
      ...(isHttp && {
        authorizerPayloadFormatVersion: '2.0',
        enableSimpleResponses: false,
        authorizerResultTtlInSeconds: 0,
      }),
      identitySource: [],
    });
    this.#allow(name, api.ref, authorizer.ref);
    const integration = new CfnIntegration(this, `${name}Integration`, {
      apiId: api.ref,
      integrationType: 'AWS_PROXY',
      integrationUri: isHttp ? this.#handler.functionArn : this.#invocationOf(this.#handler.functionArn),
      ...(isHttp && { payloadFormatVersion: '2.0' }),
    });
    new CfnPermission(this, `${name}MayInvoke`, {
      action: 'lambda:InvokeFunction',
      functionName: this.#handler.functionArn,
      principal: 'apigateway.amazonaws.com',
      sourceArn: this.formatArn({ service: 'execute-api', resource: api.ref, resourceName: '*' }),
    });
    const added = routes.map(
      (routeKey, index) =>
        new CfnRoute(this, `${name}Route${index}`, {
          apiId: api.ref,
          routeKey,
          target: `integrations/${integration.ref}`,
          authorizationType: 'CUSTOM',
          authorizerId: authorizer.ref,
        }),
    );
    const stage = new CfnStage(this, `${name}Stage`, {
      apiId: api.ref,
      stageName,
      autoDeploy: true,
      stageVariables: { rekeyOwner: OWNER },
    });
    for (const route of added) stage.addDependency(route);
    const url = `${isHttp ? 'https' : 'wss'}://${api.ref}.execute-api.${this.region}.${this.urlSuffix}`;
    new CfnOutput(this, `Things${name}ApiUrl`, { value: isHttp ? url : `${url}/${stageName}` });
    new CfnOutput(this, `Things${name}ApiId`, { value: api.ref });
  }

  /** API Gateway may ask the authorizer for this API. */
  #allow(name: string, apiId: string, authorizerId: string): void {
    new CfnPermission(this, `${name}MayAsk`, {
      action: 'lambda:InvokeFunction',
      functionName: this.#authorizerArn,
      principal: 'apigateway.amazonaws.com',
      sourceArn: this.formatArn({
        service: 'execute-api',
        resource: apiId,
        resourceName: `authorizers/${authorizerId}`,
      }),
    });
  }

  get #authorizerUri(): string {
    return this.#invocationOf(this.#authorizerArn);
  }

  #invocationOf(functionArn: string): string {
    return `arn:${this.partition}:apigateway:${this.region}:lambda:path/2015-03-31/functions/${functionArn}/invocations`;
  }
}
