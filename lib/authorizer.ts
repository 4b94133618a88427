import type { APIGatewayAuthorizerResult } from 'aws-lambda';
import { type AccessCode, decideAccess } from './access.ts';
import { type CredentialProblem, extractKey } from './credentials.ts';
import { LONGEST_CALL_MS } from './dynamodb-http.ts';
import { requestOrigin } from './event.ts';
import { digestOf, parseKey } from './key-format.ts';
import type { KeyFacts, KeyReader } from './key-reader.ts';
import { isNews } from './last-use.ts';
import { type Misuse, type MisuseSettings, misuseOf } from './misuse.ts';
import { policyFor } from './policy.ts';
import { compilePolicy } from './policy-compiler.ts';
import type { RouteReader } from './route-reader.ts';
import { type AuthorizerEvent, type RouteRequest, routeRequestOf } from './route-request.ts';
import { type RouteScopes, requiredScopes } from './routes.ts';
import { withoutKeys } from './secret-text.ts';

export type Log = (line: Record<string, unknown>) => void;

export interface AuthorizerDependencies {
  reader: KeyReader;
  readRoutes: RouteReader;
  /** Epoch milliseconds. */
  now: () => number;
  /** The first part of this stack's keys. */
  prefix: string;
  /** The stack's name, a dimension of its metrics. */
  service: string;
  log: Log;
  /** Whether this refusal is logged. All are counted. */
  sampled: () => boolean;
  misuseSettings: MisuseSettings;
}

