import { randomBytes } from 'node:crypto';
import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { fillFormat } from '../api-gateway/access-log.ts';
import { commonLogTime } from '../api-gateway/event.ts';
import { GatewayError } from '../api-gateway/exchange.ts';
import { front, headProblem, listen, send } from '../api-gateway/http.ts';
import { broken, timeOut } from '../api-gateway/integration.ts';
import {
  allValues,
  headerPairs,
  headerValues,
  lastValues,
  queryOf,
  splitStage,
  splitTarget,
} from '../api-gateway/request.ts';
import type { ServedApi } from '../api-gateway/server.ts';
import { lookUp } from '../api-gateway/variables.ts';
import { contextText, isRecord, VerdictCache } from '../api-gateway/verdict.ts';
import { asGatewayError, authorize } from './authorizer.ts';
import type { ApiModel, RouteModel, StageModel } from './model.ts';

/** Quotas of WebSocket APIs (AWS: apigateway-execution-service-websocket-limits-table). */
const MESSAGE_BYTES = 128 * 1024;
const HEADER_BYTES = 10_240;

/** One connection: what every event about it has. */
interface Connection {
  model: ApiModel;
  stage: StageModel;
  id: string;
  connectedAt: number;
  sourceIp: string;
  userAgent: string;
  /** Of the request that opened it. */
  headers: Map<string, string[]>;
  query: Map<string, string[]>;
  /** What the authorizer said at `$connect`; every later event has it too. */
  authorizer?: Record<string, string | number>;
}

const base64Id = (bytes: number): string => `${randomBytes(bytes).toString('base64url')}=`;

const ROUTE_EVENTS: Record<string, string> = { $connect: 'CONNECT', $disconnect: 'DISCONNECT' };

function contextOf(connection: Connection, routeKey: string, requestId: string): Record<string, unknown> {
  const { model, stage, authorizer } = connection;
  const now = model.services.now();
  return {
    routeKey,
    eventType: ROUTE_EVENTS[routeKey] ?? 'MESSAGE',
    extendedRequestId: requestId,
    requestTime: commonLogTime(now),
    messageDirection: 'IN',
    stage: stage.name,
    connectedAt: connection.connectedAt,
    requestTimeEpoch: now,
    identity: { sourceIp: connection.sourceIp, userAgent: connection.userAgent },
    requestId,
    domainName: `${model.apiId}.execute-api.${model.services.region}.amazonaws.com`,
    connectionId: connection.id,
    apiId: model.apiId,
    ...(authorizer && { authorizer }),
  };
}

/** Headers and query of the opening request: in `$connect` events and in those of the authorizer. */
const opening = ({ headers, query }: Connection): Record<string, unknown> => ({
  headers: lastValues(headers),
  multiValueHeaders: allValues(headers),
  ...(query.size > 0 && {
    queryStringParameters: lastValues(query),
    multiValueQueryStringParameters: allValues(query),
  }),
});

/** Invokes a route's function and gives what it answered. @throws GatewayError */
async function invokeRoute(connection: Connection, route: RouteModel, body?: string): Promise<unknown> {
  const { model, stage } = connection;
  const { account, region, invoke, mayInvoke } = model.services;
  const source = `arn:aws:execute-api:${region}:${account}:${model.apiId}/${stage.name}/${route.routeKey}`;
  if (!mayInvoke(route.functionArn, source))
    throw broken(`${route.functionArn} may not be invoked by ${source}`);
  const event = {
    ...(route.routeKey === '$connect' && opening(connection)),
    requestContext: contextOf(connection, route.routeKey, base64Id(11)),
    ...(stage.variables && { stageVariables: stage.variables }),
    ...(body !== undefined && { body }),
    isBase64Encoded: false,
  };
  const limit = timeOut(route.timeoutMs);
  try {
    const { payload, functionError } = await Promise.race([invoke(route.functionArn, event), limit.passed]);
    if (functionError !== undefined) throw broken(`the function failed: ${functionError}`);
    return payload;
  } finally {
    limit.clear();
  }
}

function identityOf(connection: Connection, source: string): string | undefined {
  const [, place, name = ''] = /^route\.request\.(header|querystring)\.(.+)$/.exec(source) ?? [];
  if (place === 'header') return headerValues(connection.headers, name).join(',');
  if (place === 'querystring') return connection.query.get(name)?.join(',');
  const variable = /^stageVariables\.(.+)$/.exec(source)?.[1];
  if (variable !== undefined) return lookUp(connection.stage.variables, variable);
  return lookUp(contextOf(connection, '$connect', ''), source.replace(/^context\./, ''));
}

/** Asks the authorizer and the function of `$connect`. @throws GatewayError what the opening request is refused with */
async function open(connection: Connection): Promise<void> {
  const { model, stage } = connection;
  const { account, region } = model.services;
  const route = model.routes.find(({ routeKey }) => routeKey === '$connect');
  if (route?.authorizer) {
    const arn = `arn:aws:execute-api:${region}:${account}:${model.apiId}/${stage.name}/$connect`;
    const { principalId, context } = await authorize({
      apiId: model.apiId,
      stage: stage.name,
      services: model.services,
      authorizer: route.authorizer,
      // Results are not kept: the TTL is "Supported only for HTTP API Lambda authorizers".
      cache: new VerdictCache(),
      arn,
      sourceIp: connection.sourceIp,
      identity: (source) => identityOf(connection, source),
      event: () => ({
        type: 'REQUEST',
        methodArn: arn,
        queryStringParameters: {},
        multiValueQueryStringParameters: {},
        ...opening(connection),
        stageVariables: stage.variables ?? {},
        requestContext: contextOf(connection, '$connect', base64Id(11)),
      }),
      contextValue: contextText,
      thrownIs401: true,
    });
    connection.authorizer = { ...context, principalId, integrationLatency: 0 };
  }
  if (!route) return;
  const answer = await invokeRoute(connection, route);
  const status = isRecord(answer) ? Number(answer['statusCode']) : Number.NaN;
  if (!(status >= 200 && status < 300)) {
    throw new GatewayError('DEFAULT_4XX', 'ConnectRefused', 'Forbidden', {
      why: 'the function of $connect did not answer 2xx',
      status: status >= 400 && status < 600 ? status : 500,
    });
  }
}

