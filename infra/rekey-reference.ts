import { Fn } from 'aws-cdk-lib';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';

/** What a team needs to know of the product's stack. */
export interface RekeyReference {
  authorizerFunctionArn: string;
  registerRoutesFunctionArn: string;
  /** For `RotatingApiKey`, which another account does not have. */
  deployKeyFunctionArn?: string;
  rotateSecretFunctionArn?: string;
  /**
   * Of another account, which lets this one in by its property `rekey:consumerAccounts`: only the owner of a function can
   * give a permission. @default false
   */
  ofAnotherAccount?: boolean;
}

/** The SSM parameters that the product's stack publishes; `infra/attachment.ts` writes them. */
export const parameterName = (
  stackName: string,
  of: 'authorizer' | 'register-routes' | 'deploy-key' | 'rotate-secret',
): string => `/rekey/${stackName}/${of}-function-arn`;

/** The product's stack in the same account and Region, by its outputs. */
export function importRekey(stackName = 'Rekey'): RekeyReference {
  return {
    authorizerFunctionArn: Fn.importValue(`${stackName}-AuthorizerFunctionArn`),
    registerRoutesFunctionArn: Fn.importValue(`${stackName}-RegisterRoutesFunctionArn`),
    deployKeyFunctionArn: Fn.importValue(`${stackName}-DeployKeyFunctionArn`),
    rotateSecretFunctionArn: Fn.importValue(`${stackName}-RotateSecretFunctionArn`),
  };
}

/**
 * The product's stack in the same account and Region, by its SSM parameters: looked up at each deployment, so that
 * neither stack holds the other one back, as exports do. Another account has no such parameters: there, write the two
 * ARNs down (docs/attach.md).
 */
export function lookUpRekey(scope: Construct, stackName = 'Rekey'): RekeyReference {
  const stored = (of: Parameters<typeof parameterName>[1]) =>
    StringParameter.valueForStringParameter(scope, parameterName(stackName, of));
  return {
    authorizerFunctionArn: stored('authorizer'),
    registerRoutesFunctionArn: stored('register-routes'),
    // A parameter is in the template once it is asked for, and few stacks have keys.
    get deployKeyFunctionArn() {
      return stored('deploy-key');
    },
    get rotateSecretFunctionArn() {
      return stored('rotate-secret');
    },
  };
}
