import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import { AwsError } from './aws-error.ts';
import { evaluatePolicies } from './iam.ts';
import { identify, SignatureProblem, serviceOf } from './sigv4.ts';

/** Whose requests these are: a function's role, as its credentials give it. */
export interface Principal {
  roleArn: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Goes with the access key in each request; a key without one is for good. */
  sessionToken?: string;
  /** When it ends, in ms. */
  expiresAt?: number;
  /** Documents of the role's inline and managed policies. */
  policies: unknown[];
  /** Last part of the session's ARN in error messages; in Lambda the function's name. */
  sessionName?: string;
  /** The process that has these credentials. */
  process?: { invocationId: string | undefined; kill(): void };
}

/** A service of AWS that calls another one for its owner: EventBridge that sends to a queue. */
export interface ServicePrincipal {
  /** `events.amazonaws.com` */
  service: string;
  /** For whom it calls: the rule. */
  sourceArn: string;
}

/** One question to IAM. A request is allowed when all its questions are answered with yes. */
export interface Question {
  action: string;
  resource: string;
  context: Record<string, string | string[]>;
  /** The policy document of the resource, where it has one: of a queue, a bus, a secret. */
  resourcePolicy?: unknown;
}

export type Json = Record<string, unknown>;

/** A request as it arrived. */
export interface AwsRequest {
  method: string;
  /** As on the wire, percent-encoded, without the query string. */
  path: string;
  query: Record<string, string | string[]>;
  headers: IncomingMessage['headers'];
  body: Buffer;
  /** Aborted when nobody waits for the answer any more. */
  gone: AbortSignal;
}

/** One call of one operation. */
export interface AwsCall {
  service: string;
  operation: string;
  /** The body's JSON object, or what the service's protocol made of path, query and body. */
  input: Json;
  principal: Principal;
  request: AwsRequest;
}

/** An answer that is sent as it is. Anything else that a service answers is sent in the form of its protocol. */
export class Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
  constructor(status: number, headers: Answer['headers'], body: Buffer) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

/** How a service is spoken to. https://smithy.io/2.0/aws/protocols/index.html */
export type Protocol =
  /** AWS JSON: `X-Amz-Target: <target>.<operation>`, everything in the body. */
  | { kind: 'json'; version: '1.0' | '1.1'; targets: string[]; errorType?(code: string): string }
  /** REST-JSON: the service reads the operation out of method and path. Undefined: there is none. */
  | { kind: 'rest'; operationOf(request: AwsRequest): { operation: string; input: Json } | undefined }
  /** AWS query: a form with the operation as its `Action`; answers are XML. */
  | { kind: 'query'; namespace: string };

/** A service that the front serves. */
export interface AwsService {
  /** As in the signature: `sqs`. */
  name: string;
  protocol: Protocol;
  /**
   * What IAM is asked for a call. Undefined: an operation that isn't known here, so nobody is allowed to do it.
   * `no permission needed`: the few that AWS lets everyone do. @throws AwsError
   */
  questions(call: AwsCall): Question[] | 'no permission needed' | undefined | Promise<Question[] | undefined>;
  /** Does an allowed call. @throws AwsError */
  handle(call: AwsCall): Promise<Answer | Json | undefined>;
}

/** Stands between IAM and the service: calls `proceed`, or doesn't. */
export type Intercept = (call: AwsCall, proceed: () => Promise<Answer>) => Promise<Answer>;

/** What every question is answered with besides its own context. `now` is the stack's clock in ms. */
export interface World {
  now(): number;
  account: string;
  region: string;
}

/** 16 MB is the largest limit of a request (DynamoDB's BatchWriteItem). https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html */
const LARGEST_BODY = 16 * 1024 * 1024 + 64 * 1024;

/**
 * The services of AWS as a function sees them, on one port of 127.0.0.1: who signed is found out, IAM is asked, and only
 * then does the request reach its service. Three steps, one after the other: `identify`, `authorize`, `handle`.
 *
 * @param log gets one line per request, without keys, values or credentials
 * @param intercept between the second and the third step
 */
