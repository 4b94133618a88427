import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { accessLogLine } from './access-log.ts';
import { authorize, type VerdictCache } from './authorizer.ts';
import { type Exchange, GatewayError, newExchange } from './exchange.ts';
import { type Answer, gatewayResponse } from './gateway-response.ts';
import { integrate } from './integration.ts';
import type { RestApiModel } from './model.ts';
import {
  forwardedHeaders,
  type GatewayRequest,
  headerPairs,
  headerValues,
  queryOf,
  splitStage,
  splitTarget,
  traceIdOf,
} from './request.ts';
import { matchResource } from './routing.ts';

/** Quotas of REST APIs (AWS: api-gateway-execution-service-limits-table), in bytes and characters. */
const BODY_BYTES = 10_485_760;
const HEADER_BYTES = 20_480;
const URL_CHARACTERS = 10_240;
/** Node cuts the connection above this; between the two the answer is ours. */
const NODE_HEADER_BYTES = 64 * 1024;

/** Answers of AWS's front, before any API is known: no gateway response, nothing to customise. */
const front = (status: number, errorType: string, message: string): Answer => ({
  status,
  headers: [
    ['x-amzn-ErrorType', errorType],
    ['Content-Type', 'application/json'],
  ],
  body: JSON.stringify({ message }),
});
const badRequest = (message = 'Bad Request') => front(400, 'BadRequestException', message);
const headersTooLarge = front(
  431,
  'RequestHeaderFieldsTooLargeException',
  `HTTP header is larger than ${HEADER_BYTES} bytes.`,
);

/** The whole body, or undefined when it is longer than allowed. */
async function readBody(message: IncomingMessage): Promise<Buffer | undefined> {
  // A client that sends twice the limit or more is cut off; the others get to read their 413.
  if (Number(message.headers['content-length'] ?? 0) > 2 * BODY_BYTES) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > 2 * BODY_BYTES) return undefined;
    if (length > BODY_BYTES) chunks.length = 0;
    else chunks.push(chunk);
  }
  return length > BODY_BYTES ? undefined : Buffer.concat(chunks);
}

function send(response: ServerResponse, { status, headers, body }: Answer, more: [string, string][] = []) {
  response.statusCode = status;
  const sent = Buffer.from(body, 'utf8');
  for (const [name, value] of headers) response.appendHeader(name, value);
  for (const [name, value] of more) response.setHeader(name, value);
  response.setHeader('content-length', sent.length);
  response.end(sent);
  return sent.length;
}

/** Connections that end with the answer under way. */
const ending = new WeakSet<Socket>();

/** What is wrong with the head of the request, if anything is. Checked before a byte of the body is read. */
function headProblem(message: IncomingMessage, pairs: [string, string][]): Answer | undefined {
  const head = pairs.reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    Buffer.byteLength(`${message.method} ${message.url} HTTP/1.1`),
  );
  const url = message.url ?? '';
  if (url.length > URL_CHARACTERS) return front(414, 'RequestURITooLongException', 'Request URI too long');
  if (head > HEADER_BYTES) return headersTooLarge;
  const target = splitTarget(url);
  if (!target) return badRequest();
  // "not supported for any request URL query string and must be URL-encoded" (important notes for REST APIs).
  if (/[|{}]/.test(target.search)) return badRequest();
  // RFC 9112, 3.2: more than one Host is a 400.
  if (pairs.filter(([name]) => name.toLowerCase() === 'host').length > 1) return badRequest();
  return undefined;
}

