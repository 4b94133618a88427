import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { request as secureRequest, Agent as TlsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { createRequestSigner } from './request-signer.ts';

/** The protocol's name for the API's version, sent before the operation in `x-amz-target`. */
const API = 'DynamoDB_20120810';

/** Milliseconds. AWS's SDK would wait for as long as the function lives. */
const CONNECT_TIMEOUT = 500;
const ATTEMPT_TIMEOUT = 1_000;
/** A call takes no longer, with all its tries. */
export const LONGEST_CALL_MS = 1_500;
const LONGEST_BACKOFF = 75;

/** Bytes. An item has 400 KB at most; its JSON is longer, but ours never comes near. */
const LARGEST_ANSWER = 1_048_576;

/** The errors of which AWS says that the same request may succeed when it is sent again. */
const TRANSIENT = new Set([
  'InternalServerError',
  'LimitExceededException',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'ServiceUnavailable',
  'ServiceUnavailableException',
  'ThrottlingException',
  'TransactionConflictException',
]);

/** Codes in CancellationReasons with which the same transaction may succeed when it is sent again. */
const PASSING = new Set([
  'None',
  'TransactionConflict',
  'ThrottlingError',
  'ProvisionedThroughputExceeded',
  'RequestLimitExceeded',
]);

type Variables = Readonly<Record<string, string | undefined>>;

/** A call that DynamoDB refused, or that was not answered in time. Its message holds nothing of the item. */
export class DynamoDbFailure extends Error {
  override readonly name = 'DynamoDbFailure';
  /** DynamoDB's name for it (`ThrottlingException`), or `Timeout`, `ConnectionFailed`, `BadAnswer`. */
  readonly code: string;
  /** Whether the same request may succeed when it is sent again. */
  readonly transient: boolean;
  /** Whether it was refused because the condition of a write did not hold. */
  readonly conditionFailed: boolean;
  /** Whether another transaction was writing the same item, also when it was sent again. */
  readonly contended: boolean;

  /** @param reasons why a transaction was cancelled, one for each of its writes */
  constructor(
    code: string,
    message: string,
    { transient = false, reasons = [] }: { transient?: boolean; reasons?: string[] } = {},
  ) {
    super(message);
    this.code = code;
    this.conditionFailed =
      code === 'ConditionalCheckFailedException' || reasons.includes('ConditionalCheckFailed');
    this.contended = !this.conditionFailed && reasons.includes('TransactionConflict');
    this.transient = transient || (reasons.length > 0 && reasons.every((reason) => PASSING.has(reason)));
  }
}

/** A kept connection that the other side had closed: nothing was answered, and a new one will do. */
class StaleConnection extends DynamoDbFailure {
  constructor() {
    super('ConnectionFailed', 'a kept connection was closed', { transient: true });
  }
}

/** Sends one operation and gives the parsed answer. Throws `DynamoDbFailure`. */
export type DynamoDbCall = (
  operation: 'GetItem' | 'TransactWriteItems' | 'UpdateItem',
  input: object,
) => Promise<unknown>;

const variable = (env: Variables, name: string): string => {
  const value = env[name];
  if (!value) throw new DynamoDbFailure('BadEnvironment', `${name} is not set`);
  return value;
};

/** Where DynamoDB is: `AWS_ENDPOINT_URL_DYNAMODB` as the SDKs understand it, else the Region's endpoint. */
const endpointOf = (env: Variables, region: string): URL => {
  // https://docs.aws.amazon.com/general/latest/gr/ddb.html
  const suffix = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return new URL(env['AWS_ENDPOINT_URL_DYNAMODB'] || `https://dynamodb.${region}.${suffix}`);
};

interface Answer {
  status: number;
  text: string;
}

const readAnswer = (
  response: IncomingMessage,
  resolve: (answer: Answer) => void,
  fail: (e: Error) => void,
) => {
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > LARGEST_ANSWER) {
      response.destroy();
      fail(new DynamoDbFailure('BadAnswer', `the answer has more than ${LARGEST_ANSWER} bytes`));
      return;
    }
    chunks.push(chunk);
  });
  response.on('end', () =>
    resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
  );
  response.on('error', () =>
    fail(new DynamoDbFailure('ConnectionFailed', 'the answer was cut', { transient: true })),
  );
};

/** @param code the last part of DynamoDB's `__type`: `com.amazonaws.dynamodb.v20120810#ThrottlingException` */
const refusal = (operation: string, { status, text }: Answer): DynamoDbFailure => {
  let code = 'UnknownError';
  let message = '';
  let reasons: string[] = [];
  try {
    const body = JSON.parse(text);
    if (typeof body.__type === 'string')
      code = body.__type.slice(body.__type.lastIndexOf('#') + 1).slice(0, 100);
    if (typeof (body.message ?? body.Message) === 'string')
      message = (body.message ?? body.Message).slice(0, 300);
    if (Array.isArray(body.CancellationReasons))
      reasons = body.CancellationReasons.map((reason: { Code?: unknown } | null) => String(reason?.Code));
  } catch {
    // A load balancer's page, say; the status is all there is to know.
  }
  return new DynamoDbFailure(code, `${operation} was answered with ${status} ${code}: ${message}`, {
    transient: status >= 500 || TRANSIENT.has(code),
    reasons,
  });
};

