import { proxyEvent } from './event.ts';
import { type Exchange, GatewayError } from './exchange.ts';
import type { Answer } from './gateway-response.ts';
import type { MethodModel } from './model.ts';
import { isRecord } from './verdict.ts';

/** Lambda's limit for what one invocation gets: 6 MB and a bit for the envelope, in bytes. */
export const LAMBDA_PAYLOAD_BYTES = 6_291_556;

/** What a response's headers become, in the `lambda` column of AWS's table (important notes for REST APIs). */
const DROPPED = new Set([
  // "Passthrough", but the one of the body that is sent.
  'content-length',
  'expect',
  'host',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
]);
const REMAPPED = new Set([
  'authorization',
  'connection',
  'content-md5',
  'date',
  'max-forwards',
  'server',
  'user-agent',
  'www-authenticate',
  // Not in the table: LocalStack's recordings (test_apigateway_http) show it.
  'x-amzn-requestid',
]);
/** API Gateway puts its own. */
const REPLACED = new Set(['x-amz-apigw-id', 'x-amzn-trace-id']);

const FIELDS = new Set(['statusCode', 'headers', 'multiValueHeaders', 'body', 'isBase64Encoded']);

/** 502 and not the type's 504: what AWS answers when the function failed, or answered nonsense. */
export const broken = (why: string) =>
  new GatewayError('INTEGRATION_FAILURE', 'InternalServerErrorException', 'Internal server error', {
    why,
    status: 502,
  });

const malformed = (why: string) => broken(`malformed Lambda proxy response: ${why}`);

/** Texts and booleans (test_aws_proxy_response_payload_format_validation); nothing that would break a header. */
function headerText(name: string, value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'boolean') throw malformed(`header ${name} is no text`);
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(String(value))) {
    throw malformed(`header ${name} can't be sent`);
  }
  return String(value);
}

function headersOf(payload: Record<string, unknown>): [string, string][] {
  const single = payload['headers'] ?? {};
  const multiple = payload['multiValueHeaders'] ?? {};
  if (!isRecord(single) || !isRecord(multiple)) throw malformed('headers are no object');
  // Merged into one list, the multiple ones first, in the spelling met first; equal pairs once.
  const merged = new Map<string, { name: string; values: string[] }>();
  const add = (name: string, value: unknown) => {
    const entry = merged.get(name.toLowerCase()) ?? { name, values: [] };
    const text = headerText(name, value);
    merged.set(name.toLowerCase(), entry);
    return { entry, text };
  };
  for (const [name, values] of Object.entries(multiple)) {
    if (!Array.isArray(values)) throw malformed(`multiValueHeaders.${name} is no list`);
    for (const value of values) {
      const { entry, text } = add(name, value);
      entry.values.push(text);
    }
  }
  for (const [name, value] of Object.entries(single)) {
    const { entry, text } = add(name, value);
    if (!entry.values.includes(text)) entry.values.push(text);
  }
  return [...merged.values()].flatMap(({ name, values }) =>
    values.map((value): [string, string] => [name, value]),
  );
}

/**
 * The HTTP answer in a function's result.
 *
 * @throws GatewayError 502 unless it is an object of the known fields, with at least one of them.
 */
export function readProxyResponse(payload: unknown): Answer {
  if (!isRecord(payload)) throw malformed('no object');
  const fields = Object.keys(payload);
  if (fields.length === 0) throw malformed('empty');
  const unknown = fields.find((name) => !FIELDS.has(name));
  if (unknown !== undefined) throw malformed(`unknown field ${unknown}`);
  const { statusCode, body } = payload;
  const status = statusCode ?? 200;
  if (!/^[2-5]\d\d$/.test(String(status))) throw malformed('statusCode is no HTTP status');
  if (body !== undefined && body !== null && typeof body !== 'string') throw malformed('body is no text');
  const base64 = payload['isBase64Encoded'];
  if (base64 !== undefined && base64 !== null && typeof base64 !== 'boolean') {
    throw malformed('isBase64Encoded is no boolean');
  }

  const headers = headersOf(payload).flatMap(([name, value]): [string, string][] => {
    const lower = name.toLowerCase();
    if (DROPPED.has(lower) || REPLACED.has(lower)) return [];
    return [[REMAPPED.has(lower) ? `x-amzn-Remapped-${name}` : name, value]];
  });
  if (!headers.some(([name]) => name.toLowerCase() === 'content-type')) {
    headers.push(['Content-Type', 'application/json']);
  }
  // isBase64Encoded changes nothing: without binary media types (none are supported) the text goes out as it is.
  return { status: Number(status), headers, body: body ?? '' };
}

/** A promise that fails with API Gateway's time-out. */
export const timeOut = (ms: number) => {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new GatewayError(
            'INTEGRATION_TIMEOUT',
            'InternalServerErrorException',
            'Endpoint request timed out',
            {
              why: `the function gave no answer within ${ms} ms`,
            },
          ),
        ),
      ms,
    );
  });
  return { passed, clear: () => clearTimeout(timer) };
};

/** Invokes the method's function and reads its answer. */
export async function integrate(exchange: Exchange, method: MethodModel): Promise<Answer> {
  const { model, request, resource, outcome } = exchange;
  const { account, region, invoke, mayInvoke } = model.services;
  // The resource as declared, `{id}` and all; a permission for `/orders/*` covers that as well.
  const source = `arn:aws:execute-api:${region}:${account}:${model.restApiId}/${request.stage}/${request.method}${resource?.path}`;
  if (!mayInvoke(method.functionArn, source)) {
    throw new GatewayError(
      'API_CONFIGURATION_ERROR',
      'InternalServerErrorException',
      'Internal server error',
      {
        why: `${method.functionArn} may not be invoked by ${source}`,
      },
    );
  }
  const event = proxyEvent(exchange);
  if (Buffer.byteLength(JSON.stringify(event)) > LAMBDA_PAYLOAD_BYTES) {
    throw new GatewayError('REQUEST_TOO_LARGE', 'RequestTooLargeException', 'Request Too Long', {
      why: `the event is longer than Lambda's ${LAMBDA_PAYLOAD_BYTES} bytes`,
    });
  }

  const started = performance.now();
  const limit = timeOut(method.timeoutMs);
  try {
    const { payload, functionError } = await Promise.race([invoke(method.functionArn, event), limit.passed]);
    if (functionError !== undefined) throw broken(`the function failed: ${functionError}`);
    const answer = readProxyResponse(payload);
    outcome.integrationStatus = 200;
    return answer;
  } catch (error) {
    throw error instanceof GatewayError
      ? error
      : broken(`the function could not be invoked: ${String(error)}`);
  } finally {
    limit.clear();
    outcome.integrationLatency = Math.round(performance.now() - started);
  }
}
