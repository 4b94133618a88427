import type { APIGatewayProxyEvent, APIGatewayProxyResult, Context } from 'aws-lambda';
import { serve } from '../../lib/operation.ts';
import type { Operation } from '../../lib/operations/definition.ts';

export const REQUEST_ID = 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef';

/** An administrator's context, as the authorizer writes it: strings only. */
export const ADMIN = {
  principalId: 'key_0000000000000000000001',
  key_id: 'key_0000000000000000000001',
  owner_id: 'platform',
  owner_access: 'any',
  environment: 'live',
  scopes: '*:*',
};

export interface ApiRequest {
  body?: string | null;
  /** Sent as JSON, with its content type. */
  json?: unknown;
  base64?: boolean;
  headers?: Record<string, string | string[]>;
  query?: Record<string, string | string[]>;
  id?: string;
  /** All ids of the path, where it has more than one. */
  ids?: Record<string, string>;
  caller?: unknown;
}

const all = (values: Record<string, string | string[]>): Record<string, string[]> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value].flat()]));
const last = (values: Record<string, string | string[]>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value].flat().at(-1) ?? '']));

/** The event of a REST API's proxy integration: `headers` and `query…` have the last value, `multiValue…` all. */
export function apiEvent({
  json,
  body = json === undefined ? null : JSON.stringify(json),
  base64 = false,
  headers = {},
  query,
  id,
  ids,
  caller = ADMIN,
}: ApiRequest = {}): APIGatewayProxyEvent {
  const sent = { ...(json !== undefined && { 'Content-Type': 'application/json' }), ...headers };
  return {
    resource: '/',
    path: '/',
    httpMethod: 'POST',
    body,
    isBase64Encoded: base64,
    headers: last(sent),
    multiValueHeaders: all(sent),
    queryStringParameters: query ? last(query) : null,
    multiValueQueryStringParameters: query ? all(query) : null,
    pathParameters: ids ?? (id === undefined ? null : { id }),
    stageVariables: null,
    requestContext: { requestId: REQUEST_ID, authorizer: caller },
  } as unknown as APIGatewayProxyEvent;
}

export interface ApiAnswer {
  status: number;
  headers: Record<string, string>;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test names the members it reads
  body: any;
}

/** What API Gateway would send on. */
export function answerOf(result: APIGatewayProxyResult): ApiAnswer {
  return {
    status: result.statusCode,
    headers: result.headers as Record<string, string>,
    text: result.body,
    // 204 has none.
    body: result.body === '' ? null : JSON.parse(result.body),
  };
}

/** Sends one request to an operation, through its boundary. */
export async function call(operation: Operation, request?: ApiRequest): Promise<ApiAnswer> {
  return answerOf(await serve(operation)(apiEvent(request), {} as Context));
}
