import { once } from 'node:events';
import { createServer } from 'node:http';

/** What happens to one request on its way: `lose answer` carries it out and breaks the connection before answering. */
export type Fate = 'pass' | 'lose answer' | 'lose request' | 'never answer' | 'busy';

export interface Network {
  endpoint: string;
  /** Operation names (`UpdateItem`), in the order in which the requests came. */
  readonly seen: string[];
  close(): Promise<void>;
}

/** A network between a client and the engine, of which the test says what becomes of each request. */
export async function unreliableNetwork(
  engine: string,
  fateOf: (operation: string, count: number) => Fate,
): Promise<Network> {
  const seen: string[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const operation = String(request.headers['x-amz-target']).split('.').at(-1)!;
    seen.push(operation);
    const fate = fateOf(operation, seen.filter((name) => name === operation).length);
    if (fate === 'lose request') return request.socket.destroy();
    if (fate === 'never answer') return;
    if (fate === 'busy') {
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' });
      return response.end(
        JSON.stringify({ __type: 'com.amazonaws.dynamodb.v20120810#ThrottlingException', message: 'busy' }),
      );
    }
    const { host: _host, connection: _connection, 'content-length': _length, ...headers } = request.headers;
    const answer = await fetch(engine, { method: 'POST', body, headers: headers as Record<string, string> });
    const text = await answer.text();
    if (fate === 'lose answer') return request.socket.destroy();
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type')! });
    return response.end(text);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    seen,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
