import type { DeployedResource } from './resource.ts';

/** AWS's own policies that grant only what a function needs no AWS call for here: logs are files, X-Ray is not there. */
const NOTHING_NEEDED = new Set([
  'arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole',
  'arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess',
]);

interface PolicyDocument {
  Statement?: unknown;
}

export const roleOf = (
  roleArn: string,
  resources: readonly DeployedResource[],
): DeployedResource | undefined =>
  resources.find(({ type, attributes }) => type === 'AWS::IAM::Role' && attributes['Arn'] === roleArn);

/** @throws Error if the role is not in the templates, or Lambda may not assume it */
export function checkFunctionRole(roleArn: string, resources: readonly DeployedResource[]): void {
  const role = roleOf(roleArn, resources);
  if (role === undefined) throw new Error(`the role ${roleArn} is not in the templates`);
  if (!trustsLambda(role.properties['AssumeRolePolicyDocument'] as PolicyDocument))
    throw new Error(`${role.stack}/${role.logicalId}: lambda.amazonaws.com may not assume this role`);
}

/**
 * The policy documents of a role: inline, attached by `AWS::IAM::Policy`, and managed.
 *
 * @throws Error if the role is not in the templates, or has a managed policy of AWS that the laptop stack does not know:
 *   its statements are not in the template
 */
export function policiesOf(roleArn: string, resources: readonly DeployedResource[]): unknown[] {
  const role = roleOf(roleArn, resources);
  if (role === undefined) throw new Error(`the role ${roleArn} is not in the templates`);
  const place = `${role.stack}/${role.logicalId}`;
  const documents: unknown[] = [];
  for (const { PolicyDocument } of (role.properties['Policies'] ?? []) as { PolicyDocument: unknown }[]) {
    documents.push(PolicyDocument);
  }
  for (const arn of (role.properties['ManagedPolicyArns'] ?? []) as string[]) {
    if (NOTHING_NEEDED.has(arn)) continue;
    const policy = resources.find(({ type, ref }) => type === 'AWS::IAM::ManagedPolicy' && ref === arn);
    if (policy === undefined)
      throw new Error(`${place}: the laptop stack does not know the managed policy ${arn}`);
    documents.push(policy.properties['PolicyDocument']);
  }
  for (const { type, properties } of resources) {
    if (type !== 'AWS::IAM::Policy' && type !== 'AWS::IAM::ManagedPolicy') continue;
    if (((properties['Roles'] ?? []) as string[]).includes(role.ref))
      documents.push(properties['PolicyDocument']);
  }
  return documents;
}

function trustsLambda(document: PolicyDocument | undefined): boolean {
  return [document?.Statement ?? []].flat().some((statement) => {
    const { Effect, Action, Principal } = statement as {
      Effect?: string;
      Action?: unknown;
      Principal?: { Service?: unknown };
    };
    return (
      Effect === 'Allow' &&
      [Action].flat().includes('sts:AssumeRole') &&
      [Principal?.Service].flat().includes('lambda.amazonaws.com')
    );
  });
}