const statusOf = (error: GatewayError): number => {
  if (error.responseType === 'UNAUTHORIZED') return 401;
  if (error.responseType === 'ACCESS_DENIED') return 403;
  return error.responseType === 'DEFAULT_4XX' ? (error.status ?? 400) : 500;
};

function refuse(socket: Duplex, status: number): void {
  const body = JSON.stringify({ message: STATUS_CODES[status] });
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\nconnection: close\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

/** A message of the client: its route's function gets it, and its body goes back where the route has a response. */
async function receive(connection: Connection, socket: WebSocket, body: string): Promise<void> {
  const { model } = connection;
  const say = (message: string) =>
    socket.send(JSON.stringify({ message, connectionId: connection.id, requestId: base64Id(11) }));
  let selected: unknown;
  try {
    const parsed: unknown = JSON.parse(body);
    selected = isRecord(parsed) ? parsed[model.routeSelector] : undefined;
  } catch {
    // No JSON, no key: that is what $default is for.
  }
  const route =
    (typeof selected === 'string' && !selected.startsWith('$')
      ? model.routes.find(({ routeKey }) => routeKey === selected)
      : undefined) ?? model.routes.find(({ routeKey }) => routeKey === '$default');
  if (!route) return say('Forbidden');
  try {
    const answer = await invokeRoute(connection, route, body);
    if (route.answers && isRecord(answer) && typeof answer['body'] === 'string') socket.send(answer['body']);
  } catch (cause) {
    model.services.accessLog({ api: model.name, failure: asGatewayError(cause).message });
    say('Internal server error');
  }
}

function accept(connection: Connection, socket: WebSocket): void {
  const { model } = connection;
  // One after the other: AWS promises no order, but a laptop's tests like one.
  let queue = Promise.resolve();
  socket.on('message', (data: RawData) => {
    queue = queue.then(() => receive(connection, socket, data.toString())).catch(() => socket.terminate());
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    const route = model.routes.find(({ routeKey }) => routeKey === '$disconnect');
    if (!route) return;
    // "Best effort": nobody is left to be told.
    invokeRoute(connection, route).catch((error: unknown) =>
      model.services.accessLog({ api: model.name, failure: asGatewayError(error).message }),
    );
  });
}

/**
 * Serves a WebSocket API on 127.0.0.1.
 *
 * @param port 0 for any free one.
 * @throws Error EADDRINUSE and the like.
 */
export async function serveWebSocketApi(model: ApiModel, port: number): Promise<ServedApi> {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_BYTES });
  const log = (line: Record<string, unknown>) => model.services.accessLog({ api: model.name, ...line });
  const listening = await listen(
    // No upgrade: not a WebSocket client.
    async (_, response) => void send(response, front(403, 'ForbiddenException', 'Forbidden')),
    { port, headerBytes: HEADER_BYTES, onFailure: (error) => log({ failure: String(error) }) },
  );

  const upgrade = async (message: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const pairs = headerPairs(message.rawHeaders);
    const problem = headProblem(message, pairs, HEADER_BYTES);
    if (problem) return refuse(socket, problem.status);
    const { path, search } = splitTarget(message.url ?? '')!;
    const { stage: name, path: rest } = splitStage(path);
    const stage = model.stages.find((each) => each.name === name);
    if (!stage || rest !== '/') return refuse(socket, 403);
    const headers = new Map<string, string[]>();
    for (const [header, value] of pairs) headers.set(header, [...(headers.get(header) ?? []), value]);
    // WebSocket APIs answer 400 to two of them, before any authorizer (docs/api-gateway-on-the-laptop.md).
    if (headerValues(headers, 'authorization').length > 1) return refuse(socket, 400);
    const connection: Connection = {
      model,
      stage,
      id: base64Id(11),
      connectedAt: model.services.now(),
      sourceIp: (message.socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
      userAgent: message.headers['user-agent'] ?? '',
      headers,
      query: queryOf(search),
    };
    let status = 101;
    let failure: string | undefined;
    try {
      await open(connection);
      sockets.handleUpgrade(message, socket, head, (webSocket) => accept(connection, webSocket));
    } catch (cause) {
      const error = asGatewayError(cause);
      status = statusOf(error);
      failure = error.message;
      refuse(socket, status);
    }
    const context = { ...contextOf(connection, '$connect', base64Id(11)), status };
    log({
      ...(stage.accessLogFormat !== undefined && fillFormat(stage.accessLogFormat, context)),
      ...(failure !== undefined && { status, failure }),
    });
  };
  listening.server.on('upgrade', (message, socket, head) => {
    socket.on('error', () => socket.destroy());
    upgrade(message, socket, head).catch((error: unknown) => {
      socket.destroy();
      log({ failure: String(error) });
    });
  });

  return {
    url: `ws://127.0.0.1:${listening.port}/${model.stages[0]?.name}`,
    apiId: model.apiId,
    account: model.services.account,
    isRest: false,
    name: model.name,
    flushAuthorizers: () => false,
    async close() {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      await listening.close();
    },
  };
}
