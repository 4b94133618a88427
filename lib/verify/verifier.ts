import { extractKey, type Headers as HeaderValues } from '../credentials.ts';
import { InsufficientScope, InvalidToken, Problem, toResponse } from '../problem.ts';
import type { Principal } from '../requires-scope/principal.ts';
import { isAnyOf, isRequirement, missingScopes, type Wanted } from '../scope.ts';

export interface VerifierOptions {
  /** The management API with its stage: `https://….amazonaws.com/v1`. */
  managementUrl: string;
  /** The service's own API key, with the scope `api-keys:verify`; of owner_access `any` to verify keys of all owners. */
  key: string | (() => string | Promise<string>);
  /** Milliseconds until a verification is given up, and refused. @default 2000 */
  timeoutMs?: number;
  fetch?: typeof fetch;
}

/** What a request needs: all of these scopes, or one whole list of several; `scopes: []` is any valid key. */
export type Required = { scopes: string[]; anyOf?: never } | { anyOf: string[][]; scopes?: never };

export type RefusalCode =
  /** No key, two, one that is sent twice, or none that can be one. */
  | 'missing'
  | 'repeated'
  | 'conflicting'
  | 'malformed'
  /** Of the management API. */
  | 'not_found'
  | 'revoked'
  | 'expired'
  | 'insufficient_scope'
  /** Nobody could be asked, or the answer makes no sense: refused, since nothing is known. */
  | 'unavailable';

export type Verdict =
  | { allowed: true; principal: Principal }
  | {
      allowed: false;
      code: RefusalCode;
      missing_scopes: string[];
      /** A problem document, for `new Response(answer.body, answer)` or whatever the framework has. */
      answer: { status: number; headers: Record<string, string>; body: string };
      /** Of `unavailable`, for the service's log: it has no key in it. */
      cause?: unknown;
    };

/** A Fetch `Request`, or anything with headers: lists keep apart what was sent twice (Node's `headersDistinct`). */
export interface VerifiableRequest {
  headers: Headers | HeaderValues;
}

/**
 * What goes wrong is a refusal.
 *
 * @throws TypeError for requirements that are not like `orders:write`: those are the program's
 */
export type Verifier = (request: VerifiableRequest, required: Required) => Promise<Verdict>;

const TIMEOUT_MS = 2000;
const KEY_ID = /^key_[0-9A-Za-z]{22}$/;

const refusal = (code: RefusalCode, problem: Problem, more: { cause?: unknown } = {}): Verdict => {
  const { statusCode, headers, body } = toResponse(problem, crypto.randomUUID());
  const missing_scopes = problem.extensions['missing_scopes'];
  return {
    allowed: false,
    code,
    missing_scopes: Array.isArray(missing_scopes) ? missing_scopes : [],
    answer: { status: statusCode, headers: headers as Record<string, string>, body },
    ...more,
  };
};

const UNAVAILABLE = new Problem('unavailable', 'The API key could not be verified. Try again in a moment.', {
  headers: { 'retry-after': '1' },
});

/** Whatever is waited for: a fetch of the service's own may not know of signals. */
async function inTime<Result>(work: Promise<Result>, timeoutMs: number): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Who a valid answer speaks of. It must be the very key that was asked about. */
function principalIn(apiKey: unknown, presented: string): Principal {
  if (!isRecord(apiKey)) throw new TypeError('the answer has no api_key');
  const { id, owner_id, owner_access, environment, scopes } = apiKey;
  if (
    typeof id !== 'string' ||
    !KEY_ID.test(id) ||
    !presented.includes(id.replace('key_', '_')) ||
    typeof owner_id !== 'string' ||
    (owner_access !== 'own' && owner_access !== 'any') ||
    (environment !== 'live' && environment !== 'test') ||
    !Array.isArray(scopes) ||
    !scopes.every((scope) => typeof scope === 'string')
  )
    throw new TypeError('the answer has no whole api_key, or that of another one');
  return { key_id: id, owner_id, owner_access, environment, scopes };
}

const NOT_AUTHENTICATED = ['malformed', 'not_found', 'revoked', 'expired'] as const;

/**
 * Verifies the API keys of requests to a service that is not behind API Gateway, by one call of the management API for
 * each. Nothing is kept, so a revoked key is refused at the next request; and whatever goes wrong refuses.
 *
 * @example
 * const verify = createVerifier({ managementUrl, key: process.env.REKEY_KEY });
 * const verdict = await verify(request, { scopes: ['orders:read'] });
 * if (!verdict.allowed) return new Response(verdict.answer.body, verdict.answer);
 *
 * @throws TypeError at once, for options that can't work
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { managementUrl, key: ownKey, timeoutMs = TIMEOUT_MS, fetch: send = fetch } = options;
  const url = new URL(`${managementUrl.replace(/\/$/, '')}/api-keys/verify`);
  if (!ownKey) throw new TypeError('createVerifier needs a key of the service itself');
  if (!(timeoutMs > 0)) throw new TypeError('timeoutMs must be more than 0');

  const ask = async (key: string): Promise<Record<string, unknown>> => {
    const signal = AbortSignal.timeout(timeoutMs);
    const own = typeof ownKey === 'string' ? ownKey : await ownKey();
    const once = () =>
      send(url, {
        method: 'POST',
        // A key is not carried to where somebody else points.
        redirect: 'error',
        signal,
        headers: { 'x-api-key': own, 'content-type': 'application/json' },
        body: JSON.stringify({ key }),
      });
    const response = await once().catch((error: unknown) => {
      // A connection that was closed while idle fails at once; asking again changes nothing.
      if (signal.aborted) throw error;
      return once();
    });
    if (response.status !== 200) throw new Error(`the management API answered ${response.status}`);
    const answer: unknown = await response.json();
    if (!isRecord(answer)) throw new TypeError('the answer is no object');
    return answer;
  };

  const judge = async (key: string, wanted: Wanted): Promise<Verdict> => {
    const { valid, code, api_key } = await ask(key);
    const refused = NOT_AUTHENTICATED.find((name) => name === code);
    if (refused && valid === false) return refusal(refused, new InvalidToken());
    if (valid !== true || code !== 'valid') throw new TypeError('the answer is neither yes nor no');
    const principal = principalIn(api_key, key);
    const missing = missingScopes(principal.scopes, wanted);
    if (missing.length > 0) return refusal('insufficient_scope', new InsufficientScope(missing));
    return { allowed: true, principal };
  };

  return async ({ headers }, required) => {
    const wanted = wantedOf(required);
    try {
      const credential = extractKey(headers instanceof Headers ? Object.fromEntries(headers) : headers);
      if ('problem' in credential) return refusal(credential.problem, new InvalidToken());
      return await inTime(judge(credential.key, wanted), timeoutMs);
    } catch (cause) {
      return refusal('unavailable', UNAVAILABLE, { cause });
    }
  };
}

/** @throws TypeError for requirements that could be met by mistake */
function wantedOf({ scopes, anyOf }: Required): Wanted {
  const wanted: Wanted | undefined = anyOf ?? scopes;
  const isMeant = anyOf
    ? anyOf.length > 0 && anyOf.every((all) => Array.isArray(all) && all.length > 0)
    : Array.isArray(scopes) && !isAnyOf(scopes);
  const all = (wanted ?? []).flat();
  if (!wanted || !isMeant || !all.every((scope) => typeof scope === 'string' && isRequirement(scope)))
    throw new TypeError('say scopes or anyOf, of scopes like orders:write, without a wildcard');
  return wanted;
}
