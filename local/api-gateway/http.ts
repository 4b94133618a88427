import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { splitTarget } from './request.ts';

/** What all kinds of API have in common over HTTP, before it is known what is asked of them. */

/** Quotas of API Gateway (AWS: api-gateway-execution-service-limits-table, http-api-quotas). */
export const BODY_BYTES = 10_485_760;
const URL_CHARACTERS = 10_240;
/** Node cuts the connection above this; between the two the answer is ours. */
const NODE_HEADER_BYTES = 64 * 1024;

export interface HttpAnswer {
  status: number;
  headers: [name: string, value: string][];
  body: string | Buffer;
}

/** Answers of AWS's front, before any API is known: no gateway response, nothing to customise. */
export const front = (status: number, errorType: string, message: string) => ({
  status,
  headers: [
    ['x-amzn-ErrorType', errorType],
    ['Content-Type', 'application/json'],
  ] as [string, string][],
  body: JSON.stringify({ message }),
});
const badRequest = (message = 'Bad Request') => front(400, 'BadRequestException', message);
const headersTooLarge = (limit: number) =>
  front(431, 'RequestHeaderFieldsTooLargeException', `HTTP header is larger than ${limit} bytes.`);

/** The whole body, or undefined when it is longer than allowed. */
export async function readBody(message: IncomingMessage): Promise<Buffer | undefined> {
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

/** @returns the length of the body */
export function send(
  response: ServerResponse,
  { status, headers, body }: HttpAnswer,
  more: [string, string][] = [],
): number {
  response.statusCode = status;
  const sent = Buffer.from(body);
  for (const [name, value] of headers) response.appendHeader(name, value);
  for (const [name, value] of more) response.setHeader(name, value);
  response.setHeader('content-length', sent.length);
  response.end(sent);
  return sent.length;
}

/** Connections that end with the answer under way. */
export const ending = new WeakSet<Socket>();

/**
 * What is wrong with the head of the request, if anything is. Checked before a byte of the body is read.
 *
 * @param headerBytes the quota of the request line and all headers together
 */
export function headProblem(message: IncomingMessage, pairs: [string, string][], headerBytes: number) {
  const head = pairs.reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    Buffer.byteLength(`${message.method} ${message.url} HTTP/1.1`),
  );
  const url = message.url ?? '';
  if (url.length > URL_CHARACTERS) return front(414, 'RequestURITooLongException', 'Request URI too long');
  if (head > headerBytes) return headersTooLarge(headerBytes);
  const target = splitTarget(url);
  if (!target) return badRequest();
  // "not supported for any request URL query string and must be URL-encoded" (important notes for REST APIs).
  if (/[|{}]/.test(target.search)) return badRequest();
  // RFC 9112, 3.2: more than one Host is a 400.
  if (pairs.filter(([name]) => name.toLowerCase() === 'host').length > 1) return badRequest();
  return undefined;
}

const refuseConnection = (headerBytes: number) => (error: NodeJS.ErrnoException, socket: Socket) => {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const { status, headers, body } = tooLarge ? headersTooLarge(headerBytes) : badRequest();
  const lines = [...headers, ['content-length', String(Buffer.byteLength(body))], ['connection', 'close']];
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.end(
    `HTTP/1.1 ${status} ${tooLarge ? 'Request Header Fields Too Large' : 'Bad Request'}\r\n${head}\r\n${body}`,
  );
};

export interface Listening {
  server: Server;
  port: number;
  close(): Promise<void>;
}

/**
 * Listens on 127.0.0.1.
 *
 * @param port 0 for any free one
 * @param onFailure is told what nobody else can be told: the client has gone, or an answer could not be written
 * @throws Error EADDRINUSE and the like
 */
export async function listen(
  handle: (message: IncomingMessage, response: ServerResponse) => Promise<void>,
  { port, headerBytes, onFailure }: { port: number; headerBytes: number; onFailure(error: unknown): void },
): Promise<Listening> {
  const serve = (message: IncomingMessage, response: ServerResponse) => {
    handle(message, response).catch((error: unknown) => {
      response.destroy();
      onFailure(error);
    });
  };
  const server = createServer({
    maxHeaderSize: NODE_HEADER_BYTES,
    requireHostHeader: true,
    insecureHTTPParser: false,
  });
  server.on('request', serve);
  // AWS drops an Expect it does not know; Node would answer 417.
  server.on('checkExpectation', serve);
  const refuse = refuseConnection(headerBytes);
  server.on('connect', (_, socket) => refuse(new Error('CONNECT'), socket as Socket));
  server.on('clientError', refuse);
  // "Idle connection timeout: 310 seconds".
  server.keepAliveTimeout = 310_000;

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    server,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
