import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import { evaluatePolicies } from '../iam.ts';
import { identify, SignatureProblem } from '../sigv4.ts';
import {
  type Authorization,
  authorizationsOf,
  type PartitionKeys,
  RequestProblem,
  type TableLookup,
} from './authorizations.ts';
import { describeTable, engineAuthorization } from './engine-client.ts';

/** Whose requests these are: a function's role, as its credentials give it. */
export interface Principal {
  roleArn: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Documents of the role's inline and managed policies. */
  policies: unknown[];
  /** Last part of the session's ARN in error messages; in Lambda the function's name. */
  sessionName?: string;
}

/** BatchWriteItem's limit is the largest: 16 MB. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html */
const largestBody = 16 * 1024 * 1024 + 64 * 1024;

/** An answer in the form of AWS JSON 1.0. */
class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(code: string, message: string, status = 400) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
    this.status = status;
  }
}

/**
 * DynamoDB as a function sees it: who signed is found out, IAM is asked, and only then does the request go on to the
 * engine, body byte for byte. Three steps, one after the other: `identify`, `authorize`, `forward`.
 *
 * Listens on 127.0.0.1, on a free port. `now` is the stack's clock in ms. `log` gets one line per request, without
 * keys, values or credentials.
 */
export async function startDynamoDbProxy(o: {
  engine: string;
  principals(accessKeyId: string): Principal | undefined;
  now(): number;
  account: string;
  region: string;
  log(line: Record<string, unknown>): void;
}): Promise<{ endpoint: string; close(): Promise<void> }> {
  const engine = new URL(o.engine);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const tables = new Map<string, PartitionKeys>();
  const lookup: TableLookup = {
    account: o.account,
    region: o.region,
    async partitionKeys(name) {
      const known = tables.get(name);
      if (known !== undefined) return known;
      const found = await describeTable(o.engine, name);
      if (found === undefined) return undefined;
      const hashKey = (schema: { AttributeName?: string; KeyType?: string }[] = []): string =>
        schema.find(({ KeyType }) => KeyType === 'HASH')!.AttributeName!;
      const keys: PartitionKeys = { table: hashKey(found.KeySchema), indexes: Object.create(null) };
      for (const index of [...(found.GlobalSecondaryIndexes ?? []), ...(found.LocalSecondaryIndexes ?? [])]) {
        keys.indexes[index.IndexName!] = hashKey(index.KeySchema);
      }
      tables.set(name, keys);
      return keys;
    },
  };

  /** @throws Refusal, with the sentence AWS has for it */
  const authorize = async (
    principal: Principal,
    operation: string,
    body: Buffer,
  ): Promise<Authorization[]> => {
    const user = `User: ${sessionArn(principal)}`;
    const asked = await authorizationsOf(operation, parseBody(body), lookup);
    if (asked === undefined) {
      throw new Refusal(
        'AccessDeniedException',
        `${user} is not authorized to perform: dynamodb:${operation} because the laptop stack does not know that operation`,
      );
    }
    // Nothing to ask would be nothing refused.
    if (asked.length === 0) throw new Refusal('ValidationException', 'The request names no items.');
    const now = o.now();
    const always = {
      'aws:CurrentTime': `${new Date(now).toISOString().slice(0, 19)}Z`,
      'aws:EpochTime': String(Math.floor(now / 1000)),
      'aws:PrincipalArn': principal.roleArn,
      'aws:PrincipalAccount': o.account,
    };
    for (const { action, resource, context } of asked) {
      const decision = await evaluatePolicies({
        policies: principal.policies,
        principal: sessionArn(principal),
        action,
        resource,
        context: { ...always, ...context },
      });
      if (!decision.allowed) {
        throw new Refusal(
          'AccessDeniedException',
          `${user} is not authorized to perform: ${action} on resource: ${resource} ${decision.reason}`,
        );
      }
    }
    return asked;
  };

  /** Sends an allowed request to the engine and its answer back, as it is. */
  const forward = async (
    request: IncomingMessage,
    body: Buffer,
    response: ServerResponse,
  ): Promise<number> => {
    const onward = httpRequest({
      agent,
      host: engine.hostname,
      port: engine.port || 80,
      path: '/',
      method: 'POST',
      headers: {
        ...(request.headers['content-type'] ? { 'content-type': request.headers['content-type'] } : {}),
        ...(request.headers['accept-encoding']
          ? { 'accept-encoding': request.headers['accept-encoding'] }
          : {}),
        'x-amz-target': request.headers['x-amz-target'] as string,
        'x-amz-date': request.headers['x-amz-date'] as string,
        // DynamoDB Local keeps one database per access key unless told otherwise: all come as the same caller.
        authorization: engineAuthorization(o.region),
        'content-length': body.byteLength,
      },
    });
    onward.end(body);
    const [answer] = (await once(onward, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    const {
      connection: _c,
      date: _d,
      'keep-alive': _k,
      'transfer-encoding': _t,
      ...headers
    } = answer.headers;
    const whole = Buffer.concat(chunks);
    response.writeHead(answer.statusCode!, { ...headers, 'content-length': whole.byteLength }).end(whole);
    return answer.statusCode!;
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const started = performance.now();
    // The SDKs correct their clock by this header, so it must be the stack's time and not the engine's.
    response.setHeader('date', new Date(o.now()).toUTCString());
    const line: Record<string, unknown> = { time: new Date(o.now()).toISOString() };
    try {
      const body = await bodyOf(request);
      const [, operation] = /^DynamoDB_20120810\.([A-Za-z]{1,64})$/.exec(target(request)) ?? [];
      line['operation'] = operation;
      const principal = await identify(
        { method: request.method ?? '', path: '/', headers: request.headers, body },
        { service: 'dynamodb', region: o.region, now: o.now(), find: o.principals },
      );
      line['role'] = principal.roleArn;
      if (operation === undefined) throw new Refusal('UnknownOperationException', 'Unknown operation.');
      const asked = await authorize(principal, operation, body);
      line['asked'] = [...new Set(asked.map(({ action, resource }) => `${action} ${resource}`))];
      line['status'] = await forward(request, body, response);
    } catch (error) {
      const refusal = asRefusal(error);
      line['status'] = refusal.status;
      line['error'] = refusal.code;
      line['message'] = refusal.message;
      refuse(response, refusal);
    }
    line['ms'] = Math.round((performance.now() - started) * 100) / 100;
    o.log(line);
  };

  const server = createServer((request, response) => void serve(request, response));
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      agent.destroy();
    },
  };
}

