import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fillFormat } from '../api-gateway/access-log.ts';
import { GatewayError } from '../api-gateway/exchange.ts';
import {
  BODY_BYTES,
  ending,
  type HttpAnswer,
  headProblem,
  listen,
  readBody,
  send,
} from '../api-gateway/http.ts';
import { broken, LAMBDA_PAYLOAD_BYTES, timeOut } from '../api-gateway/integration.ts';
import {
  forwardedHeaders,
  headerPairs,
  headerValues,
  queryOf,
  splitTarget,
  traceIdOf,
} from '../api-gateway/request.ts';
import type { ServedApi } from '../api-gateway/server.ts';
import { lookUp } from '../api-gateway/variables.ts';
import { isRecord, VerdictCache } from '../api-gateway/verdict.ts';
import { asGatewayError, authorize } from './authorizer.ts';
import {
  type HttpExchange,
  httpAuthorizerEvent,
  httpProxyEvent,
  httpRequestContext,
  joinedHeaders,
} from './event.ts';
import type { ApiModel, StageModel } from './model.ts';
import { matchRoute } from './routing.ts';

/** "Total combined size of request line and header values": 10,240 bytes (AWS: http-api-quotas). */
const HEADER_BYTES = 10_240;

const says = (status: number, message: string | null): HttpAnswer => ({
  status,
  headers: [['Content-Type', 'application/json']],
  body: JSON.stringify({ message }),
});
const notFound = says(404, 'Not Found');

/** HTTP APIs have no gateway responses: these are all the answers they give by themselves, and none can be changed. */
function ownAnswer({ responseType }: GatewayError): HttpAnswer {
  switch (responseType) {
    case 'UNAUTHORIZED':
      return says(401, 'Unauthorized');
    case 'ACCESS_DENIED':
      return says(403, 'Forbidden');
    case 'REQUEST_TOO_LARGE':
      return says(413, 'Request Entity Too Large');
    case 'INTEGRATION_TIMEOUT':
      return says(503, 'Service Unavailable');
    default:
      return says(500, 'Internal Server Error');
  }
}

/** The stage and the path behind it: a stage that is named first in the path, else `$default` with the whole path. */
function stageOf(model: ApiModel, path: string): { stage: StageModel; path: string } | undefined {
  const [, first = '', rest = ''] = /^\/([^/]*)(.*)$/s.exec(path) ?? [];
  const named = model.stages.find(({ name }) => name !== '$default' && name === first);
  if (named) return { stage: named, path: rest === '' ? '/' : rest };
  const byDefault = model.stages.find(({ name }) => name === '$default');
  return byDefault && { stage: byDefault, path };
}

/** The value of `$request.header.x`, `$request.querystring.x`, `$stageVariables.x` or `$context.x`. */
function identityOf(exchange: HttpExchange, source: string): string | undefined {
  const { request, stage } = exchange;
  const [, place, name = ''] = /^\$request\.(header|querystring)\.(.+)$/.exec(source) ?? [];
  if (place === 'header') return joinedHeaders(request.headers)[name.toLowerCase()];
  if (place === 'querystring') return request.query.get(name)?.join(',');
  const variable = /^\$stageVariables\.(.+)$/.exec(source)?.[1];
  if (variable !== undefined) return lookUp(stage.variables, variable);
  return lookUp(httpRequestContext(exchange), source.replace(/^\$context\./, ''));
}

const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/;

/**
 * The answer in a function's result, payload format 2.0: an object with a `statusCode`, or anything else, which is
 * then the body of a 200 (http-api-develop-integrations-lambda).
 */