/** Printable ASCII without the quote and the backslash: a gateway response's template escapes nothing. */
const JSON_SAFE = /^[ !#-[\]-~]*$/;

/** Telling of a misuse may hold up its refusal so long. It is tried once an hour for a key, or less. */
const LONGEST_TELLING_MS = 1_000;

/** How often a first use is written when the key changes at the same time. */
const MOST_FIRST_USES = 3;
/** Nor is it begun later than this after the request came. */
const LATEST_FIRST_USE_MS = 2_500;
/** A first use reads the key and perhaps its parent, and writes; when it came too late the key is read again. */
const CALLS_OF_A_FIRST_USE = 4;
/** No decision takes longer, whatever the table does: the function's time-out is above it. */
export const LONGEST_DECISION_MS =
  LATEST_FIRST_USE_MS + CALLS_OF_A_FIRST_USE * LONGEST_CALL_MS + LONGEST_TELLING_MS;

const UNDECLARED =
  'This route declares no scopes, so nobody may call it. Declare its scopes, or that it is public, and deploy the API again.';

const safe = (context: Record<string, string>): Record<string, string> => {
  for (const [name, value] of Object.entries(context))
    if (!JSON_SAFE.test(value)) throw new TypeError(`${name} cannot be put into a response as it is`);
  return context;
};

/** Why a request was refused, as the metric and the log have it. */
type Reason =
  | CredentialProblem
  | AccessCode
  | 'route_not_declared'
  /** Nothing was decided, so it was refused. */
  | 'error';

/**
 * One refusal as a metric, in CloudWatch's embedded metric format: a line of the log, so the authorizer waits for
 * nothing and needs no permission.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
const refusalMetric = (reason: Reason, service: string, now: number): Record<string, unknown> => ({
  _aws: {
    Timestamp: now,
    CloudWatchMetrics: [
      {
        Namespace: 'Rekey',
        Dimensions: [['service'], ['service', 'reason']],
        Metrics: [{ Name: 'requests_refused', Unit: 'Count' }],
      },
    ],
  },
  service,
  reason,
  requests_refused: 1,
});

/** What `principalOf` reads in a handler. */
const contextOf = (key: KeyFacts) =>
  safe({
    key_id: key.id,
    owner_id: key.owner_id,
    owner_access: key.owner_access,
    environment: key.environment,
    scopes: key.scopes.join(' '),
  });

const allow = (key: KeyFacts, { methodArn }: RouteRequest): APIGatewayAuthorizerResult => ({
  principalId: key.id,
  policyDocument: policyFor('Allow', methodArn),
  context: contextOf(key),
});

const deny = (
  key: KeyFacts,
  { methodArn }: RouteRequest,
  code: string,
  detail: string,
  missing_scopes: string[] = [],
): APIGatewayAuthorizerResult => ({
  principalId: key.id,
  policyDocument: policyFor('Deny', methodArn),
  context: {
    ...safe({ code, detail, key_id: key.id }),
    // The inside of a JSON list, for the template to put between brackets: `"orders:read","orders:write"`.
    missing_scopes: missing_scopes.map((scope) => JSON.stringify(scope)).join(','),
  },
});

/** A valid key and what it is answered, or the answer that refuses; undefined: not authenticated. */
type Verdict =
  | { key: KeyFacts; answer: APIGatewayAuthorizerResult }
  | {
      refusal: APIGatewayAuthorizerResult | undefined;
      /** Of a key that was used with its right secret, and must not be. */
      misused?: { record: KeyFacts; misuse: Misuse } | undefined;
    };

/** Of an answer that is kept, since nobody knows yet which requests it will be for. */
const LACKS_SCOPE = 'The API key lacks a scope that this route needs, or has ended since.';

const STAGE_ARN = /^arn:[^/]+\/[^/]+(?=\/)/;

/**
 * What API Gateway keeps and takes for every route of the API: the whole truth about the key. A key that may call
 * any route at all is in use from now on, whatever becomes of this request: the next ones are not seen here.
 */
const cached = (key: KeyFacts, { methodArn }: RouteRequest, routes: RouteScopes): Verdict => {
  const [stageArn = ''] = STAGE_ARN.exec(methodArn) ?? [];
  const { policyDocument, clashes } = compilePolicy(routes, key.scopes, stageArn, key.expires_at);
  if (clashes) throw new Error(clashes[0]?.message);
  const answer: APIGatewayAuthorizerResult = {
    principalId: key.id,
    policyDocument,
    context: { ...contextOf(key), code: 'insufficient_scope', detail: LACKS_SCOPE, missing_scopes: '' },
  };
  const opens = policyDocument.Statement.some(({ Effect }) => Effect === 'Allow');
  return opens ? { key, answer } : { refusal: answer };
};

const hasHeader = (headers: RouteRequest['headers'], name: string) =>
  Object.keys(headers ?? {}).some((spelling) => spelling.toLowerCase() === name);

/** Undefined: not authenticated. */
const decide = async (
  request: RouteRequest,
  { reader, readRoutes, now, prefix, service, log, sampled, misuseSettings }: AuthorizerDependencies,
): Promise<APIGatewayAuthorizerResult | undefined> => {
  const { apiId, method, resource, requestId } = request;
  /** @param key_id of a key of the right form: nobody can write what they like into the log */
  const refused = (code: Reason, key_id?: string): undefined => {
    log(refusalMetric(code, service, now()));
    if (!sampled()) return;
    log({
      level: 'info',
      event: 'refused',
      code,
      key_id,
      api_id: apiId,
      method,
      resource,
      request_id: requestId,
    });
  };

  const latest = now() + LATEST_FIRST_USE_MS;
  const credential = extractKey(request.headers);
  if ('problem' in credential) return refused(credential.problem);
  // The answer would be kept for the value of a header that this key is not in.
  if (request.cacheHeader !== undefined && !hasHeader(request.headers, request.cacheHeader))
    return refused('missing');
  const presented = parseKey(credential.key, prefix);
  if (!presented) return refused('malformed');
  const digest = digestOf(credential.key);

  const [key, routes] = await Promise.all([reader.getKey(presented.id), readRoutes(apiId, request)]);
  const required = routes && requiredScopes(routes, method, resource);

  const judge = (record: KeyFacts | undefined): Verdict => {
    const { code, missing_scopes } = decideAccess({ record, digest, now: now(), required: required ?? [] });
    if (!record || code === 'not_found' || code === 'revoked' || code === 'expired' || code === 'honey') {
      const misuse = record && misuseOf(record, code, now(), misuseSettings);
      return { refusal: refused(code, presented.id), misused: misuse && { record, misuse } };
    }
    const isDenied = !required || code === 'insufficient_scope';
    if (request.cacheHeader !== undefined) {
      if (isDenied) refused(required ? 'insufficient_scope' : 'route_not_declared', presented.id);
      return cached(record, request, routes ?? {});
    }
    if (!required) {
      refused('route_not_declared', presented.id);
      return { refusal: deny(record, request, 'route_not_declared', UNDECLARED) };
    }
    if (code === 'insufficient_scope') {
      refused(code, presented.id);
      const detail = `Use an API key that has ${missing_scopes.join(', ')}.`;
      return { refusal: deny(record, request, code, detail, missing_scopes) };
    }
    return { key: record, answer: allow(record, request) };
  };

  /** What is told is told within a second or not at all: the request is refused either way. */
  const tell = async ({ record, misuse }: { record: KeyFacts; misuse: Misuse }): Promise<void> => {
    const where = { route: `${method} ${resource}`, api_id: apiId };
    const origin = requestOrigin(record.id, now(), request.origin);
    const failed = (error: unknown): void =>
      log({
        level: 'error',
        event: 'misuse_not_told',
        key_id: record.id,
        error: String((error as Error).name),
        request_id: requestId,
      });
    const telling = reader.tellMisuse(record, { misuse, where }, origin).catch(failed);
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      telling,
      new Promise((resolve) => {
        timer = setTimeout(resolve, LONGEST_TELLING_MS);
      }),
    ]);
    clearTimeout(timer);
  };

  let verdict = judge(key);
  for (let tries = 1; 'key' in verdict && verdict.key.first_used_at === null; tries++) {
    if (tries > MOST_FIRST_USES || now() > latest) throw new Error('the first use could not be written');
    // Awaited: until this is written, a retry of the request that made the key may still replace its secret.
    const origin = requestOrigin(verdict.key.id, now(), request.origin);
    if (await reader.markFirstUse(verdict.key.id, digest, origin)) break;
    verdict = judge(await reader.getKey(verdict.key.id));
  }
  if (!('refusal' in verdict)) {
    const at = now();
    if (isNews(verdict.key.last_used_at, at)) {
      const { source_ip: ip } = requestOrigin(verdict.key.id, at, request.origin);
      // Not awaited: an answer waits for no bookkeeping.
      void reader.noteLastUse(verdict.key, { now: at, ip, route: `${apiId} ${method} ${resource}`.trim() });
    }
    return verdict.answer;
  }
  if (verdict.misused) await tell(verdict.misused);
  return verdict.refusal;
};

