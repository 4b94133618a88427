import { GatewayError } from './exchange.ts';
import type { Services } from './model.ts';

/** What an authorizer said, once it is known to be well-formed. */
export interface Verdict<Value = string> {
  principalId: string;
  policyDocument: unknown;
  context: Record<string, Value>;
}

const CACHE_ENTRIES = 10_000;
/** "the Resource ARN … is currently limited to 512 characters" (AWS: api-gateway-lambda-authorizer-output). */
const RESOURCE_CHARACTERS = 512;

/**
 * Verdicts by stage, authorizer and identity sources, as long as the authorizer's TTL. One per served API. What is
 * kept is the policy; whoever takes it out asks it about the request at hand.
 */
export class VerdictCache<Value = string> {
  readonly #entries = new Map<string, { stage: string; verdict: Verdict<Value>; expiresAt: number }>();

  /** @param now milliseconds since 1970, by the stack's clock */
  get(key: string, now: number): Verdict<Value> | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.expiresAt > now ? entry.verdict : undefined;
  }

  set(key: string, entry: { stage: string; verdict: Verdict<Value>; expiresAt: number }): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > CACHE_ENTRIES) this.#entries.delete(this.#entries.keys().next().value!);
  }

  /** FlushStageAuthorizersCache, ResetAuthorizersCache: all entries of a stage, there is no smaller unit. */
  flush(stage: string): void {
    for (const [key, entry] of this.#entries) if (entry.stage === stage) this.#entries.delete(key);
  }
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

// AWS answers `{"message":null}` to both; which of the two types it is when an authorizer answers nonsense is
// not documented (docs/api-gateway-on-the-laptop.md), so an API should treat them alike.
export const misconfigured = (why: string) =>
  new GatewayError('AUTHORIZER_CONFIGURATION_ERROR', 'AuthorizerConfigurationException', null, { why });
export const failed = (why: string) =>
  new GatewayError('AUTHORIZER_FAILURE', 'AuthorizerFailureException', null, { why });
export const unauthorized = (why: string) =>
  new GatewayError('UNAUTHORIZED', 'UnauthorizedException', 'Unauthorized', { why });

/** A policy that IAM would not take is the authorizer's fault, and not a refusal of the caller. */
function checkPolicy(document: unknown): void {
  const statements = isRecord(document) ? [document['Statement'] ?? []].flat() : [];
  if (statements.length === 0) throw misconfigured('the authorizer answered no policyDocument');
  for (const statement of statements) {
    if (
      !isRecord(statement) ||
      !['Allow', 'Deny'].includes(String(statement['Effect'])) ||
      !('Action' in statement || 'NotAction' in statement) ||
      !('Resource' in statement || 'NotResource' in statement)
    ) {
      throw misconfigured('the authorizer answered a statement without Effect, Action or Resource');
    }
    for (const resource of [statement['Resource'], statement['NotResource']].flat()) {
      if (typeof resource === 'string' && resource.length > RESOURCE_CHARACTERS) {
        throw misconfigured(`a Resource of the authorizer's policy is longer than ${RESOURCE_CHARACTERS}`);
      }
    }
  }
}

/**
 * Reads the answer that has an IAM policy, the form of all kinds of API.
 *
 * @param contextValue what a value of the context becomes; undefined: it may not be there
 * @throws GatewayError AUTHORIZER_CONFIGURATION_ERROR
 */
export function readVerdict<Value>(
  payload: unknown,
  contextValue: (value: unknown) => Value | undefined,
): Verdict<Value> {
  if (!isRecord(payload)) throw misconfigured('the authorizer answered no object');
  const { principalId, policyDocument, context = {} } = payload;
  if (typeof principalId !== 'string' || principalId === '') {
    throw misconfigured('the authorizer answered no principalId');
  }
  checkPolicy(policyDocument);
  if (context !== null && !isRecord(context)) throw misconfigured('the context is no object');
  const entries = Object.entries(context ?? {}).map(([name, value]): [string, Value] => {
    const kept = contextValue(value);
    if (kept === undefined) throw misconfigured(`the context's ${name} is not text, a number or a boolean`);
    return [name, kept];
  });
  return { principalId, policyDocument, context: Object.fromEntries(entries) };
}

/** REST and WebSocket APIs make text of every value. */
export const contextText = (value: unknown): string | undefined =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;

/**
 * Asks the policy, cached or new, about this very method or route.
 *
 * @throws GatewayError ACCESS_DENIED, AUTHORIZER_CONFIGURATION_ERROR
 */
export async function demandAllowed(
  { policyDocument }: Verdict<unknown>,
  arn: string,
  sourceIp: string,
  { evaluate, now }: Pick<Services, 'evaluate' | 'now'>,
): Promise<void> {
  const decision = await evaluate({
    policies: [policyDocument],
    // No principal of IAM: the name in principalId is the authorizer's own.
    principal: 'execute-api',
    action: 'execute-api:Invoke',
    resource: arn,
    context: { 'aws:SourceIp': sourceIp, 'aws:CurrentTime': new Date(now()).toISOString() },
  }).catch((cause: unknown) => {
    throw misconfigured(`the authorizer's policy can't be evaluated: ${String(cause)}`);
  });
  if (decision.allowed && !decision.explicitDeny) return;
  const reason = decision.explicitDeny
    ? 'with an explicit deny in an identity-based policy'
    : 'because no identity-based policy allows the execute-api:Invoke action';
  throw new GatewayError(
    'ACCESS_DENIED',
    'AccessDeniedException',
    `User is not authorized to access this resource ${reason}`,
    { why: decision.reason },
  );
}