/**
 * A DynamoDB client for the hot path: signed JSON over kept connections, and nothing else. Why not the SDK:
 * docs/decisions/0002-authorizer-dynamodb-client.md.
 *
 * A kept connection that went stale while the function was frozen is replaced at once; a time-out, throttling or
 * a fault of DynamoDB is tried once more. So send only what may be applied twice: reads, and transactions with a
 * token, under a condition that their own effect makes false.
 *
 * @param env read at every call: region, credentials and endpoint, named as in every Lambda function
 */
export function createDynamoDbCall(env: Variables = process.env): DynamoDbCall {
  const options = { keepAlive: true, maxSockets: 64, timeout: 60_000 };
  const sign = createRequestSigner();
  const agents = { 'http:': new PlainAgent(options), 'https:': new TlsAgent(options) };

  const exchange = (
    { protocol, hostname, port }: URL,
    headers: Record<string, string | number>,
    body: string,
    timeout: number,
  ): Promise<Answer> => {
    const secure = protocol === 'https:';
    return new Promise((resolve, reject) => {
      // Of a URL, node:http makes options at every request, in a fifth of its time.
      const request = (secure ? secureRequest : plainRequest)({
        // A URL has an IPv6 address in brackets.
        host: hostname.replace(/^\[(.*)\]$/, '$1'),
        port,
        path: '/',
        method: 'POST',
        agent: agents[secure ? 'https:' : 'http:'],
        headers,
      });
      const timeOut = (what: string) => () =>
        request.destroy(
          new DynamoDbFailure('Timeout', `DynamoDB did not ${what} in time`, { transient: true }),
        );
      const answerTimer = setTimeout(timeOut('answer'), timeout);
      let connectTimer: NodeJS.Timeout | undefined;
      const settle = () => {
        clearTimeout(answerTimer);
        clearTimeout(connectTimer);
      };

      request.on('socket', (socket) => {
        if (!socket.connecting) return;
        connectTimer = setTimeout(timeOut('accept a connection'), CONNECT_TIMEOUT);
        socket.once('connect', () => clearTimeout(connectTimer));
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        settle();
        if (error instanceof DynamoDbFailure) return reject(error);
        const closed = error.code === 'ECONNRESET' || error.code === 'EPIPE';
        if (closed && request.reusedSocket) return reject(new StaleConnection());
        reject(new DynamoDbFailure('ConnectionFailed', `no connection: ${error.code}`, { transient: true }));
      });
      request.on('response', (response) =>
        readAnswer(
          response,
          (answer) => {
            settle();
            resolve(answer);
          },
          (error) => {
            settle();
            reject(error);
          },
        ),
      );
      request.end(body);
    });
  };

  /** The others that were kept are as old as the one that was stale. */
  const forgetKeptConnections = () => {
    for (const agent of Object.values(agents))
      for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
  };

  const attempt = async (operation: string, body: string, timeout: number): Promise<unknown> => {
    const region = variable(env, 'AWS_REGION');
    const url = endpointOf(env, region);
    const headers = sign(
      {
        service: 'dynamodb',
        region,
        host: url.host,
        method: 'POST',
        path: '/',
        headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `${API}.${operation}` },
        body,
      },
      {
        accessKeyId: variable(env, 'AWS_ACCESS_KEY_ID'),
        secretAccessKey: variable(env, 'AWS_SECRET_ACCESS_KEY'),
        sessionToken: env['AWS_SESSION_TOKEN'],
      },
    );
    const answer = await exchange(url, headers, body, timeout);
    if (answer.status !== 200) throw refusal(operation, answer);
    try {
      return JSON.parse(answer.text);
    } catch {
      // Not the parser's own message: it quotes the text, and that has the digest in it.
      throw new DynamoDbFailure('BadAnswer', `the answer to ${operation} is not JSON`);
    }
  };

  return async (operation, input) => {
    const body = JSON.stringify(input);
    const deadline = performance.now() + LONGEST_CALL_MS;
    let retryAllowed = true;
    for (;;) {
      try {
        return await attempt(operation, body, Math.min(ATTEMPT_TIMEOUT, deadline - performance.now()));
      } catch (error) {
        if (error instanceof StaleConnection) {
          // None is kept now, so the next attempt has a new one: this happens once.
          forgetKeptConnections();
          continue;
        }
        const backoff = LONGEST_BACKOFF * (1 + Math.random()) * 0.5;
        const inTime = performance.now() + backoff < deadline;
        if (!(error instanceof DynamoDbFailure && error.transient && retryAllowed && inTime)) throw error;
        retryAllowed = false;
        // A connection may have died without a word, and the others that were kept are as old.
        if (error.code === 'Timeout') forgetKeptConnections();
        await delay(backoff);
      }
    }
  };
}
