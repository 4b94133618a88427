import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from './clock.ts';
import type { EventBridge } from './eventbridge/index.ts';
import { FAULTS, type Fault, type Faults } from './faults.ts';
import type { AsyncInvocations } from './lambda/async.ts';
import { InvokeProblem, type LambdaService } from './lambda/service.ts';
import type { DeployedResource } from './resource.ts';
import { type Sqs, systemAttributes } from './sqs/index.ts';

/** Of one function, each some 100 MB. */
const MOST_PROCESSES = 50;

/** Of one queue, in one answer. */
const MOST_MESSAGES = 1_000;

const LARGEST_BODY = 6 * 1024 * 1024 + 1024;

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const send = (
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
};

/**
 * The port to steer the stack by: the clock, and Lambda's Invoke API (so that `aws lambda invoke --endpoint-url`
 * works). It has no password, so it listens on 127.0.0.1 only and refuses what a web page in a browser could send.
 *
 * @param afterMove runs after the clock has moved and before the answer
 */
export async function serveControl(options: {
  port: number;
  clock: Clock;
  lambda: LambdaService;
  asynchronous: AsyncInvocations;
  sqs: Sqs;
  eventBridge: EventBridge;
  faults: Faults;
  /** To find the functions that faults are for. */
  resources: readonly DeployedResource[];
  afterMove(): Promise<void>;
}): Promise<{ url: string; close(): Promise<void> }> {
  const { clock, lambda, asynchronous, sqs, eventBridge, faults, resources, afterMove } = options;
  const time = () => ({
    now: new Date(clock.now()).toISOString(),
    advanced_seconds: clock.offsetMs() / 1000,
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '');
    if (request.headers.origin !== undefined || !['127.0.0.1', 'localhost'].includes(host)) {
      throw new Refusal(403, 'this port is for programs on this machine, not for web pages');
    }
    const path = new URL(request.url ?? '/', 'http://127.0.0.1').pathname;
    const route = `${request.method} ${path}`;
    if (route === 'GET /health') return send(response, 200, { status: 'ok', pid: process.pid });
    if (route === 'GET /clock') return send(response, 200, time());
    if (route === 'POST /clock') {
      const body = await readJson(request);
      const seconds = (body as { advance_seconds?: unknown } | null)?.advance_seconds;
      if (typeof seconds !== 'number')
        throw new Refusal(400, 'the body should be {"advance_seconds": <number>}');
      try {
        clock.advance(seconds);
      } catch (error) {
        if (error instanceof RangeError) throw new Refusal(400, error.message);
        throw error;
      }
      await afterMove();
      return send(response, 200, time());
    }
    if (route === 'GET /events') return send(response, 200, { events: eventBridge.seen() });
    if (route === 'GET /queues') {
      const depths = [...sqs.queues()].map(([name, queue]) => [name, queue.depth()]);
      return send(response, 200, Object.fromEntries(depths));
    }
    const queue = request.method === 'GET' && sqs.queues().get(/^\/queues\/([\w-]+)$/.exec(path)?.[1] ?? '');
    if (queue) {
      const messages = queue.messages().slice(0, MOST_MESSAGES);
      return send(response, 200, {
        ...queue.depth(),
        messages: messages.map((message) => ({
          id: message.id,
          body: message.body,
          attributes: message.attributes,
          system_attributes: systemAttributes(message),
        })),
      });
    }
    const wanted = new URL(request.url ?? '/', 'http://127.0.0.1').searchParams.get('function');
    const name = wanted === null ? undefined : functionNamed(wanted, resources);
    if (route === 'DELETE /processes') {
      for (const each of name === undefined ? lambda.names() : [name]) lambda.cool(each);
      return send(response, 204, undefined);
    }
    if (route === 'PUT /processes') {
      const { most } = (await readJson(request)) as { most?: unknown };
      if (
        name === undefined ||
        !Number.isInteger(most) ||
        (most as number) < 1 ||
        (most as number) > MOST_PROCESSES
      )
        throw new Refusal(400, `a function and {"most": <1 to ${MOST_PROCESSES}>} should be named`);
      return send(response, 200, { most: lambda.scale(name, most as number) });
    }
    if (route === 'GET /calls') {
      const calls = faults.calls().filter((call) => name === undefined || call.function === name);
      return send(response, 200, { calls });
    }
    if (route === 'DELETE /calls') {
      faults.forgetCalls();
      return send(response, 204, undefined);
    }
    if (route === 'GET /faults') return send(response, 200, { faults: faults.list() });
    if (route === 'DELETE /faults') {
      faults.clear();
      return send(response, 204, undefined);
    }
    if (route === 'POST /faults') {
      const fault = readFault(await readJson(request), resources);
      faults.add(fault);
      return send(response, 201, fault);
    }
    const invocation = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(path);
    if (request.method === 'POST' && invocation)
      return invoke(decodeURIComponent(invocation[1]!), request, response);
    throw new Refusal(
      404,
      `there is no ${route} here; there are GET /health, GET and POST /clock, GET /queues, GET /queues/<name>, GET /events, GET and DELETE /calls, GET, POST and DELETE /faults, PUT and DELETE /processes, and Lambda’s Invoke`,
    );
  }

  /** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html */
  async function invoke(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const payload = await readJson(request);
    const type = request.headers['x-amz-invocation-type'] ?? 'RequestResponse';
    if (type === 'DryRun') return send(response, 204, undefined);
    if (type === 'Event') {
      asynchronous.accept(name, payload);
      return send(response, 202, undefined);
    }
    const { payload: result, functionError } = await lambda.invoke(name, payload);
    send(response, 200, result, {
      'x-amz-executed-version': '$LATEST',
      ...(functionError !== undefined && { 'x-amz-function-error': functionError }),
    });
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent) return response.destroy();
      if (error instanceof InvokeProblem) {
        return send(
          response,
          error.status,
          { Type: 'User', Message: error.message },
          { 'x-amzn-errortype': error.code },
        );
      }
      if (error instanceof Refusal) return send(response, error.status, { message: error.message });
      return send(response, 500, { message: (error as Error).message });
    });
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(options.port, '127.0.0.1', listening);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