export async function startAwsFront(
  o: World & {
    services: AwsService[];
    principals(accessKeyId: string): Principal | undefined;
    log(line: Record<string, unknown>): void;
    intercept?: Intercept;
    /** 0, the default: a free one. */
    port?: number;
  },
): Promise<{ endpoint: string; close(): Promise<void> }> {
  const { intercept = (_call, proceed) => proceed() } = o;
  const services = new Map(o.services.map((service) => [service.name, service]));

  const answer = async (request: AwsRequest, line: Record<string, unknown>): Promise<Answer> => {
    const name = serviceOf(request.headers) ?? serviceOfTarget(request, services);
    const service = services.get(name ?? '');
    line['service'] = name;
    try {
      const read = service && operationOf(service.protocol, request);
      line['operation'] = read?.operation;
      const principal = await identify(request, {
        service: name ?? '',
        region: o.region,
        now: o.now(),
        find: o.principals,
      });
      checkSession(principal, request, o.now());
      line['role'] = principal.roleArn;
      if (service === undefined)
        throw new AwsError('UnknownOperationException', `The laptop stack has no service ${name}.`, 404);
      if (read === undefined) throw new AwsError('UnknownOperationException', 'Unknown operation.');
      const input = 'input' in read ? read.input : parseBody(request.body);
      const call: AwsCall = { service: service.name, operation: read.operation, input, principal, request };
      line['asked'] = await authorizeCall(service, call, o);
      return await intercept(call, async () =>
        inProtocol(service.protocol, read.operation, await service.handle(call)),
      );
    } catch (error) {
      const refusal = asError(error, name);
      line['error'] = refusal.code;
      line['message'] = refusal.message;
      return errorAnswer(service?.protocol, refusal);
    }
  };

  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const started = performance.now();
    const line: Record<string, unknown> = { time: new Date(o.now()).toISOString() };
    // The SDKs correct their clock by this header, so it must be the stack's time.
    response.setHeader('date', new Date(o.now()).toUTCString());
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    let sent: Answer;
    try {
      sent = await answer(await readRequest(incoming, gone.signal), line);
    } catch (error) {
      sent = errorAnswer(undefined, asError(error, undefined));
    }
    line['status'] = sent.status;
    line['ms'] = Math.round((performance.now() - started) * 100) / 100;
    o.log(line);
    if (response.destroyed) return;
    response.writeHead(sent.status, { 'x-amzn-requestid': randomUUID(), ...sent.headers }).end(sent.body);
  };

  const server = createServer((request, response) => void serve(request, response));
  server.keepAliveTimeout = 60_000;
  server.listen(o.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function readRequest(incoming: IncomingMessage, gone: AbortSignal): Promise<AwsRequest> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += (chunk as Buffer).byteLength;
    if (size > LARGEST_BODY)
      throw new AwsError('RequestEntityTooLargeException', 'The request is too large.', 413);
    chunks.push(chunk as Buffer);
  }
  const [path = '/', search = ''] = (incoming.url ?? '/').split('?', 2);
  const query: AwsRequest['query'] = {};
  const parameters = new URLSearchParams(search);
  for (const name of new Set(parameters.keys())) {
    const values = parameters.getAll(name);
    query[name] = values.length === 1 ? values[0]! : values;
  }
  return {
    method: incoming.method ?? '',
    path,
    query,
    headers: incoming.headers,
    body: Buffer.concat(chunks),
    gone,
  };
}

/** @throws AwsError when the credentials are not those of this session, or no longer */
function checkSession({ sessionToken, expiresAt }: Principal, { headers }: AwsRequest, now: number): void {
  if (headers['x-amz-security-token'] !== sessionToken) {
    throw new AwsError(
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    );
  }
  if (expiresAt !== undefined && expiresAt <= now)
    throw new AwsError('ExpiredTokenException', 'The security token included in the request is expired');
}

