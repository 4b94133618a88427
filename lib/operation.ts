import middy from '@middy/core';
import httpEventNormalizer from '@middy/http-event-normalizer';
import httpHeaderNormalizer from '@middy/http-header-normalizer';
import httpJsonBodyParser from '@middy/http-json-body-parser';
import type { APIGatewayProxyEvent, APIGatewayProxyResult, Context } from 'aws-lambda';
import { z } from 'zod';
import { KeyId } from './api-key.schema.ts';
import type { Caller } from './caller.ts';
import { logProblem } from './error-log.ts';
import { requestOrigin } from './event.ts';
import type { Operation } from './operations/definition.ts';
import {
  InternalError,
  InvalidRequest,
  NotFound,
  type Problem,
  type ProblemCode,
  toProblem,
  toResponse,
  Unavailable,
  UnsupportedMediaType,
} from './problem.ts';
import { bodyText, refuseUnsafe } from './request-body.ts';
import { principalOf } from './requires-scope/principal.ts';
import { requiresScope } from './requires-scope/requires-scope.ts';
import { fieldError, validate } from './validate.ts';

/** Time to say so and to write the log before Lambda ends the process. */
const ANSWER_BEFORE_TIMEOUT_MS = 250;

const NO_QUERY = z.strictObject({});

/** Printable ASCII, as the draft has it (draft-ietf-httpapi-idempotency-key-header), and as long as it is useful. */
const IdempotencyKey = z
  .string()
  .regex(/^[\x20-\x7e]{1,255}$/, 'must have 1 to 255 printable ASCII characters')
  .regex(/[^ ]/, 'must not be blank');

/** As docs/openapi.json says. The body parser takes any `+json`, each of which means something else, and any charset. */
const JSON_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?$/i;

/** Headers with a meaning for one value only. API Gateway's `headers` silently has the last of several. */
const SINGLE_HEADERS = ['content-type', 'idempotency-key'];

/** Who calls a public operation, as far as anybody knows: it has nothing and may do nothing. */
const ANYBODY: Caller = {
  key_id: 'anonymous',
  owner_id: '',
  owner_access: 'own',
  environment: 'test',
  scopes: [],
};

/** Who calls, if they may. @throws InvalidToken, InsufficientScope */
const callerCheck = (operation: Operation): ((event: APIGatewayProxyEvent) => Caller) => {
  if (operation.public) return () => ANYBODY;
  return operation.authenticated ? principalOf : requiresScope(operation.scope);
};

/** What the boundary may answer before an operation has its say. */
export const boundaryProblems = (operation: Operation): ProblemCode[] => [
  'invalid_request',
  ...(operation.public ? [] : (['invalid_token'] as const)),
  ...(operation.scope ? (['insufficient_scope'] as const) : []),
  'payload_too_large',
  ...(operation.body ? (['unsupported_media_type'] as const) : []),
  'internal_error',
  'unavailable',
];

const refuseRepeatedHeaders = ({ multiValueHeaders }: APIGatewayProxyEvent): void => {
  for (const header of SINGLE_HEADERS) {
    const values = Object.entries(multiValueHeaders ?? {})
      .filter(([name]) => name.toLowerCase() === header)
      .flatMap(([, values]) => values ?? []);
    if (values.length > 1)
      throw new InvalidRequest([fieldError([header], 'must be sent once, with one value', 'header')]);
  }
};

const queryOf = (operation: Operation, event: APIGatewayProxyEvent): unknown => {
  const sent = Object.entries({
    ...Object.fromEntries(
      Object.entries(event.queryStringParameters ?? {}).map(([name, value]) => [name, [value ?? '']]),
    ),
    ...event.multiValueQueryStringParameters,
  });
  for (const [name, values] of sent)
    if ((values?.length ?? 0) > 1)
      throw new InvalidRequest([fieldError([name], 'must be sent once, with one value', 'query')]);

  const query = Object.fromEntries(sent.map(([name, values]) => [name, values?.[0] ?? '']));
  refuseUnsafe(query, { part: 'query' });
  return validate(operation.query ?? NO_QUERY, query, 'query');
};

const bodyOf = (operation: Operation, body: unknown): unknown => {
  if (!operation.body) return undefined;
  if (body === undefined) {
    if (operation.bodyOptional) return validate(operation.body, {});
    throw new InvalidRequest([fieldError([], 'must be a JSON object, and no body came')]);
  }
  refuseUnsafe(body, operation);
  return validate(operation.body, body);
};

const KEY_IDS: Record<string, z.ZodType<string>> = { id: KeyId };

