import { z } from 'zod';
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiResponseObject } from 'zod-openapi';
import { MOST_APIS } from './api-registration.ts';
import { boundaryProblems, pathIds } from './operation.ts';
import type { Operation } from './operations/definition.ts';
import { exampleKey, exampleSuccessor } from './operations/example-key.ts';
import { operations } from './operations/index.ts';
import {
  AlreadyRotated,
  ApiChanged,
  ApiLimit,
  ApiOfStack,
  EnvironmentForbidden,
  IdempotencyKeyReused,
  IdempotencyKeyUsed,
  InsufficientScope,
  InternalError,
  InvalidCursor,
  InvalidRequest,
  InvalidSignature,
  InvalidToken,
  KeyExpired,
  KeyRevoked,
  KeyRotated,
  NotFound,
  NotRotated,
  OwnerForbidden,
  PayloadTooLarge,
  PendingSuccessor,
  type Problem,
  type ProblemCode,
  ScopeEscalation,
  ScopeInUse,
  SuccessorUsed,
  toResponse,
  Unavailable,
  UnknownScope,
  UnsupportedMediaType,
  WebhookEndpointDisabled,
  WebhookEndpointLimit,
  WebhookUrlRefused,
} from './problem.ts';
import { LARGEST_BODY } from './request-body.ts';
import { MOST_ENDPOINTS } from './webhook-endpoint-table.ts';
import { urlRules } from './webhook-url.ts';

const REQUEST_ID = '0f3c6ad1-3f7c-4a5e-9d0e-6a4f5f0c2b1a';

const FieldErrors = z.array(
  z.object({
    in: z
      .enum(['query', 'header'])
      .optional()
      .meta({ description: 'Where the pointer leads; absent: the body.' }),
    pointer: z.string().meta({ description: 'JSON pointer (RFC 6901); empty for the whole.' }),
    detail: z.string().meta({ description: 'What to change. It never repeats what was sent.' }),
  }),
);

const ProblemDocument = z
  .object({
    type: z
      .string()
      .regex(/^urn:rekey:problem:[a-z_]+$/)
      .meta({ description: 'Stable: decide by this.' }),
    title: z.string(),
    status: z.int().optional(),
    detail: z.string().meta({ description: 'For people: what to change.' }),
    request_id: z.string().meta({ description: 'Finds the request in the logs.' }),
    errors: FieldErrors.optional().meta({ description: 'Each invalid field.' }),
    missing_scopes: z.array(z.string()).optional(),
    excess_scopes: z.array(z.string()).optional(),
    successor_key_id: z.string().optional(),
    api_key_id: z.string().optional(),
    version: z.int().optional(),
    in_use: z.array(z.object({ scope: z.string(), active_keys: z.int() })).optional(),
    unknown_scopes: z
      .array(z.object({ scope: z.string(), did_you_mean: z.string().nullable() }))
      .optional()
      .meta({ description: 'Each with the known scope that is most like it.' }),
    rule: z.string().optional().meta({ description: 'What the URL of a webhook must be.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

/** One real problem of each code, so that the examples are what is answered. */
const exampleOf: Record<ProblemCode, (operation: Operation) => Problem> = {
  invalid_request: ({ body, query }) =>
    new InvalidRequest([
      body
        ? { pointer: '/nmae', detail: 'is not a known field; leave it out' }
        : query
          ? { in: 'query', pointer: '/limit', detail: 'must be a whole number from 1 to 100' }
          : { in: 'query', pointer: '/expand', detail: 'is not a known field; leave it out' },
    ]),
  invalid_cursor: () => new InvalidCursor(),
  invalid_token: () => new InvalidToken(),
  invalid_signature: () => new InvalidSignature(),
  insufficient_scope: ({ scope }) => new InsufficientScope(scope ? [scope] : []),
  scope_escalation: () => new ScopeEscalation(['orders:refund']),
  owner_forbidden: () => new OwnerForbidden(),
  environment_forbidden: () => new EnvironmentForbidden(),
  not_found: () => new NotFound(),
  pending_successor: () => new PendingSuccessor('key_01Rk7m3pX8uJrNcD5fGhYs'),
  already_rotated: () => new AlreadyRotated(exampleSuccessor.id),
  not_rotated: () => new NotRotated(),
  successor_used: () => new SuccessorUsed(exampleSuccessor.id),
  key_rotated: () => new KeyRotated(exampleSuccessor.id),
  key_revoked: () => new KeyRevoked(),
  key_expired: () => new KeyExpired(),
  idempotency_key_used: () => new IdempotencyKeyUsed(exampleKey.id),
  webhook_endpoint_limit: () => new WebhookEndpointLimit(MOST_ENDPOINTS),
  webhook_endpoint_disabled: () => new WebhookEndpointDisabled(),
  api_of_stack: () => new ApiOfStack('stack:123456789012/Orders'),
  api_changed: () => new ApiChanged(3),
  api_limit: () => new ApiLimit(MOST_APIS),
  scope_in_use: () => new ScopeInUse([{ scope: 'things:read', active_keys: 2 }]),
  unknown_scope: () => new UnknownScope([{ scope: 'order:read', did_you_mean: 'orders:read' }]),
  webhook_url_refused: () => new WebhookUrlRefused('https_only', urlRules.https_only),
  payload_too_large: ({ largestBody = LARGEST_BODY }) => new PayloadTooLarge(largestBody),
  unsupported_media_type: () => new UnsupportedMediaType(),
  idempotency_key_reused: () => new IdempotencyKeyReused(),
  internal_error: () => new InternalError(),
  unavailable: () => new Unavailable(),
};

/** What API Gateway answers by itself on any route; infra/gateway-responses.ts makes problem documents of it. */
const gatewayProblems = [
  {
    type: 'urn:rekey:problem:too_many_requests',
    title: 'Too many requests',
    status: 429,
    detail: 'Wait for the time in retry-after, then send the request again.',
    request_id: REQUEST_ID,
  },
  {
    type: 'urn:rekey:problem:timeout',
    title: 'The answer took too long',
    status: 504,
    detail: 'It is not known whether anything was changed. Look, or repeat with the same Idempotency-Key.',
    request_id: REQUEST_ID,
  },
];

const noStore = { 'cache-control': { schema: { type: 'string', const: 'no-store' } } } as const;
const retryAfter = {
  'retry-after': { description: 'Seconds to wait.', schema: { type: 'string', pattern: '^[0-9]+$' } },
} as const;
const challenge = {
  'www-authenticate': { description: 'RFC 6750', schema: { type: 'string' } },
} as const;

const headersOf = (status: string) => ({
  ...noStore,
  ...(status === '401' && challenge),
  ...((status === '429' || status === '503') && retryAfter),
});

const codeOf = (problem: { type: string }): string => problem.type.slice('urn:rekey:problem:'.length);

const problemResponses = (operation: Operation): Record<string, ZodOpenApiResponseObject> => {
  const codes = [...boundaryProblems(operation), ...operation.problems];
  const documents = [
    ...codes.map((code) => JSON.parse(toResponse(exampleOf[code](operation), REQUEST_ID).body)),
    ...gatewayProblems,
  ];
  const byStatus = Object.groupBy(documents, ({ status }) => String(status));
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, examples = []]) => [
      status,
      {
        description: examples.map((example) => `\`${codeOf(example)}\`: ${example.title}.`).join(' '),
        headers: headersOf(status),
        content: {
          'application/problem+json': {
            schema: ProblemDocument,
            examples: Object.fromEntries(examples.map((value) => [codeOf(value), { value }])),
          },
        },
      },
    ]),
  );
};