/** A request without a signature is told so by the service it was meant for. */
function serviceOfTarget(
  { headers }: AwsRequest,
  services: ReadonlyMap<string, AwsService>,
): string | undefined {
  const [prefix] = String(headers['x-amz-target'] ?? '').split('.');
  for (const { name, protocol } of services.values()) {
    if (protocol.kind === 'json' && protocol.targets.includes(prefix!)) return name;
  }
  return undefined;
}

function operationOf(
  protocol: Protocol,
  request: AwsRequest,
): { operation: string } | { operation: string; input: Json } | undefined {
  if (protocol.kind === 'rest') return protocol.operationOf(request);
  if (request.method !== 'POST' || request.path !== '/')
    throw new AwsError('UnknownOperationException', 'This service takes POST / only.', 404);
  if (protocol.kind === 'query') {
    const input = Object.fromEntries(new URLSearchParams(request.body.toString('utf8')));
    return /^[A-Za-z]{1,64}$/.test(input['Action'] ?? '')
      ? { operation: input['Action']!, input }
      : undefined;
  }
  const target = request.headers['x-amz-target'];
  const [, prefix, operation] = /^(\w{1,64})\.([A-Za-z]{1,64})$/.exec(String(target ?? '')) ?? [];
  return prefix !== undefined && protocol.targets.includes(prefix) ? { operation: operation! } : undefined;
}

/** @throws AwsError for a body that is no JSON object; its text stays out of the answer: it may hold a secret */
export function parseBody(body: Buffer): Json {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Json;
  } catch {
    // Refused below, as JSON that is no object.
  }
  throw new AwsError('SerializationException', 'The request body is not a JSON object.');
}

/** @returns what was asked, for the log */
async function authorizeCall(service: AwsService, call: AwsCall, world: World): Promise<string[]> {
  const asked = await service.questions(call);
  const { principal, operation } = call;
  if (asked === undefined) {
    throw new AwsError(
      'AccessDeniedException',
      `User: ${sessionArn(principal)} is not authorized to perform: ${service.name}:${operation} because the laptop stack does not know that operation`,
    );
  }
  if (asked === 'no permission needed') return [];
  // Nothing to ask would be nothing refused.
  if (asked.length === 0) throw new AwsError('ValidationException', 'The request names no items.');
  await authorize(principal, asked, world);
  return [...new Set(asked.map(({ action, resource }) => `${action} ${resource}`))];
}

/**
 * Asks IAM, as AWS does within one account: what the caller's policies or the resource's policy allow, unless one of
 * them denies it. A service of AWS has no policies of its own, so the resource's must allow it.
 *
 * @throws AwsError `AccessDeniedException`, with the sentence AWS has for it
 */
export async function authorize(
  caller: Principal | ServicePrincipal,
  questions: Question[],
  { now, account }: Pick<World, 'now' | 'account'>,
): Promise<void> {
  const time = now();
  const always = {
    'aws:CurrentTime': `${new Date(time).toISOString().slice(0, 19)}Z`,
    'aws:EpochTime': String(Math.floor(time / 1000)),
    // Nothing leaves this machine; on AWS it would be HTTPS.
    'aws:SecureTransport': 'true',
    'aws:PrincipalIsAWSService': String('service' in caller),
    ...('service' in caller
      ? { 'aws:SourceArn': caller.sourceArn, 'aws:SourceAccount': account }
      : { 'aws:PrincipalArn': caller.roleArn, 'aws:PrincipalAccount': caller.roleArn.split(':')[4]! }),
  };
  const principal = 'service' in caller ? caller.service : sessionArn(caller);
  for (const { action, resource, context, resourcePolicy } of questions) {
    const decision = await evaluatePolicies({
      policies: 'service' in caller ? [] : caller.policies,
      resourcePolicy,
      principal,
      action,
      resource,
      context: { ...always, ...context },
    });
    if (!decision.allowed) {
      throw new AwsError(
        'AccessDeniedException',
        `User: ${principal} is not authorized to perform: ${action} on resource: ${resource} ${decision.reason}`,
      );
    }
  }
}