/** The ids of an operation's path, and what each looks like. */
export const pathIds = ({ path, ids = KEY_IDS }: Operation): Record<string, z.ZodType<string>> =>
  Object.fromEntries(
    [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
      const schema = ids[name!];
      if (!schema) throw new Error(`The path ${path} does not say what ${name} is`);
      return [name!, schema];
    }),
  );

const idsOf = (operation: Operation, { pathParameters }: APIGatewayProxyEvent): Record<string, string> =>
  Object.fromEntries(
    Object.entries(pathIds(operation)).map(([name, schema]) => {
      const id = schema.safeParse(pathParameters?.[name]);
      // What cannot be an id is nobody's.
      if (!id.success) throw new NotFound();
      return [name, id.data];
    }),
  );

const idempotencyKeyOf = (
  { idempotent }: Operation,
  { headers, multiValueHeaders }: APIGatewayProxyEvent,
): string | undefined => {
  const value = multiValueHeaders?.['idempotency-key']?.[0] ?? headers?.['idempotency-key'];
  if (!idempotent || value === undefined) return undefined;
  const key = IdempotencyKey.safeParse(value);
  if (key.success) return key.data;
  throw new InvalidRequest([fieldError(['idempotency-key'], key.error.issues[0]!.message, 'header')]);
};

/** The errors of middy's own middlewares. Their `cause` holds the body, so it goes no further. */
interface HttpError extends Error {
  statusCode: number;
}
const isHttpError = (error: unknown): error is HttpError =>
  error instanceof Error && typeof (error as HttpError).statusCode === 'number';

/** Any error as a problem, those of middy and its body parser included. */
const problemOf = (error: unknown): Problem => {
  if (error instanceof Error && error.name === 'TimeoutError') return new Unavailable(1, error);
  if (!isHttpError(error)) return toProblem(error);
  if (error.statusCode === 415) return new UnsupportedMediaType();
  if (error.statusCode !== 422) return new InternalError(error);
  const { data } = (error.cause ?? {}) as { data?: unknown };
  return new InvalidRequest([
    fieldError(
      [],
      data === '__proto__' || data === 'constructor'
        ? `must not have a member named ${data} anywhere`
        : 'must be valid JSON',
    ),
  ]);
};

/**
 * The Lambda handler of an operation behind API Gateway (REST, proxy integration): the caller's scope, then the
 * size, the form and the fields of the request are checked, and only then does the operation run. Whatever is
 * thrown becomes a problem document; nothing of the request but its id is logged.
 */
export function serve(
  operation: Operation,
): (event: APIGatewayProxyEvent, context: Context) => Promise<APIGatewayProxyResult> {
  const callerOf = callerCheck(operation);
  const parseJson = httpJsonBodyParser();

  const handler = async (event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> => {
    const caller = callerOf(event);
    const now = Date.now();
    const ids = idsOf(operation, event);
    const answer = await operation.run({
      caller,
      id: ids['id'] ?? '',
      ids,
      query: queryOf(operation, event),
      body: bodyOf(operation, event.body),
      idempotency_key: idempotencyKeyOf(operation, event),
      now,
      origin: requestOrigin(caller.key_id, now, event.requestContext),
    });
    if (operation.answer.status === 204)
      return { statusCode: 204, headers: { 'cache-control': 'no-store' }, body: '' };
    return {
      statusCode: operation.answer.status,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body: JSON.stringify(answer),
    };
  };

  return middy<APIGatewayProxyEvent, APIGatewayProxyResult>({
    timeoutEarlyInMillis: ANSWER_BEFORE_TIMEOUT_MS,
  })
    .onError(({ error, event, context }) => {
      const problem = problemOf(error);
      const requestId = requestIdOf(event, context);
      logProblem(problem, { operation: operation.name, request_id: requestId });
      return toResponse(problem, requestId);
    })
    .before(({ event }) => {
      callerOf(event);
      refuseRepeatedHeaders(event);
      const text = bodyText(event, operation.largestBody);
      Object.assign(event, { body: text === '' ? undefined : text, isBase64Encoded: false });
    })
    .use(httpEventNormalizer())
    .use(httpHeaderNormalizer())
    .before(async (request) => {
      const { body, headers } = request.event;
      await operation.admit?.({ text: body ?? '', headers });
      if (!operation.body || request.event.body === undefined) return;
      if (!JSON_TYPE.test(request.event.headers['content-type'] ?? '')) throw new UnsupportedMediaType();
      parseJson.before?.(request as never);
    })
    .handler(handler);
}

/** API Gateway's id, which its log and the answer's `x-amzn-requestid` have too; else Lambda's. */
const requestIdOf = (event: APIGatewayProxyEvent, context: Context): string =>
  String(event?.requestContext?.requestId ?? context?.awsRequestId ?? 'unknown');
