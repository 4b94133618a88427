import { type GatewayResponseOptions, ResponseType } from 'aws-cdk-lib/aws-apigateway';
import { problems } from '../lib/problem.ts';

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

/** A text as a member's value. */
const text = (value: string): string => JSON.stringify(value);

/**
 * A gateway response in the form of RFC 9457. The template is no VTL: `$context.…` is put in as it is, so only
 * values that are safe inside JSON may stand here. Header values are static, in single quotes.
 */
function problemDocument(
  type: ResponseType,
  { status, code, title, detail, more, headers }: GatewayProblem,
): GatewayResponseOptions {
  const members = [
    `"type":"urn:rekey:problem:${code}"`,
    `"title":${text(title)}`,
    ...(status === undefined ? [] : [`"status":${status}`]),
    `"detail":${detail}`,
    ...(more === undefined ? [] : [more]),
    '"request_id":"$context.requestId"',
  ];
  return {
    type,
    ...(status !== undefined && { statusCode: String(status) }),
    responseHeaders: {
      // The template's own content type only chooses the template; this is what is sent.
      'Content-Type': "'application/problem+json'",
      'Cache-Control': "'no-store'",
      ...Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, `'${value}'`])),
    },
    templates: { 'application/json': `{${members.join(',')}}` },
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
 * What API Gateway answers by itself, as problem documents. Statuses of the `DEFAULT_…` responses are left alone:
 * a status given there would replace those of all other 4XX or 5XX responses.
 */
export const gatewayResponses: readonly GatewayResponseOptions[] = [
  problemDocument(ResponseType.UNAUTHORIZED, {
    ...problems.invalid_token,
    code: 'invalid_token',
    // A 401 carries no context of the authorizer, and should not say more to whoever has no key.
    detail: text('Send one valid API key, as x-api-key or as Authorization: Bearer.'),
    headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' },
  }),
  problemDocument(ResponseType.ACCESS_DENIED, {
    status: 403,
    // insufficient_scope, or route_not_declared.
    code: '$context.authorizer.code',
    title: 'The API key may not call this route',
    detail: '"$context.authorizer.detail"',
    more: '"missing_scopes":[$context.authorizer.missing_scopes]',
    headers: { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' },
  }),
  // API Gateway's answer to an unknown path or method, which would be a 403.
  problemDocument(ResponseType.MISSING_AUTHENTICATION_TOKEN, notFound),
  problemDocument(ResponseType.RESOURCE_NOT_FOUND, notFound),
  // No method here is signed, so API Gateway looks for a signature in `Authorization` only where there is no route.
  problemDocument(ResponseType.INVALID_SIGNATURE, notFound),
  problemDocument(ResponseType.EXPIRED_TOKEN, notFound),
  problemDocument(ResponseType.REQUEST_TOO_LARGE, {
    ...problems.payload_too_large,
    code: 'payload_too_large',
    detail: text('API Gateway takes bodies of at most 10 MB.'),
  }),
  problemDocument(ResponseType.UNSUPPORTED_MEDIA_TYPE, {
    ...problems.unsupported_media_type,
    code: 'unsupported_media_type',
    detail: text('Send the body as JSON, with content-type: application/json.'),
  }),
  problemDocument(ResponseType.THROTTLED, tooManyRequests),
  problemDocument(ResponseType.QUOTA_EXCEEDED, tooManyRequests),
  problemDocument(ResponseType.AUTHORIZER_FAILURE, { ...internalError, status: 500 }),
  problemDocument(ResponseType.AUTHORIZER_CONFIGURATION_ERROR, { ...internalError, status: 500 }),
  problemDocument(ResponseType.INTEGRATION_TIMEOUT, {
    status: 504,
    code: 'timeout',
    title: 'The answer took too long',
    detail: text(
      'It is not known whether anything was changed. Look, or repeat with the same Idempotency-Key.',
    ),
  }),
  problemDocument(ResponseType.DEFAULT_4XX, {
    code: 'refused',
    title: 'API Gateway refused the request',
    // Not $context.error.message: it can repeat the Authorization header, and with it the key.
    detail: text('The request is not one that this API takes. Check its path, method, headers and encoding.'),
  }),
  problemDocument(ResponseType.DEFAULT_5XX, internalError),
];
