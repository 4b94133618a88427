/** A template's resource, as far as a role's policies are in it. */
interface Resource {
  Type: string;
  Properties: { Policies?: { PolicyDocument: PolicyDocument }[] } & Partial<Attached>;
}
interface Attached {
  Roles: { Ref: string }[];
  PolicyDocument: PolicyDocument;
}

/** What a policy says, its intrinsics not resolved. */
export interface PolicyDocument {
  // biome-ignore lint/suspicious/noExplicitAny: a template is JSON of any shape
  Statement: any[];
}

/** The policy documents of a role of a template: those in the role itself, and those that are attached to it. */
export function documentsOf(roleId: string, resources: Readonly<Record<string, Resource>>): PolicyDocument[] {
  const inline = resources[roleId]!.Properties.Policies ?? [];
  const attached = Object.values(resources)
    .filter(({ Type }) => Type === 'AWS::IAM::Policy')
    .map(({ Properties }) => Properties as Attached)
    .filter(({ Roles }) => Roles.some(({ Ref }) => Ref === roleId));
  return [...inline, ...attached].map(({ PolicyDocument }) => PolicyDocument);
}
