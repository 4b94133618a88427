import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { accessLogLine } from './access-log.ts';
import { authorize } from './authorizer.ts';
import { type Exchange, GatewayError, newExchange } from './exchange.ts';
import { type Answer, gatewayResponse } from './gateway-response.ts';
import { BODY_BYTES, ending, front, headProblem, listen, readBody, send } from './http.ts';
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
import { VerdictCache } from './verdict.ts';

/** Quota of REST APIs (AWS: api-gateway-execution-service-limits-table). */
const HEADER_BYTES = 20_480;

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
  const problem = headProblem(message, pairs, HEADER_BYTES);
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

/** An API that listens. */
export interface ServedApi {
  /** Of the first stage, without a slash at the end. */
  url: string;
  apiId: string;
  account: string;
  isRest: boolean;
  name: string;
  /** Forgets what the authorizers of a stage said. False: there is no such stage. */
  flushAuthorizers(stage: string): boolean;
  close(): Promise<void>;
}

/**
 * Serves the API on 127.0.0.1.
 *
 * @param port 0 for any free one.
 * @throws Error EADDRINUSE and the like.
 */
export async function serveRestApi(model: RestApiModel, port: number): Promise<ServedApi> {
  const cache = new VerdictCache();
  const listening = await listen((message, response) => serve(model, cache, message, response), {
    port,
    headerBytes: HEADER_BYTES,
    onFailure: (error) => model.services.accessLog({ api: model.name, failure: String(error) }),
  });
  return {
    url: `http://127.0.0.1:${listening.port}/${model.stages[0]?.name}`,
    apiId: model.restApiId,
    account: model.services.account,
    isRest: true,
    name: model.name,
    flushAuthorizers(stage) {
      cache.flush(stage);
      return model.stages.some(({ name }) => name === stage);
    },
    close: listening.close,
  };
}
