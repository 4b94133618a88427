import { problems } from './problem.ts';

interface GatewayProblem {
  /** Absent where one response stands for several statuses. */
  status?: number;
  code: string;
  title: string;
  /** JSON text as it goes into the template, so that it may be a variable of API Gateway. */
  detail: string;
  /** More members, as JSON text. */
  more?: string;
  headers?: Record<string, string>;
}

/** One response that API Gateway gives by itself. */
export interface GatewayResponse {
  status?: number;
  /** Name and value, which API Gateway wants in single quotes. */
  headers: Record<string, string>;
  /** For `application/json`, which only chooses the template. */
  template: string;
}

/** A text as a member's value. */
const text = (value: string): string => JSON.stringify(value);

/**
 * A gateway response in the form of RFC 9457. The template is no VTL: `$context.…` is put in as it is, so only
 * values that are safe inside JSON may stand here. Header values are static, in single quotes.
 */
function problemDocument({ status, code, title, detail, more, headers }: GatewayProblem): GatewayResponse {
  const members = [
    `"type":"urn:rekey:problem:${code}"`,
    `"title":${text(title)}`,
    ...(status === undefined ? [] : [`"status":${status}`]),
    `"detail":${detail}`,
    ...(more === undefined ? [] : [more]),
    '"request_id":"$context.requestId"',
  ];
  return {
    ...(status !== undefined && { status }),
    headers: {
      // The template's own content type only chooses the template; this is what is sent.
      'Content-Type': "'application/problem+json'",
      'Cache-Control': "'no-store'",
      ...Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, `'${value}'`])),
    },
    template: `{${members.join(',')}}`,
  };
}

const notFound: GatewayProblem = {
  ...problems.not_found,
  code: 'not_found',
  detail: text('Nothing is served at this path with this method. Check both.'),
};

const tooManyRequests: GatewayProblem = {
  status: 429,
  code: 'too_many_requests',
  title: 'Too many requests',
  detail: text('Wait for the time in retry-after, then send the request again.'),
  headers: { 'Retry-After': '1' },
};

const internalError: GatewayProblem = {
  code: 'internal_error',
  title: problems.internal_error.title,
  detail: text('This is a fault of the service, not of the request. Report it with the request_id.'),
};

/**
 * The authorizer could not decide: mostly since its table did not answer or throttles. The request was not let in, so
 * it may be sent again, whatever it would have done.
 */
const undecided: GatewayProblem = {
  ...problems.unavailable,
  code: 'unavailable',
  detail: text(
    'The API key could not be checked, so nothing was done. Wait for the time in retry-after, then send the request again; if that does not help, report the request_id.',
  ),
  headers: { 'Retry-After': '1' },
};

/**
 * What a REST API answers by itself, as problem documents, by the names of API Gateway
 * (https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html). Statuses of the
 * `DEFAULT_…` responses are left alone: a status given there would replace those of all other 4XX or 5XX responses.
 */
export const gatewayResponses: Readonly<Record<string, GatewayResponse>> = {
  UNAUTHORIZED: problemDocument({
    ...problems.invalid_token,
    code: 'invalid_token',
    // A 401 carries no context of the authorizer, and should not say more to whoever has no key.
    detail: text('Send one valid API key, as x-api-key or as Authorization: Bearer.'),
    headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' },
  }),
  ACCESS_DENIED: problemDocument({
    status: 403,
    // insufficient_scope, or route_not_declared.
    code: '$context.authorizer.code',
    title: 'The API key may not call this route',
    detail: '"$context.authorizer.detail"',
    more: '"missing_scopes":[$context.authorizer.missing_scopes]',
    headers: { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' },
  }),
  // API Gateway's answer to an unknown path or method, which would be a 403.
  MISSING_AUTHENTICATION_TOKEN: problemDocument(notFound),
  RESOURCE_NOT_FOUND: problemDocument(notFound),
  // No method here is signed, so API Gateway looks for a signature in `Authorization` only where there is no route.
  INVALID_SIGNATURE: problemDocument(notFound),
  EXPIRED_TOKEN: problemDocument(notFound),
  REQUEST_TOO_LARGE: problemDocument({
    ...problems.payload_too_large,
    code: 'payload_too_large',
    detail: text('API Gateway takes bodies of at most 10 MB.'),
  }),
  UNSUPPORTED_MEDIA_TYPE: problemDocument({
    ...problems.unsupported_media_type,
    code: 'unsupported_media_type',
    detail: text('Send the body as JSON, with content-type: application/json.'),
  }),
  THROTTLED: problemDocument(tooManyRequests),
  QUOTA_EXCEEDED: problemDocument(tooManyRequests),
  // Which of the two an error of the authorizer is, AWS does not say.
  AUTHORIZER_FAILURE: problemDocument(undecided),
  AUTHORIZER_CONFIGURATION_ERROR: problemDocument(undecided),
  INTEGRATION_TIMEOUT: problemDocument({
    status: 504,
    code: 'timeout',
    title: 'The answer took too long',
    detail: text(
      'It is not known whether anything was changed. Look, or repeat with the same Idempotency-Key.',
    ),
  }),
  DEFAULT_4XX: problemDocument({
    code: 'refused',
    title: 'API Gateway refused the request',
    // Not $context.error.message: it can repeat the Authorization header, and with it the key.
    detail: text('The request is not one that this API takes. Check its path, method, headers and encoding.'),
  }),
  DEFAULT_5XX: problemDocument(internalError),
};
