import { hash } from 'node:crypto';
import { type RunSimulationResults, runSimulation, runUnsafeSimulation } from '@cloud-copilot/iam-simulate';

export interface PolicyQuestion {
  /** Identity policy documents, or the one an authorizer returned. */
  policies: unknown[];
  /** The policy document of the resource, where it has one. */
  resourcePolicy?: unknown;
  /**
   * ARN of a role session, or a service (`events.amazonaws.com`). Anything else (an authorizer's `principalId`) stands
   * for a session of no name.
   */
  principal: string;
  /** `dynamodb:GetItem`, `execute-api:Invoke`. */
  action: string;
  /** Resource ARN. It is never a pattern: a `*` in it is that character. */
  resource: string;
  /** Condition keys of the request. A list is a multi-valued key. */
  context?: Record<string, string | string[]>;
}

export interface PolicyDecision {
  allowed: boolean;
  explicitDeny: boolean;
  /** Ends AWS's sentence "User: … is not authorized to perform: … on resource: …"; empty when allowed. */
  reason: string;
}

/** Condition keys that AWS leaves out of some requests, so that `…IfExists` and `Null` have a meaning for them. */
const mayBeAbsent = new Set(
  [
    // Only a call that a service of AWS makes has these two, and only an account in an organization has the others.
    'aws:SourceArn',
    'aws:SourceAccount',
    'aws:PrincipalOrgID',
    'aws:PrincipalOrgPaths',
    'aws:PrincipalArn',
    'aws:PrincipalAccount',
    // Of a role that is assumed, where the caller says one.
    'sts:ExternalId',
    // Of a secret that rotates, and of what a request says of a secret.
    'secretsmanager:resource/AllowRotationLambdaArn',
    'secretsmanager:SecretId',
    'secretsmanager:VersionId',
    'secretsmanager:VersionStage',
    'secretsmanager:Name',
    'secretsmanager:RotationLambdaARN',
    'dynamodb:Attributes',
    'dynamodb:EnclosingOperation',
    'dynamodb:LeadingKeys',
    'dynamodb:ReturnConsumedCapacity',
    'dynamodb:ReturnValues',
    'dynamodb:Select',
  ].map((key) => key.toLowerCase()),
);

/** Of a resource that may have no such tag. */
const TAG = /^(?:aws|secretsmanager):resourcetag\//;

/** Private-use character that stands for a literal asterisk; the simulator takes `*` in a request for a pattern. */
const asterisk = '\u{E000}';

/** Keeps the most recently used `limit` entries. */
class RecentlyUsed<Value> {
  readonly #entries = new Map<string, Value>();
  readonly #limit: number;
  constructor(limit: number) {
    this.#limit = limit;
  }
  get(key: string): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }
  set(key: string, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#limit) this.#entries.delete(this.#entries.keys().next().value!);
  }
}

/** The simulator takes some 0.4 ms per question, and the same ones come with each request. */
const decisions = new RecentlyUsed<PolicyDecision>(10_000);
const keysByPolicies = new RecentlyUsed<Set<string>>(500);

/**
 * Decides as IAM does: an explicit deny wins, then any allow of an identity's or the resource's policy, else no. Across
 * accounts, and for a role that is assumed, both must allow it.
 *
 * Everything unexpected is a refusal with its reason, never an exception: a malformed policy, and a policy with a
 * condition key that this request has no value for, unless DynamoDB itself leaves that key out of some requests
 * (`ForAllValues` is true for an absent key, so a key that is merely not implemented must not count as absent).
 */