function readRequest(
  message: IncomingMessage,
  pairs: [string, string][],
  body: Buffer,
  now: number,
): GatewayRequest {
  const { path, search } = splitTarget(message.url ?? '') ?? { path: '/', search: '' };
  const valuesOf = (wanted: string) =>
    pairs.flatMap(([name, value]) => (name.toLowerCase() === wanted ? [value] : []));
  const traceId = traceIdOf(valuesOf('x-amzn-trace-id').at(-1), now);
  const sourceIp = (message.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  return {
    // "API Gateway overrides the method" (important notes for REST APIs): routed, authorized and invoked as it.
    method: valuesOf('x-http-method-override').at(-1) ?? message.method ?? 'GET',
    ...splitStage(path),
    headers: forwardedHeaders(pairs, { sourceIp, port: message.socket.localPort ?? 0, traceId }),
    query: queryOf(search),
    body: body.length > 0 ? body.toString('utf8') : null,
    sourceIp,
    traceId,
  };
}

/**
 * Where there is no route, API Gateway takes the request for one that is signed with AWS credentials, and
 * complains of the signature: it is missing, or `Authorization` holds something else. Of which response type the
 * second complaint is, is not documented.
 */
function noRoute({ request }: Exchange): GatewayError {
  const authorization = headerValues(request.headers, 'authorization').at(-1);
  if (authorization === undefined) {
    return new GatewayError(
      'MISSING_AUTHENTICATION_TOKEN',
      'MissingAuthenticationTokenException',
      'Missing Authentication Token',
    );
  }
  const hash = createHash('sha256').update(authorization).digest('base64');
  return new GatewayError(
    'INVALID_SIGNATURE',
    'IncompleteSignatureException',
    `Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '${hash}'.`,
    { why: 'no such route, and Authorization is no AWS signature' },
  );
}

/** Stage, resource, method, authorizer, integration: the way of every request. */
async function answer(exchange: Exchange, cache: VerdictCache): Promise<Answer> {
  const { model, request } = exchange;
  const match = matchResource(model.resources, request.path);
  // `ANY` is the seven methods of AWS, not whatever a client makes up.
  const any = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'].includes(request.method);
  const method =
    match?.resource.methods.get(request.method) ?? (any ? match?.resource.methods.get('ANY') : undefined);
  if (!match || !method) {
    throw noRoute(exchange);
  }
  exchange.resource = match.resource;
  exchange.pathParameters = match.pathParameters;
  exchange.method = method;
  if (method.authorizer) await authorize(exchange, method.authorizer, cache);
  return integrate(exchange, method);
}

async function serve(
  model: RestApiModel,
  cache: VerdictCache,
  message: IncomingMessage,
  response: ServerResponse,
) {
  // A second request sent along with a refused one: its answer could not go out, so nothing may happen for it.
  if (ending.has(message.socket)) return;
  const started = performance.now();
  const pairs = headerPairs(message.rawHeaders);
  const problem = headProblem(message, pairs);
  if (problem) {
    ending.add(message.socket);
    send(response, problem, [['connection', 'close']]);
    return;
  }
  const body = await readBody(message);
  const request = readRequest(message, pairs, body ?? Buffer.alloc(0), model.services.now());
  const userAgent = message.headers['user-agent'] ?? null;
  const exchange = newExchange(model, request, userAgent);
  const ids: [string, string][] = [
    ['x-amzn-RequestId', exchange.requestId],
    ['x-amz-apigw-id', exchange.extendedRequestId],
  ];
  const stage = model.stages.find(({ name }) => name === request.stage);
  if (!stage) {
    send(response, front(403, 'ForbiddenException', 'Forbidden'), ids);
    return;
  }
  exchange.stage = stage;

  let result: Answer;
  let error: GatewayError | undefined;
  try {
    if (!body) {
      ending.add(message.socket);
      ids.push(['connection', 'close']);
      throw new GatewayError(
        'REQUEST_TOO_LARGE',
        'RequestTooLargeException',
        `HTTP content length exceeded ${BODY_BYTES} bytes`,
      );
    }
    result = await answer(exchange, cache);
    ids.push(['X-Amzn-Trace-Id', request.traceId]);
  } catch (cause) {
    error =
      cause instanceof GatewayError
        ? cause
        : new GatewayError('DEFAULT_5XX', 'InternalFailureException', 'Internal server error', {
            why: `the laptop stack itself failed: ${cause instanceof Error ? cause.stack : String(cause)}`,
          });
    exchange.outcome.failure = error.message;
    result = gatewayResponse(exchange, error);
  }
  const responseLength = send(response, result, ids);
  const log = { status: result.status, responseLength, latencyMs: Math.round(performance.now() - started) };
  model.services.accessLog({
    api: model.name,
    ...(stage.accessLogFormat !== undefined &&
      accessLogLine(stage.accessLogFormat, exchange, { ...log, ...(error && { error }) })),
    // Not in the stage's format, and only where AWS would have a line in its execution log.
    ...(error && { requestId: exchange.requestId, status: result.status, failure: error.message }),
  });
}

function refuseConnection(error: NodeJS.ErrnoException, socket: Socket) {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const { status, headers, body } = error.code === 'HPE_HEADER_OVERFLOW' ? headersTooLarge : badRequest();
  const lines = [...headers, ['content-length', String(Buffer.byteLength(body))], ['connection', 'close']];
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.end(
    `HTTP/1.1 ${status} ${status === 431 ? 'Request Header Fields Too Large' : 'Bad Request'}\r\n${head}\r\n${body}`,
  );
}

/**
 * Serves the API on 127.0.0.1.
 *
 * @param port 0 for any free one.
 * @returns the URL of the first stage, without a slash at the end.
 * @throws Error EADDRINUSE and the like.
 */
export async function serveRestApi(
  model: RestApiModel,
  port: number,
): Promise<{ url: string; restApiId: string; name: string; close(): Promise<void> }> {
  const cache: VerdictCache = new Map();
  const handle = (message: IncomingMessage, response: ServerResponse) => {
    serve(model, cache, message, response).catch((error: unknown) => {
      // The client has gone, or an answer could not be written: nobody is left to be told but the log.
      response.destroy();
      model.services.accessLog({ api: model.name, failure: String(error) });
    });
  };
  const server = createServer({
    maxHeaderSize: NODE_HEADER_BYTES,
    requireHostHeader: true,
    insecureHTTPParser: false,
  });
  server.on('request', handle);
  // AWS drops an Expect it does not know; Node would answer 417.
  server.on('checkExpectation', handle);
  server.on('connect', (_, socket) => refuseConnection(new Error('CONNECT'), socket as Socket));
  server.on('clientError', refuseConnection);
  // "Idle connection timeout: 310 seconds".
  server.keepAliveTimeout = 310_000;

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}/${model.stages[0]?.name}`,
    restApiId: model.restApiId,
    name: model.name,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