const IdempotencyKeyHeader = z
  .string()
  .regex(/^[\x20-\x7e]{1,255}$/)
  .optional()
  .meta({
    description:
      'Makes it safe to send the request again for 24 hours: the same key is answered, with a new secret in place of the lost one, as long as it has not been used. Another body is refused.',
    example: '5d7b2f0e-rotate-billing',
  });

const accessOf = ({ scope, public: everybody }: Operation): string => {
  if (everybody) return 'Needs no key.';
  return scope ? `Needs the scope \`${scope}\`.` : 'Any valid key may call it, for itself.';
};

const pathItem = (operation: Operation): ZodOpenApiOperationObject => {
  const { name, summary, description, scope, path, query, body, answer, examples } = operation;
  const roles = scope ? [scope] : [];
  return {
    operationId: name,
    summary,
    description: `${description}\n\n${accessOf(operation)}`,
    // OpenAPI 3.1 takes the needed roles of any scheme here, not of OAuth only.
    security: operation.public ? [] : [{ apiKey: roles }, { bearer: roles }],
    requestParams: {
      ...(path.includes('{') && { path: z.object(pathIds(operation)) }),
      ...(query && { query: query as z.ZodObject }),
      ...(operation.idempotent && { header: z.object({ 'Idempotency-Key': IdempotencyKeyHeader }) }),
    },
    ...(body && {
      requestBody: {
        required: !operation.bodyOptional,
        content: { 'application/json': { schema: body, example: examples.body } },
      },
    }),
    responses: {
      [String(answer.status) as '200']: {
        description: answer.description,
        headers: noStore,
        ...(answer.status !== 204 && {
          content: { 'application/json': { schema: answer.schema, example: examples.answer } },
        }),
      },
      ...problemResponses(operation),
    },
  };
};

/** The management API as OpenAPI 3.1, made of the operations' own schemas. docs/write-openapi.ts writes it down. */
export function openApiDocument() {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const operation of operations) {
    paths[operation.path] ??= {};
    paths[operation.path]![operation.method.toLowerCase()] = pathItem(operation);
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Rekey management API',
      version: '1',
      description:
        'Scoped API keys that are rotated without downtime. JSON in and out, snake_case, times as ISO 8601 in UTC, errors as problem documents (RFC 9457).',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      {
        url: 'https://{api}.execute-api.{region}.amazonaws.com/v1',
        description: 'ManagementApiUrl of the stack',
        variables: { api: { default: 'abcde12345' }, region: { default: 'us-east-1' } },
      },
      {
        url: 'http://127.0.0.1:{port}/v1',
        description: 'The laptop stack',
        variables: { port: { default: '4000' } },
      },
    ],
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
    },
  });
}

/** docs/openapi.json, byte for byte. */
export const openApiText = (): string => `${JSON.stringify(openApiDocument(), null, 2)}\n`;