export async function evaluatePolicies(question: PolicyQuestion): Promise<PolicyDecision> {
  const documents = allDocuments(question);
  const policies = JSON.stringify([question.policies, question.resourcePolicy]);
  const policiesId = hash('sha256', policies, 'base64');
  let keys = keysByPolicies.get(policiesId);
  if (keys === undefined) {
    keys = conditionKeys(documents);
    keysByPolicies.set(policiesId, keys);
  }

  // A condition key that no policy names can't change the decision; without it the memo serves many more requests.
  const context: Record<string, string | string[]> = {};
  for (const [key, value] of Object.entries(question.context ?? {})) {
    if (keys.has(key.toLowerCase())) context[key] = value;
  }
  const memoKey = hash(
    'sha256',
    JSON.stringify([
      policiesId,
      question.principal,
      question.action,
      question.resource,
      Object.entries(context).sort(),
    ]),
    'base64',
  );
  const known = decisions.get(memoKey);
  if (known !== undefined) return known;
  const decision = await decide({ ...question, context });
  decisions.set(memoKey, decision);
  return decision;
}

const allDocuments = ({ policies, resourcePolicy }: PolicyQuestion): unknown[] =>
  resourcePolicy === undefined ? policies : [...policies, resourcePolicy];

const refused = (reason: string): PolicyDecision => ({ allowed: false, explicitDeny: false, reason });

async function decide(
  question: PolicyQuestion & { context: Record<string, string | string[]> },
): Promise<PolicyDecision> {
  const { action, resource, context } = question;
  const present = new Set(Object.keys(context).map((key) => key.toLowerCase()));
  for (const key of conditionKeys(allDocuments(question), action.split(':')[0])) {
    if (!present.has(key) && !mayBeAbsent.has(key) && !TAG.test(key)) {
      return refused(`because the laptop stack has no value for the condition key ${key}`);
    }
  }
  try {
    const outcome = await simulate(question);
    if (outcome === 'Allowed') return { allowed: true, explicitDeny: false, reason: '' };
    if (outcome === 'ExplicitlyDenied') {
      return {
        allowed: false,
        explicitDeny: true,
        reason:
          question.resourcePolicy === undefined
            ? 'with an explicit deny in an identity-based policy'
            : 'with an explicit deny',
      };
    }
    if (outcome === 'ImplicitlyDenied') {
      return refused(`because no ${missingPolicy(question)} allows the ${action} action`);
    }
    return refused(`because the request can't be evaluated: ${outcome}`);
  } catch (error) {
    return refused(`because the request on ${resource} can't be evaluated: ${(error as Error).message}`);
  }
}

function missingPolicy({ principal, action }: PolicyQuestion): string {
  if (principal.endsWith('.amazonaws.com')) return 'resource-based policy';
  // Both are asked, and only one of them may be missing.
  return action === 'sts:AssumeRole' ? 'identity-based policy or role trust policy' : 'identity-based policy';
}

