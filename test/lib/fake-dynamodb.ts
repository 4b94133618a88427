import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface Seen {
  headers: IncomingMessage['headers'];
  body: unknown;
  /** The client's port: the same one, the same connection. */
  port: number | undefined;
}

export type Reply = (response: ServerResponse, socket: Socket, body: unknown) => void;

export const ok =
  (body: unknown): Reply =>
  (response) =>
    response.end(typeof body === 'string' ? body : JSON.stringify(body));

export const failed =
  (status: number, code: string, message = ''): Reply =>
  (response) => {
    response.statusCode = status;
    response.end(JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${code}`, message }));
  };

/** Says nothing. */
export const silent: Reply = () => {};

/** Closes the connection without an answer. */
export const hangUp: Reply = (_, socket) => socket.destroy();

/** An HTTP server that gives the replies in their order, the last one for ever. */
export async function fakeDynamoDb(...replies: Reply[]) {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
    seen.push({ headers: request.headers, body, port: request.socket.remotePort });
    const reply = replies.length > 1 ? replies.shift() : replies[0];
    reply?.(response, request.socket, body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    seen,
    env: {
      AWS_REGION: 'eu-west-1',
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'not-a-real-secret',
      AWS_SESSION_TOKEN: 'token',
      AWS_ENDPOINT_URL_DYNAMODB: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    } as Record<string, string | undefined>,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
