import { authorizerEvent } from './event.ts';
import { type Exchange, GatewayError, methodArn } from './exchange.ts';
import type { AuthorizerModel } from './model.ts';
import { headerValues } from './request.ts';
import { contextVariables, lookUp } from './variables.ts';

/** What an authorizer said, once it is known to be well-formed. */
interface Verdict {
  principalId: string;
  policyDocument: unknown;
  context: Record<string, string>;
}

/** Verdicts by stage, authorizer and identity sources. One per served API. */
export type VerdictCache = Map<string, { verdict: Verdict; expiresAt: number }>;

const CACHE_ENTRIES = 10_000;
/** "the Resource ARN … is currently limited to 512 characters" (AWS: api-gateway-lambda-authorizer-output). */
const RESOURCE_CHARACTERS = 512;
/** "the maximum length is 1600 bytes" (the same page); longer is 414. */
const METHOD_ARN_BYTES = 1600;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

// AWS answers `{"message":null}` to both; which of the two types it is when an authorizer answers nonsense is
// not documented (docs/api-gateway-on-the-laptop.md), so an API should treat them alike.
const misconfigured = (why: string) =>
  new GatewayError('AUTHORIZER_CONFIGURATION_ERROR', 'AuthorizerConfigurationException', null, { why });
const failed = (why: string) =>
  new GatewayError('AUTHORIZER_FAILURE', 'AuthorizerFailureException', null, { why });
const unauthorized = (why: string) =>
  new GatewayError('UNAUTHORIZED', 'UnauthorizedException', 'Unauthorized', { why });

function identity(exchange: Exchange, source: string): string {
  const { request, stage } = exchange;
  const header = /^method\.request\.header\.(.+)$/.exec(source)?.[1];
  // All values, so that two requests which differ in any of them never share a verdict.
  if (header !== undefined) return headerValues(request.headers, header).join(',');
  const parameter = /^method\.request\.querystring\.(.+)$/.exec(source)?.[1];
  if (parameter !== undefined) return (request.query.get(parameter) ?? []).join(',');
  const variable = /^stageVariables\.(.+)$/.exec(source)?.[1];
  if (variable !== undefined) return lookUp(stage?.variables, variable) ?? '';
  return lookUp(contextVariables(exchange), source.replace(/^context\./, '')) ?? '';
}

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

function readVerdict(payload: unknown): Verdict {
  if (!isRecord(payload)) throw misconfigured('the authorizer answered no object');
  const { principalId, policyDocument, context = {} } = payload;
  if (typeof principalId !== 'string' || principalId === '') {
    throw misconfigured('the authorizer answered no principalId');
  }
  checkPolicy(policyDocument);
  if (context !== null && !isRecord(context)) throw misconfigured('the context is no object');
  const entries = Object.entries(context ?? {}).map(([name, value]): [string, string] => {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
      throw misconfigured(`the context's ${name} is not text, a number or a boolean`);
    }
    return [name, String(value)];
  });
  return { principalId, policyDocument, context: Object.fromEntries(entries) };
}

async function ask(exchange: Exchange, authorizer: AuthorizerModel, arn: string): Promise<Verdict> {
  const { model, outcome } = exchange;
  const { account, region, invoke, mayInvoke } = model.services;
  const source = `arn:aws:execute-api:${region}:${account}:${model.restApiId}/authorizers/${authorizer.id}`;
  if (!mayInvoke(authorizer.functionArn, source)) {
    throw misconfigured(`${authorizer.functionArn} may not be invoked by ${source}`);
  }
  const started = performance.now();
  const { payload, functionError } = await invoke(
    authorizer.functionArn,
    authorizerEvent(exchange, arn),
  ).catch((cause: unknown) => {
    throw failed(`the authorizer could not be invoked: ${String(cause)}`);
  });
  outcome.authorizerLatency = Math.round(performance.now() - started);
  // Exactly this text and no other, thrown or returned, is a 401.
  if (isRecord(payload) && payload['errorMessage'] === 'Unauthorized') {
    throw unauthorized('the authorizer said Unauthorized');
  }
  if (functionError !== undefined) throw failed(`the authorizer failed: ${functionError}`);
  return readVerdict(payload);
}

/**
 * Lets the request pass, with what the authorizer said in `exchange.authorizer`, or throws.
 *
 * @throws GatewayError UNAUTHORIZED, ACCESS_DENIED, AUTHORIZER_FAILURE, AUTHORIZER_CONFIGURATION_ERROR, or a 414
 */
export async function authorize(
  exchange: Exchange,
  authorizer: AuthorizerModel,
  cache: VerdictCache,
): Promise<void> {
  const { model, request, outcome } = exchange;
  const { evaluate, now } = model.services;
  const arn = methodArn(exchange);
  if (Buffer.byteLength(arn) > METHOD_ARN_BYTES) {
    throw new GatewayError('DEFAULT_4XX', 'RequestURITooLongException', 'Request URI too long', {
      status: 414,
    });
  }

  const values = authorizer.identitySources.map((source) => identity(exchange, source));
  const cached = authorizer.ttlSeconds > 0;
  // Only a cache needs the sources: without one, "API Gateway directly passes the request to the function".
  if (cached && values.some((value) => value === '')) throw unauthorized('an identity source is missing');
  const key = JSON.stringify([request.stage, authorizer.id, ...values]);
  const hit = cached ? cache.get(key) : undefined;
  const live = hit !== undefined && hit.expiresAt > now() ? hit.verdict : undefined;

  const verdict = live ?? (await ask(exchange, authorizer, arn));
  if (cached && !live) {
    cache.delete(key);
    cache.set(key, { verdict, expiresAt: now() + authorizer.ttlSeconds * 1000 });
    if (cache.size > CACHE_ENTRIES) cache.delete(cache.keys().next().value!);
  }
  exchange.authorizer = {
    ...verdict.context,
    principalId: verdict.principalId,
    integrationLatency: outcome.authorizerLatency ?? 0,
  };

  // The policy, cached or new, is asked about this very method.
  const decision = await evaluate({
    policies: [verdict.policyDocument],
    // No principal of IAM: the name in principalId is the authorizer's own.
    principal: 'execute-api',
    action: 'execute-api:Invoke',
    resource: arn,
    context: { 'aws:SourceIp': request.sourceIp, 'aws:CurrentTime': new Date(now()).toISOString() },
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