function readFault(body: unknown, resources: readonly DeployedResource[]): Fault {
  const { function: name, call, nth = 1, fault } = (body ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string') throw new Refusal(400, 'function should be the name of one');
  if (typeof call !== 'string' || !/^[a-z0-9-]+:[A-Za-z]+$/.test(call))
    throw new Refusal(400, 'call should be like "dynamodb:TransactWriteItems"');
  if (!Number.isInteger(nth) || (nth as number) < 1) throw new Refusal(400, 'nth should be 1 or more');
  if (!FAULTS.includes(fault as Fault['fault']))
    throw new Refusal(400, `fault should be one of ${FAULTS.join(', ')}`);
  return {
    function: functionNamed(name, resources),
    call,
    nth: nth as number,
    fault: fault as Fault['fault'],
  };
}

/**
 * The physical name of a function that is named by it, by `<Stack>/<LogicalId>`, or by its operation: `rotate-key` is
 * the function whose logical id is `RotateKey` with CDK's hash, or ends so.
 *
 * @throws Refusal for none, or several
 */
function functionNamed(name: string, resources: readonly DeployedResource[]): string {
  const functions = resources.filter(({ type }) => type === 'AWS::Lambda::Function');
  const exact = functions.filter(
    ({ ref, stack, logicalId }) =>
      ref === name || `${stack}/${logicalId}` === name || operationOf(logicalId) === name,
  );
  const found =
    exact.length > 0
      ? exact
      : functions.filter(({ logicalId }) => operationOf(logicalId).endsWith(`-${name}`));
  if (found.length !== 1) {
    const names = (found.length > 0 ? found : functions).map(({ logicalId }) => operationOf(logicalId));
    throw new Refusal(400, `${found.length || 'no'} functions have the name ${name}: ${names.join(', ')}`);
  }
  return found[0]!.ref;
}

const operationOf = (logicalId: string): string =>
  logicalId
    .replace(/[0-9A-F]{8}$/, '')
    .replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `-${letter}`)
    .toLowerCase();

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LARGEST_BODY) throw new Refusal(413, `the body may have ${LARGEST_BODY} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 'the body is not JSON');
  }
}