export function readProxyResult(payload: unknown): HttpAnswer {
  if (!isRecord(payload) || !Object.hasOwn(payload, 'statusCode')) {
    const body = typeof payload === 'string' ? payload : JSON.stringify(payload ?? null);
    return { status: 200, headers: [['Content-Type', 'application/json']], body };
  }
  const { statusCode, headers = {}, body, cookies = [], isBase64Encoded = false } = payload;
  if (!/^[2-5]\d\d$/.test(String(statusCode))) throw broken('statusCode is no HTTP status');
  if (body !== undefined && body !== null && typeof body !== 'string') throw broken('body is no text');
  if (headers !== null && !isRecord(headers)) throw broken('headers are no object');
  if (!Array.isArray(cookies)) throw broken('cookies are no list');
  const sent = [
    ...Object.entries(headers ?? {}),
    ...cookies.map((cookie): [string, unknown] => ['set-cookie', cookie]),
  ].map(([name, value]): [string, string] => {
    if (!HEADER_NAME.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(String(value)))
      throw broken(`header ${name} can't be sent`);
    return [name, String(value)];
  });
  const kept = sent.filter(
    ([name]) => !['content-length', 'transfer-encoding', 'connection'].includes(name.toLowerCase()),
  );
  if (!kept.some(([name]) => name.toLowerCase() === 'content-type')) {
    kept.push(['Content-Type', 'text/plain;charset=utf-8']);
  }
  return {
    status: Number(statusCode),
    headers: kept,
    body: isBase64Encoded === true ? Buffer.from(body ?? '', 'base64') : (body ?? ''),
  };
}

async function integrate(exchange: HttpExchange): Promise<HttpAnswer> {
  const { model, stage, route, request } = exchange;
  const { account, region, invoke, mayInvoke } = model.services;
  const declared =
    route.routeKey === '$default' ? '$default' : `${request.method}/${route.segments.join('/')}`;
  const source = `arn:aws:execute-api:${region}:${account}:${model.apiId}/${stage.name}/${declared}`;
  if (!mayInvoke(route.functionArn, source))
    throw broken(`${route.functionArn} may not be invoked by ${source}`);
  const event = httpProxyEvent(exchange);
  if (Buffer.byteLength(JSON.stringify(event)) > LAMBDA_PAYLOAD_BYTES) {
    throw new GatewayError('REQUEST_TOO_LARGE', 'RequestTooLargeException', 'Request Too Long');
  }
  const limit = timeOut(route.timeoutMs);
  try {
    const { payload, functionError } = await Promise.race([invoke(route.functionArn, event), limit.passed]);
    if (functionError !== undefined) throw broken(`the function failed: ${functionError}`);
    return readProxyResult(payload);
  } finally {
    limit.clear();
  }
}

