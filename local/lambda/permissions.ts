import type { DeployedResource } from '../resource.ts';

/** The service that invokes a function, by the service part of the ARN it invokes from. */
const PRINCIPALS: Record<string, string> = {
  'execute-api': 'apigateway.amazonaws.com',
  events: 'events.amazonaws.com',
  sns: 'sns.amazonaws.com',
  s3: 's3.amazonaws.com',
  scheduler: 'scheduler.amazonaws.com',
  secretsmanager: 'secretsmanager.amazonaws.com',
};

const wildcard = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replace(/[\\^$.+()|[\]{}]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    's',
  );

/**
 * IAM's `ArnLike`: each of the six parts between colons for itself, `*` any characters, `?` one.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN
 */
export function arnLike(pattern: string, arn: string): boolean {
  const parts = (text: string): string[] => {
    const split = text.split(':');
    return [...split.slice(0, 5), split.slice(5).join(':')];
  };
  const wanted = parts(pattern);
  const given = parts(arn);
  return wanted.every((part, index) => wildcard(part).test(given[index]!));
}

/** Whether an account as a whole may invoke the function: `Principal` is its number. */
export const mayBeInvokedFrom = (
  permissions: Iterable<DeployedResource>,
  target: { arn: string; name: string },
  account: string,
): boolean =>
  target.arn.split(':')[4] === account ||
  [...permissions].some(
    ({ properties: { Action, FunctionName, Principal, SourceArn } }) =>
      (FunctionName === target.arn || FunctionName === target.name) &&
      (Action === 'lambda:InvokeFunction' || Action === 'lambda:*') &&
      (Principal === account || Principal === `arn:aws:iam::${account}:root` || Principal === '*') &&
      SourceArn === undefined,
  );

/** Whether a statement of the function's resource policy (`AWS::Lambda::Permission`) lets the source invoke it. */
export function mayInvoke(
  permissions: Iterable<DeployedResource>,
  target: { arn: string; name: string },
  sourceArn: string,
): boolean {
  const [, , service = '', , account = ''] = sourceArn.split(':');
  for (const { properties } of permissions) {
    const { Action, FunctionName, Principal, SourceArn, SourceAccount } = properties as Record<
      string,
      string | undefined
    >;
    if (
      (FunctionName === target.arn || FunctionName === target.name) &&
      (Action === 'lambda:InvokeFunction' || Action === 'lambda:*') &&
      (Principal === '*' || (PRINCIPALS[service] !== undefined && Principal === PRINCIPALS[service])) &&
      (SourceArn === undefined || arnLike(SourceArn, sourceArn)) &&
      (SourceAccount === undefined || SourceAccount === account)
    ) {
      return true;
    }
  }
  return false;
}
