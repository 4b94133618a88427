import type { PolicyDocument } from 'aws-lambda';

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html */
const LONGEST_RESOURCE = 512;

/**
 * The characters IAM reads as something else, each with IAM's way of writing it plainly. A `$` means something
 * only before `{`. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
 */
const SPECIAL = /[*?]|\$(?=\{)/g;

/**
 * The resource that matches this method ARN and no other one. A path is the caller's to choose: a `*` in it would
 * otherwise match every path.
 *
 * API Gateway takes 512 characters. An ARN longer than that becomes its longest prefix and a `*`. It matches more
 * than the request, and can't be used for more: the answer is not cached, so it is evaluated for this one request
 * and thrown away. (An authorizer with caching must not use this function.)
 */
export function literalResource(methodArn: string): string {
  const literal = methodArn.replace(SPECIAL, '${$&}');
  if (literal.length <= LONGEST_RESOURCE) return literal;

  const prefix = literal.slice(0, LONGEST_RESOURCE - 1);
  // Of an escape that the cut went through (`${`, `${*`) nothing may stay: it would be half a variable.
  return `${prefix.replace(/\$(?:\{[*?$]?)?$/, '')}*`;
}

/** The policy that allows or denies exactly one request. */
export function policyFor(effect: 'Allow' | 'Deny', methodArn: string): PolicyDocument {
  return {
    Version: '2012-10-17',
    Statement: [{ Effect: effect, Action: 'execute-api:Invoke', Resource: literalResource(methodArn) }],
  };
}
