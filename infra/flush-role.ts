import { Fn, Names, Stack } from 'aws-cdk-lib';
import { AccountPrincipal, PolicyStatement, Role } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { FLUSH_ROLE_PREFIX } from '../lib/stage.schema.ts';
import type { DeclaredStage } from './declared-routes.ts';
import type { RekeyReference } from './rekey-reference.ts';

/** IAM's limit for the name of a role. */
const LONGEST_NAME = 64;

/** Where a stage's cache is in API Gateway's control plane: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagement.html */
export const cacheArn = (
  stack: Stack,
  kind: 'rest' | 'http',
  api: string,
  stage: string,
  region = stack.region,
): string =>
  `arn:${stack.partition}:apigateway:${region}::/${kind === 'rest' ? 'restapis' : 'apis'}/${api}/stages/${stage}/cache/authorizers`;

/**
 * The role by which the product of another account flushes what this stage keeps, and may do nothing else. None where
 * there is nothing to flush, or the product is in the same account and has its own permission.
 */
export function flushRole(
  scope: Construct,
  apiId: string,
  rekey: RekeyReference,
  { kind, name, ttlSeconds }: DeclaredStage,
): Role | undefined {
  if (!rekey.ofAnotherAccount || ttlSeconds === 0 || kind === 'websocket') return undefined;
  const stack = Stack.of(scope);
  const role = new Role(scope, 'FlushRole', {
    // By its name the product knows which roles it may ask for.
    roleName: `${FLUSH_ROLE_PREFIX}${Names.uniqueResourceName(scope, { maxLength: LONGEST_NAME - FLUSH_ROLE_PREFIX.length, separator: '-' })}`,
    description: 'Rekey flushes the cache of the authorizer with it',
    assumedBy: new AccountPrincipal(Fn.select(4, Fn.split(':', rekey.authorizerFunctionArn))),
    // Nobody makes the product use this role for another API.
    externalIds: [`rekey-${apiId}`],
  });
  role.addToPolicy(
    new PolicyStatement({
      actions: ['apigateway:DELETE'],
      resources: [cacheArn(stack, kind, apiId, name)],
    }),
  );
  return role;
}