const target = (request: IncomingMessage): string => {
  const value = request.headers['x-amz-target'];
  return typeof value === 'string' ? value : '';
};

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  if (request.method !== 'POST' || request.url !== '/') {
    throw new Refusal('UnknownOperationException', 'DynamoDB takes POST / only.', 404);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).byteLength;
    if (size > largestBody) {
      throw new Refusal('RequestEntityTooLargeException', 'The request is too large.', 413);
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function parseBody(body: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
  } catch {
    // Answered below, like JSON that is no object. The text stays out of the answer: it may hold a secret.
  }
  throw new Refusal('SerializationException', 'The request body is not a JSON object.');
}

function sessionArn({ roleArn, sessionName }: Principal): string {
  const [, partition, , , account, role = ''] = roleArn.split(':');
  return `arn:${partition}:sts::${account}:assumed-role/${role.split('/').at(-1)}/${sessionName ?? 'laptop'}`;
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof SignatureProblem) return new Refusal(error.code, error.message);
  if (error instanceof RequestProblem) return new Refusal(error.code, error.message);
  return new Refusal('InternalServerError', `The laptop's DynamoDB failed: ${(error as Error).message}`, 500);
}

function refuse(response: ServerResponse, { status, code, message }: Refusal): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // Validation errors have a namespace of their own.
  const namespace = `com.amazon.coral.${code === 'ValidationException' ? 'validate' : 'service'}`;
  const body = JSON.stringify({ __type: `${namespace}#${code}`, message });
  response
    .writeHead(status, {
      'content-type': 'application/x-amz-json-1.0',
      'content-length': Buffer.byteLength(body),
      'x-amzn-requestid': randomBytes(26).toString('hex').toUpperCase(),
      'x-amz-crc32': crc32(body),
    })
    .end(body);
}