export function sessionArn({ roleArn, sessionName }: Principal): string {
  const [, partition, , , account, role = ''] = roleArn.split(':');
  return `arn:${partition}:sts::${account}:assumed-role/${role.split('/').at(-1)}/${sessionName ?? 'laptop'}`;
}

function asError(error: unknown, service: string | undefined): AwsError {
  if (error instanceof AwsError) return error;
  if (error instanceof SignatureProblem) return new AwsError(error.code, error.message);
  return new AwsError(
    'InternalServerError',
    `The laptop's ${service ?? 'AWS'} failed: ${(error as Error).message}`,
    500,
  );
}

function inProtocol(protocol: Protocol, operation: string, output: Answer | Json | undefined): Answer {
  if (output instanceof Answer) return output;
  if (protocol.kind === 'query') {
    const text = `<${operation}Response xmlns="${protocol.namespace}"><${operation}Result>${xml(output ?? {})}</${operation}Result><ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata></${operation}Response>`;
    return answerOf(200, 'text/xml', text);
  }
  if (protocol.kind === 'rest' && output === undefined) return new Answer(204, {}, Buffer.alloc(0));
  return answerOf(200, contentType(protocol), JSON.stringify(output ?? {}));
}

const contentType = (protocol: Protocol | undefined): string =>
  protocol?.kind === 'rest' ? 'application/json' : `application/x-amz-json-${jsonVersion(protocol)}`;
const jsonVersion = (protocol: Protocol | undefined): string =>
  protocol?.kind === 'json' ? protocol.version : '1.0';

function answerOf(status: number, type: string, text: string, headers: Record<string, string> = {}): Answer {
  const body = Buffer.from(text);
  return new Answer(
    status,
    { 'content-type': type, 'content-length': String(body.byteLength), ...headers },
    body,
  );
}

/** The common errors have names and statuses of their own there. https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html */
const QUERY_ERRORS: Record<string, [code: string, status: number]> = {
  AccessDeniedException: ['AccessDenied', 403],
  ExpiredTokenException: ['ExpiredToken', 403],
  IncompleteSignatureException: ['IncompleteSignature', 403],
  InvalidSignatureException: ['SignatureDoesNotMatch', 403],
  MissingAuthenticationTokenException: ['MissingAuthenticationToken', 403],
  UnknownOperationException: ['InvalidAction', 400],
  UnrecognizedClientException: ['InvalidClientTokenId', 403],
  ValidationException: ['ValidationError', 400],
};

/** An error as a service of this protocol answers it. */
export function errorAnswer(protocol: Protocol | undefined, error: AwsError): Answer {
  const { status, code, message, headers, details } = error;
  if (protocol?.kind === 'query') {
    const [Code, itsStatus] = QUERY_ERRORS[code] ?? [code, status];
    const Type = itsStatus < 500 ? 'Sender' : 'Receiver';
    return answerOf(
      itsStatus,
      'text/xml',
      `<ErrorResponse xmlns="${protocol.namespace}">${xml({ Error: { Type, Code, Message: message }, RequestId: randomUUID() })}</ErrorResponse>`,
    );
  }
  if (protocol?.kind === 'rest') {
    return answerOf(status, contentType(protocol), JSON.stringify({ ...details, message }), {
      'x-amzn-errortype': code,
      ...headers,
    });
  }
  const errorType = protocol?.errorType ?? commonErrorType;
  const body = JSON.stringify({ __type: errorType(code), message, ...details });
  return answerOf(status, contentType(protocol), body, { 'x-amz-crc32': String(crc32(body)), ...headers });
}

/** Validation errors have a namespace of their own. */
export const commonErrorType = (code: string): string =>
  `com.amazon.coral.${code === 'ValidationException' ? 'validate' : 'service'}#${code}`;

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const xml = (value: unknown): string =>
  typeof value === 'object' && value !== null
    ? Object.entries(value)
        .map(([name, child]) => `<${name}>${xml(child)}</${name}>`)
        .join('')
    : String(value).replace(/[&<>]/g, (character) => escapes[character]!);
