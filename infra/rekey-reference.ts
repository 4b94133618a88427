import { Fn } from 'aws-cdk-lib';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';

/** What a team needs to know of the product's stack. */
export interface RekeyReference {
  authorizerFunctionArn: string;
  registerRoutesFunctionArn: string;
  /**
   * Of another account, which lets this one in by its property `rekey:consumerAccounts`: only the owner of a function can
   * give a permission. @default false
   */
  ofAnotherAccount?: boolean;
}

/** The SSM parameters that the product's stack publishes; `infra/attachment.ts` writes them. */
export const parameterName = (stackName: string, of: 'authorizer' | 'register-routes'): string =>
  `/rekey/${stackName}/${of}-function-arn`;

/** The product's stack in the same account and Region, by its outputs. */
export function importRekey(stackName = 'Rekey'): RekeyReference {
  return {
    authorizerFunctionArn: Fn.importValue(`${stackName}-AuthorizerFunctionArn`),
    registerRoutesFunctionArn: Fn.importValue(`${stackName}-RegisterRoutesFunctionArn`),
  };
}

/**
 * The product's stack in the same account and Region, by its SSM parameters: looked up at each deployment, so that
 * neither stack holds the other one back, as exports do. Another account has no such parameters: there, write the two
 * ARNs down (docs/attach.md).
 */
export function lookUpRekey(scope: Construct, stackName = 'Rekey'): RekeyReference {
  const stored = (of: 'authorizer' | 'register-routes') =>
    StringParameter.valueForStringParameter(scope, parameterName(stackName, of));
  return {
    authorizerFunctionArn: stored('authorizer'),
    registerRoutesFunctionArn: stored('register-routes'),
  };
}