/** The way of a request whose route is known. `exchange.authorizer` has what the authorizer said. */
async function answer(exchange: HttpExchange, cache: VerdictCache<unknown>): Promise<HttpAnswer> {
  const { model, stage, route, request } = exchange;
  const { account, region } = model.services;
  if (route.authorizer) {
    const path = (stage.name === '$default' ? request.fullPath : request.path).replace(/^\//, '');
    const arn = `arn:aws:execute-api:${region}:${account}:${model.apiId}/${stage.name}/${request.method}/${path}`;
    const verdict = await authorize({
      apiId: model.apiId,
      stage: stage.name,
      services: model.services,
      authorizer: route.authorizer,
      cache,
      arn,
      sourceIp: request.sourceIp,
      identity: (source) => identityOf(exchange, source),
      event: (identitySource) => httpAuthorizerEvent(exchange, arn, identitySource),
      // "Format 2.0: … also arrays and maps".
      contextValue: (value) => value,
      // Returned it is a 401; thrown is not documented, and reported as a 500.
      thrownIs401: false,
    });
    exchange.authorizer = { lambda: verdict.context };
  }
  return integrate(exchange);
}

function logLine(exchange: HttpExchange, status: number, responseLength: number, error?: GatewayError) {
  const { stage, request, route, authorizer } = exchange;
  const variables = {
    ...httpRequestContext(exchange),
    httpMethod: request.method,
    path: request.fullPath,
    protocol: 'HTTP/1.1',
    requestTime: (httpRequestContext(exchange) as { time: string }).time,
    identity: { sourceIp: request.sourceIp },
    routeKey: route.routeKey,
    status,
    responseLength,
    authorizer: authorizer?.lambda,
    error: error && { message: error.publicMessage, responseType: error.responseType },
    integrationErrorMessage: error?.message,
  };
  return {
    api: exchange.model.name,
    ...(stage.accessLogFormat !== undefined && fillFormat(stage.accessLogFormat, variables)),
    ...(error && { requestId: exchange.requestId, status, failure: error.message }),
  };
}

async function serve(
  model: ApiModel,
  cache: VerdictCache<unknown>,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (ending.has(message.socket)) return;
  const pairs = headerPairs(message.rawHeaders);
  const problem = headProblem(message, pairs, HEADER_BYTES);
  if (problem) {
    ending.add(message.socket);
    send(response, problem, [['connection', 'close']]);
    return;
  }
  const body = await readBody(message);
  const { path: fullPath, search } = splitTarget(message.url ?? '') ?? { path: '/', search: '' };
  // 15 characters of base64 and the padding, as in `apigw-requestid: JKJaXmPLvHcESHA=`.
  const requestId = `${randomBytes(11).toString('base64url').slice(0, 15)}=`;
  const id: [string, string][] = [['apigw-requestid', requestId]];
  const found = stageOf(model, fullPath);
  const method = message.method ?? 'GET';
  const match = found && matchRoute(model.routes, method, found.path);
  if (!found || !match) {
    send(response, notFound, id);
    model.services.accessLog({ api: model.name, requestId, status: 404, failure: 'no such stage or route' });
    return;
  }
  const sourceIp = (message.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  const traceId = traceIdOf(
    headerValues(pairsToEntries(pairs), 'x-amzn-trace-id').at(-1),
    model.services.now(),
  );
  const exchange: HttpExchange = {
    model,
    stage: found.stage,
    route: match.route,
    pathParameters: match.pathParameters,
    request: {
      method,
      fullPath,
      stage: found.stage.name,
      path: found.path,
      headers: forwardedHeaders(pairs, { sourceIp, port: message.socket.localPort ?? 0, traceId }),
      query: queryOf(search),
      body: null,
      sourceIp,
      traceId,
    },
    rawQueryString: search,
    body: body ?? Buffer.alloc(0),
    requestId,
    receivedAt: model.services.now(),
  };
  let result: HttpAnswer;
  let error: GatewayError | undefined;
  try {
    if (!body) {
      ending.add(message.socket);
      id.push(['connection', 'close']);
      throw new GatewayError('REQUEST_TOO_LARGE', 'RequestTooLargeException', 'Request Entity Too Large', {
        why: `the body is longer than ${BODY_BYTES} bytes`,
      });
    }
    result = await answer(exchange, cache);
  } catch (cause) {
    error = asGatewayError(cause);
    result = ownAnswer(error);
  }
  const responseLength = send(response, result, id);
  model.services.accessLog(logLine(exchange, result.status, responseLength, error));
}

const pairsToEntries = (pairs: [string, string][]): [string, string[]][] =>
  pairs.map(([name, value]) => [name, [value]]);

/**
 * Serves an HTTP API on 127.0.0.1.
 *
 * @param port 0 for any free one.
 * @throws Error EADDRINUSE and the like.
 */
export async function serveHttpApi(model: ApiModel, port: number): Promise<ServedApi> {
  const cache = new VerdictCache<unknown>();
  const listening = await listen((message, response) => serve(model, cache, message, response), {
    port,
    headerBytes: HEADER_BYTES,
    onFailure: (error) => model.services.accessLog({ api: model.name, failure: String(error) }),
  });
  const stage = model.stages.find(({ name }) => name === '$default') ?? model.stages[0]!;
  return {
    url: `http://127.0.0.1:${listening.port}${stage.name === '$default' ? '' : `/${stage.name}`}`,
    apiId: model.apiId,
    account: model.services.account,
    isRest: false,
    name: model.name,
    flushAuthorizers(name) {
      cache.flush(name);
      return model.stages.some((each) => each.name === name);
    },
    close: listening.close,
  };
}