/** What makes an HTTP API answer 401. */
export interface NotAuthenticated {
  errorMessage: 'Unauthorized';
}

/**
 * Decides one request to a protected REST or HTTP API, or to the `$connect` of a WebSocket API (a REQUEST authorizer).
 *
 * A key that is missing, malformed, unknown, revoked or expired is not told apart: all are 401. A valid key that
 * lacks a scope, or a route that declares none, is a Deny whose context says why: `code`, `detail`,
 * `missing_scopes`, ready to be put into a gateway response. An Allow is for exactly this request; its context is
 * what `principalOf` reads. Where the stage says that answers are kept (`rekeyCacheHeader`), a valid key is answered
 * one policy for the whole API instead (docs/policies.md). Whatever goes wrong is logged with the request's id, and
 * refused.
 *
 * @returns a policy; for an HTTP API also what it answers 401 to
 * @throws Error `Unauthorized`, which the other APIs answer with 401. Any other error is API Gateway's
 *   AUTHORIZER_FAILURE, so it is refused too.
 */
export async function authorize(
  event: AuthorizerEvent,
  dependencies: AuthorizerDependencies,
): Promise<APIGatewayAuthorizerResult | NotAuthenticated> {
  let result: APIGatewayAuthorizerResult | undefined;
  let kind: RouteRequest['kind'] | undefined;
  try {
    const request = routeRequestOf(event);
    kind = request.kind;
    result = await decide(request, dependencies);
  } catch (error) {
    const { name, message, code } = error as Error & { code?: unknown };
    dependencies.log(refusalMetric('error', dependencies.service, dependencies.now()));
    dependencies.log({
      level: 'error',
      event: 'authorizer_failed',
      error: String(name),
      code: code === undefined ? undefined : String(code),
      // It may quote what it was given.
      message: withoutKeys(String(message)).slice(0, 500),
      api_id: event?.requestContext?.apiId,
      request_id: event?.requestContext?.requestId,
    });
    throw new Error('The authorizer could not decide');
  }
  if (result) return result;
  // The one text that API Gateway takes for a 401. An HTTP API wants it returned: thrown, it is a 500 there.
  if (kind === 'http') return { errorMessage: 'Unauthorized' };
  throw new Error('Unauthorized');
}