async function simulate(
  question: PolicyQuestion & { context: Record<string, string | string[]> },
): Promise<string> {
  const accountId = question.resource.split(':')[4] || question.principal.split(':')[4] || '';
  if (question.resource.includes(asterisk)) return 'a character of the resource';
  const literal = question.resource !== '*' && question.resource.includes('*');
  const policies = literal ? question.policies.map(withLiteralAsterisk) : question.policies;
  const resource = literal ? question.resource.replaceAll('*', asterisk) : question.resource;
  const { resourcePolicy } = question;
  const simulation = (of: string, contextVariables: Record<string, string | string[]>) => ({
    request: {
      principal: /^(arn:|[a-z0-9-]+\.amazonaws\.com$)/.test(question.principal)
        ? question.principal
        : `arn:aws:sts::${accountId}:assumed-role/principal/session`,
      action: question.action,
      resource: { resource: of, accountId },
      contextVariables,
    },
    identityPolicies: policies.map((policy, index) => ({ name: `policy ${index + 1}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    ...(resourcePolicy !== undefined && { resourcePolicy }),
  });
  // Only the careful simulation knows that an action without resources wants a statement for `*`, and only it takes the
  // policy of a resource.
  if (resource === '*' || resourcePolicy !== undefined)
    return outcomeOf(await runSimulation(simulation(resource, question.context), {}));

  // It also checks policies, action and resource, but leaves out condition keys that AWS's reference does not list for
  // the action (`dynamodb:EnclosingOperation` of a ConditionCheckItem, which AWS's own example uses). So it checks
  // with no condition keys, and the decision is made with all of them.
  const checkedId = hash('sha256', JSON.stringify([policies, question.action, resource]), 'base64');
  let problem = problems.get(checkedId);
  if (problem === undefined) {
    const checked = await runSimulation(simulation(knownResource(question.action, resource), {}), {});
    problem = checked.resultType === 'error' ? outcomeOf(checked) : '';
    problems.set(checkedId, problem);
  }
  return problem || runUnsafeSimulation(simulation(resource, question.context), {});
}

/**
 * What the simulator's table of resource types lacks, as what it has of the same form. The root of an API
 * ("…/v1/GET/") and the route of a WebSocket API ("…/v1/$connect") are ARNs to API Gateway, but the table wants method
 * and path, with a character after the last slash; and of the control plane it has the REST APIs only.
 */
function knownResource(action: string, resource: string): string {
  if (action.toLowerCase().startsWith('apigateway:')) return resource.replace('::/apis/', '::/restapis/');
  if (action.toLowerCase() !== 'execute-api:invoke') return resource;
  if (/\/\$?[\w-]+$/.test(resource) && resource.split('/').length === 3) return `${resource}/x`;
  return resource.endsWith('/') ? `${resource}x` : resource;
}

/** By policies, action and resource: what is wrong with them, or nothing. */
const problems = new RecentlyUsed<string>(10_000);

function outcomeOf(result: RunSimulationResults): string {
  if (result.resultType !== 'error') return result.overallResult;
  const { message, ...details } = result.errors;
  return `${message} ${JSON.stringify(details)}`;
}

/** Writes IAM's escape for an asterisk, `${*}`, as the character that stands for it in the request. */
function withLiteralAsterisk(policy: unknown): unknown {
  const rewrite = (value: unknown): unknown => {
    if (typeof value === 'string') return value.replaceAll('${*}', asterisk);
    return Array.isArray(value) ? value.map(rewrite) : value;
  };
  const document = policy as { Statement?: unknown };
  if (typeof document !== 'object' || document === null || document.Statement === undefined) return policy;
  const statements = ([document.Statement].flat() as Record<string, unknown>[]).map((statement) => {
    const copy = { ...statement };
    for (const element of ['Resource', 'NotResource']) {
      if (copy[element] !== undefined) copy[element] = rewrite(copy[element]);
    }
    return copy;
  });
  return { ...document, Statement: statements };
}

/**
 * Lower-case names of the condition keys in conditions and policy variables: of all statements, or only of those that
 * may speak about a service.
 */
function conditionKeys(policies: unknown[], service?: string): Set<string> {
  const found = new Set<string>();
  for (const policy of policies) {
    const statements = [(policy as { Statement?: unknown } | null)?.Statement].flat();
    for (const statement of statements as ({ Action?: unknown; Condition?: unknown } | null | undefined)[]) {
      const actions = [statement?.Action].flat();
      const elsewhere = actions.every(
        (action) => typeof action === 'string' && /^[a-z0-9-]+:/i.test(action) && !isOf(action, service),
      );
      if (service !== undefined && elsewhere) continue;
      for (const tests of Object.values(statement?.Condition ?? {})) {
        for (const key of Object.keys(tests ?? {})) found.add(key.toLowerCase());
      }
      for (const [, name] of JSON.stringify(statement ?? null).matchAll(/\$\{\s*([^},\s]+)/g)) {
        if (name !== undefined && !['*', '?', '$'].includes(name)) found.add(name.toLowerCase());
      }
    }
  }
  return found;
}

const isOf = (action: string, service: string | undefined): boolean =>
  action.toLowerCase().startsWith(`${service?.toLowerCase()}:`);
