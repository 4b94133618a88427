import { CfnOutput, Stack } from 'aws-cdk-lib';
import { CfnPermission, type IFunction } from 'aws-cdk-lib/aws-lambda';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { parameterName } from './rekey-reference.ts';

export interface AttachmentProps {
  authorizer: IFunction;
  registerRoutes: IFunction;
  deployKey: IFunction;
  rotateSecret: IFunction;
  /** Other accounts whose APIs may be attached. */
  consumerAccounts: readonly string[];
}

/**
 * What the stacks of protected APIs and of their clients find of the product's: outputs with export names, SSM parameters, and for other
 * accounts the permissions that only the owner of a function can give.
 */
export class Attachment extends Construct {
  constructor(
    scope: Construct,
    id: string,
    { authorizer, registerRoutes, deployKey, rotateSecret, consumerAccounts }: AttachmentProps,
  ) {
    super(scope, id);
    const stack = Stack.of(this);
    for (const [name, of, { functionArn: value }] of [
      ['AuthorizerFunctionArn', 'authorizer', authorizer],
      ['RegisterRoutesFunctionArn', 'register-routes', registerRoutes],
      ['DeployKeyFunctionArn', 'deploy-key', deployKey],
      ['RotateSecretFunctionArn', 'rotate-secret', rotateSecret],
    ] as const) {
      new CfnOutput(stack, name, { value, exportName: `${stack.stackName}-${name}` });
      new StringParameter(this, name, {
        parameterName: parameterName(stack.stackName, of),
        stringValue: value,
        description: `For the stacks of APIs that ${stack.stackName} protects`,
      });
    }
    for (const account of consumerAccounts) {
      new CfnPermission(this, `Authorizer${account}`, {
        action: 'lambda:InvokeFunction',
        functionName: authorizer.functionArn,
        principal: 'apigateway.amazonaws.com',
        sourceAccount: account,
        sourceArn: stack.formatArn({
          service: 'execute-api',
          account,
          resource: '*',
          resourceName: 'authorizers/*',
        }),
      });
      // Whoever deploys there. A table of routes is in force only where the API's own stage names its hash (decision 0001).
      new CfnPermission(this, `RegisterRoutes${account}`, {
        action: 'lambda:InvokeFunction',
        functionName: registerRoutes.functionArn,
        principal: account,
      });
    }
  }
}
