import type { APIGatewayProxyResult } from 'aws-lambda';

/** Every problem this product answers with: its status and its title. docs/problems.md says what to do about it. */
export const problems = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  invalid_cursor: { status: 400, title: 'The cursor is not valid' },
  invalid_token: { status: 401, title: 'The API key is missing or not valid' },
  invalid_signature: { status: 401, title: 'The signature is missing or not valid' },
  insufficient_scope: { status: 403, title: 'The API key may not call this route' },
  scope_escalation: { status: 403, title: 'More scopes than the API key may grant' },
  owner_forbidden: { status: 403, title: 'The API key may not act for this owner' },
  environment_forbidden: { status: 403, title: 'The API key may not act in this environment' },
  not_found: { status: 404, title: 'Not found' },
  already_rotated: { status: 409, title: 'The key has been rotated already' },
  pending_successor: { status: 409, title: 'The key has a successor that nobody has used' },
  not_rotated: { status: 409, title: 'The key has not been rotated' },
  successor_used: { status: 409, title: 'The successor is in use' },
  key_rotated: { status: 409, title: 'The key has been rotated' },
  key_revoked: { status: 409, title: 'The key is revoked' },
  key_expired: { status: 409, title: 'The key has expired' },
  idempotency_key_used: { status: 409, title: 'The key made by this Idempotency-Key is in use' },
  webhook_endpoint_limit: { status: 409, title: 'The owner has as many webhook endpoints as it may' },
  webhook_endpoint_disabled: { status: 409, title: 'The webhook endpoint is disabled' },
  api_of_stack: { status: 409, title: 'The API is registered by its stack' },
  api_changed: { status: 409, title: 'The API has changed' },
  api_limit: { status: 409, title: 'The owner has as many APIs as it may' },
  scope_in_use: { status: 409, title: 'Active keys hold the scope' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body is not JSON' },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key belongs to another request' },
  unknown_scope: { status: 422, title: 'No API knows the scope' },
  webhook_url_refused: { status: 422, title: 'Webhooks are not sent to this URL' },
  internal_error: { status: 500, title: 'Something went wrong here' },
  unavailable: { status: 503, title: 'Not available at the moment' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

/**
 * One invalid field: where it is (JSON pointer, RFC 6901; empty for the whole) and what to change. The pointer
 * leads into the body, or into the object of query parameters or of headers that `in` names.
 */
export interface FieldError {
  in?: 'query' | 'header';
  pointer: string;
  detail: string;
}

interface More {
  extensions?: Record<string, unknown>;
  headers?: Record<string, string>;
  cause?: unknown;
}

/** An error that is answered as `application/problem+json` (RFC 9457). Its `detail` is for the caller to read. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly status: number;
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  readonly extensions: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(code: ProblemCode, detail: string, { extensions = {}, headers = {}, cause }: More = {}) {
    super(detail, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.status = problems[code].status;
    this.type = `urn:rekey:problem:${code}`;
    this.title = problems[code].title;
    this.detail = detail;
    this.extensions = extensions;
    this.headers = headers;
  }
}

export class InvalidRequest extends Problem {
  constructor(
    errors: FieldError[],
    detail = 'Correct the fields named in errors and send the request again.',
  ) {
    super('invalid_request', detail, { extensions: { errors } });
  }
}

export class InvalidCursor extends Problem {
  constructor() {
    super(
      'invalid_cursor',
      'This cursor was not made for this query and this API key. Start again without a cursor, and change no other parameter between pages.',
    );
  }
}

/** RFC 6750, section 3. API Gateway renames this header when it comes from an integration. */
const challenge = (error: string) => ({ 'www-authenticate': `Bearer error="${error}"` });

export class InvalidToken extends Problem {
  constructor(detail = 'Send one valid API key, as x-api-key or as Authorization: Bearer.') {
    super('invalid_token', detail, { headers: challenge('invalid_token') });
  }
}

export class InvalidSignature extends Problem {
  constructor() {
    super(
      'invalid_signature',
      'Send the body exactly as it was signed, with Github-Public-Key-Identifier and Github-Public-Key-Signature.',
    );
  }
}

export class InsufficientScope extends Problem {
  constructor(missing_scopes: string[]) {
    super('insufficient_scope', `Use an API key that has ${missing_scopes.join(', ')}.`, {
      extensions: { missing_scopes },
      headers: challenge('insufficient_scope'),
    });
  }
}

export class ScopeEscalation extends Problem {
  constructor(excess_scopes: string[]) {
    super(
      'scope_escalation',
      `The calling API key does not hold ${excess_scopes.join(', ')}, so it cannot hand that out. Leave it out, or call with a key that holds it.`,
      { extensions: { excess_scopes } },
    );
  }
}

export class OwnerForbidden extends Problem {
  constructor(
    detail = 'This API key acts only for its own owner_id. Leave owner_id out, or call with a key whose owner_access is any.',
  ) {
    super('owner_forbidden', detail);
  }
}

export class EnvironmentForbidden extends Problem {
  constructor(detail = 'A test key manages only test keys. Use environment test, or call with a live key.') {
    super('environment_forbidden', detail);
  }
}

export class NotFound extends Problem {
  constructor(
    detail = 'There is nothing with this id. Check the id, and that the calling key has the same owner.',
  ) {
    super('not_found', detail);
  }
}

export class AlreadyRotated extends Problem {
  constructor(successor_key_id: string) {
    super(
      'already_rotated',
      `This key was rotated already. Rotate its successor ${successor_key_id} instead.`,
      {
        extensions: { successor_key_id },
      },
    );
  }
}

export class PendingSuccessor extends Problem {
  /** @param of `parent`: the key that has it was to be rotated; `itself`: it was itself to be, before its first use */
  constructor(successor_key_id: string, of: 'parent' | 'itself' = 'parent') {
    super(
      'pending_successor',
      of === 'parent'
        ? `Nobody has used the successor ${successor_key_id} yet. Use it, cancel the rotation, or rotate with replace_pending: true to have another one in its place.`
        : `Nobody has used ${successor_key_id} yet, and the key before it still works. Use it first, or rotate the key before it with replace_pending: true.`,
      { extensions: { successor_key_id } },
    );
  }
}

export class NotRotated extends Problem {
  constructor() {
    super('not_rotated', 'This key has no rotation that could be cancelled.');
  }
}

export class SuccessorUsed extends Problem {
  constructor(successor_key_id: string) {
    super(
      'successor_used',
      `The successor ${successor_key_id} has been used, so whoever uses it would be locked out. Let the rotation be, or revoke the successor.`,
      { extensions: { successor_key_id } },
    );
  }
}

export class KeyRotated extends Problem {
  constructor(successor_key_id: string) {
    super(
      'key_rotated',
      `A rotated key no longer changes. Change its successor ${successor_key_id} instead.`,
      {
        extensions: { successor_key_id },
      },
    );
  }
}

export class KeyRevoked extends Problem {
  constructor() {
    super('key_revoked', 'A revoked key never comes back. Create a new key.');
  }
}

export class KeyExpired extends Problem {
  constructor() {
    super('key_expired', 'An expired key never comes back. Create a new key.');
  }
}

export class IdempotencyKeyUsed extends Problem {
  /** @param api_key_id the key that the first request made */
  constructor(api_key_id: string) {
    super(
      'idempotency_key_used',
      `The first request with this Idempotency-Key made ${api_key_id}, which has been used since, so its secret cannot be replaced. Use the secret you have, or rotate that key.`,
      { extensions: { api_key_id } },
    );
  }
}

export class IdempotencyKeyReused extends Problem {
  constructor() {
    super(
      'idempotency_key_reused',
      'This Idempotency-Key came with another body in the last 24 hours. Send the same body, or a new Idempotency-Key.',
    );
  }
}

export class WebhookEndpointLimit extends Problem {
  constructor(most: number) {
    super('webhook_endpoint_limit', `An owner has at most ${most} webhook endpoints. Delete one first.`);
  }
}

export class WebhookEndpointDisabled extends Problem {
  constructor() {
    super(
      'webhook_endpoint_disabled',
      'Nothing is delivered to a disabled endpoint. Enable it first, with a PATCH of its status.',
    );
  }
}

export class WebhookUrlRefused extends Problem {
  /** @param rule which one of lib/webhook-url.ts; `detail` says what to change */
  constructor(rule: string, detail: string) {
    super('webhook_url_refused', detail, { extensions: { rule } });
  }
}

export class UnknownScope extends Problem {
  /** @param unknown each with the known scope that is most like it */
  constructor(unknown: { scope: string; did_you_mean: string | null }[]) {
    const shown = unknown
      .slice(0, 10)
      .map(
        ({ scope, did_you_mean }) =>
          `The scope \`${scope}\` is not known${did_you_mean === null ? '.' : `; did you mean \`${did_you_mean}\`?`}`,
      );
    super(
      'unknown_scope',
      `${shown.join(' ')} Use scopes of GET /scopes, or register the API that needs them.`,
      { extensions: { unknown_scopes: unknown } },
    );
  }
}

export class ApiOfStack extends Problem {
  constructor(owner_id: string) {
    super(
      'api_of_stack',
      `This API is registered by the CloudFormation ${owner_id.replace(':', ' ')}. Change its routes there and deploy it.`,
    );
  }
}

export class ApiChanged extends Problem {
  /** @param version 0: there is none */
  constructor(version: number) {
    super(
      'api_changed',
      `The registration has version ${version} now. Read it, and send if_version ${version}.`,
      {
        extensions: { version },
      },
    );
  }
}

export class ApiLimit extends Problem {
  constructor(most: number) {
    super('api_limit', `An owner has at most ${most} APIs. Delete one first.`);
  }
}

export class ScopeInUse extends Problem {
  /** @param in_use the scopes that would be known no more, and how many active keys hold each; null: too many to count */
  constructor(in_use: { scope: string; active_keys: number }[] | null) {
    super(
      'scope_in_use',
      in_use === null
        ? 'There are too many keys to see whether one holds a scope that would no longer be known. Send force=true to remove the scopes all the same.'
        : `Active keys hold ${in_use.map(({ scope, active_keys }) => `${scope} (${active_keys})`).join(', ')}, which no API would know any more. Take it from the keys, keep it, or send force=true.`,
      { extensions: { in_use: in_use ?? [] } },
    );
  }
}

export class PayloadTooLarge extends Problem {
  /** @param limit bytes */
  constructor(limit: number) {
    super('payload_too_large', `Send a body of at most ${limit} bytes.`);
  }
}

export class UnsupportedMediaType extends Problem {
  constructor() {
    super('unsupported_media_type', 'Send the body as JSON, with content-type: application/json.');
  }
}

export class Unavailable extends Problem {
  /**
   * @param retryAfterSeconds whole seconds, sent as `retry-after`
   * @param cause for the log; the caller does not see it
   */
  constructor(retryAfterSeconds = 1, cause?: unknown) {
    super(
      'unavailable',
      `Try again in ${retryAfterSeconds} s; create and rotate with the same Idempotency-Key.`,
      {
        headers: { 'retry-after': String(retryAfterSeconds) },
        cause,
      },
    );
  }
}

export class InternalError extends Problem {
  /** @param cause for the log; the caller does not see it */
  constructor(cause?: unknown) {
    super(
      'internal_error',
      'This is a fault of the service, not of the request. Report it with the request_id.',
      {
        cause,
      },
    );
  }
}

/** Any error as a problem. What is not one becomes `internal_error`, whose text says nothing of what happened. */
export function toProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new InternalError(error);
}

/** The JSON pointer (RFC 6901) of a path into the body: `['scopes', 0]` is `/scopes/0`. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** The problem as API Gateway's proxy integration answers it. */
export function toResponse(problem: Problem, requestId: string): APIGatewayProxyResult {
  const { type, title, status, detail, extensions, headers } = problem;
  return {
    statusCode: status,
    headers: { ...headers, 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
    body: JSON.stringify({ ...extensions, type, title, status, detail, request_id: requestId }),
  };
}
