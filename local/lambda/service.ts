import { randomBytes, randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Asset } from '../assembly.ts';
import type { Principal } from '../aws-front.ts';
import type { Clock } from '../clock.ts';
import { newCredentials } from '../credentials.ts';
import type { DeployedResource } from '../resource.ts';
import { checkFunctionRole, policiesOf } from '../roles.ts';
import { type FunctionError, Instance, type Outcome } from './instance.ts';
import { mayBeInvokedFrom, mayInvoke } from './permissions.ts';

/** https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB each way, when invoked synchronously. */
const LARGEST_REQUEST = 6 * 1024 * 1024;
const LARGEST_RESPONSE = LARGEST_REQUEST + 100;

/** Processes of one function at once; more invocations wait. AWS would start a thousand, a laptop can't. */
const MOST_INSTANCES = 4;
const LONGEST_QUEUE = 1_000;

/** An idle process ends after this time, but for one of each function. */
const IDLE_MS = 30_000;

const CREDENTIALS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];

/** An error of the Lambda API itself; the function did not run. */
export class InvokeProblem extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = 'InvokeProblem';
    this.status = status;
    this.code = code;
  }
}

export interface LambdaService {
  /** Adds an `AWS::Lambda::Function`. Its role and the role's policies must be among the resources. @throws Error */
  add(resource: DeployedResource, assets: Map<string, Asset>): void;
  /** A function by name or ARN, and the role it acts as. @throws InvokeProblem */
  describe(function_: string): { name: string; arn: string; timeoutMs: number; role(): Principal };
  /** Ends the idle processes of a function: its next invocation is a cold start. */
  cool(function_: string): void;
  /** Lets a function have more processes at once, as far as its reserved concurrency allows. @returns how many it has */
  scale(function_: string, processes: number): number;
  /** By name or ARN. Errors of the function come back as `functionError`. @throws InvokeProblem */
  invoke(function_: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
  mayInvoke(functionArn: string, sourceArn: string): boolean;
  /** Whether whoever has the right to in an account may invoke the function. */
  mayBeInvokedFrom(functionArn: string, otherAccount: string): boolean;
  /** Whose access key it is, for what checks signatures. */
  principal(accessKeyId: string): Principal | undefined;
  names(): string[];
  close(): Promise<void>;
}

interface LambdaFunction {
  name: string;
  arn: string;
  roleArn: string;
  timeoutMs: number;
  memoryMb: number;
  mostInstances: number;
  /** `ReservedConcurrentExecutions` */
  reserved: number;
  logFormat: 'Text' | 'JSON';
  environment: Record<string, string>;
  log(line: string): void;
  instances: Set<Instance>;
  idle: Instance[];
  starting: number;
  waiting: ((instance: Instance | FunctionError) => void)[];
}

/**
 * Runs the templates' functions, each in processes of its own.
 *
 * @param resources everything deployed; read at each use, so it may grow
 * @param endpoints environment variables with the URLs of the services that functions reach, added to each function
 * @param here what a variable of the template says, with the URLs of the templates' APIs as they are on this machine
 */
export function startLambda(options: {
  resources: readonly DeployedResource[];
  stateDir: string;
  clock: Clock;
  account: string;
  region: string;
  endpoints: Record<string, string>;
  here?: (value: string) => string;
}): LambdaService {
  const { resources, clock, account, region, endpoints, here = (value) => value } = options;
  const logDir = join(options.stateDir, 'logs');
  mkdirSync(logDir, { recursive: true, mode: 0o700 });
  const functions = new Map<string, LambdaFunction>();
  /** By access key id. Each process has its own, so that a call tells which process made it. */
  const principals = new Map<string, Omit<Principal, 'policies'>>();
  const logFiles: number[] = [];
  let closing = false;
  let closed = false;

  const killAll = (): void => {
    for (const { instances } of functions.values()) for (const instance of instances) instance.kill();
  };
  process.on('exit', killAll);
  clock.onMove((offsetMs) => {
    for (const { instances } of functions.values())
      for (const instance of instances) instance.setClock(offsetMs);
  });
  const reaper = setInterval(() => {
    for (const { idle } of functions.values()) {
      while (idle.length > 1 && Date.now() - idle[0]!.idleSince > IDLE_MS) idle.shift()!.kill();
    }
  }, IDLE_MS / 4);
  reaper.unref();

  function add(resource: DeployedResource, assets: Map<string, Asset>): void {
    const { stack, logicalId, properties, ref: name, attributes } = resource;
    const fail = (why: string): never => {
      throw new Error(`${stack}/${logicalId}: ${why}`);
    };
    const { Code, Runtime, Handler, Role } = properties as {
      Code: { S3Key?: string };
      Runtime?: string;
      Handler?: string;
      Role: string;
    };
    const asset =
      assets.get(Code.S3Key ?? '') ?? fail(`the asset ${Code.S3Key} is not in the cloud assembly`);
    if (!asset.isFolder) fail('the laptop stack runs assets that are folders; this one is a file');
    if (Runtime !== 'nodejs24.x') fail(`the laptop stack runs nodejs24.x, not ${Runtime}`);
    if (Handler === undefined) fail('Handler is missing');
    const variables = (properties['Environment'] as { Variables?: Record<string, unknown> })?.Variables ?? {};
    const logging = (properties['LoggingConfig'] ?? {}) as {
      LogFormat?: string;
      LogGroup?: string;
      ApplicationLogLevel?: string;
    };
    const memoryMb = Number(properties['MemorySize'] ?? 128);
    const logFormat = logging.LogFormat === 'JSON' ? 'JSON' : 'Text';
    // https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, "Defined runtime environment variables"
    const own: Record<string, string> = {
      _HANDLER: Handler!,
      AWS_REGION: region,
      AWS_DEFAULT_REGION: region,
      AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
      AWS_LAMBDA_FUNCTION_NAME: name,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
      AWS_LAMBDA_LOG_GROUP_NAME: logging.LogGroup ?? `/aws/lambda/${name}`,
      AWS_LAMBDA_LOG_FORMAT: logFormat,
      ...(logFormat === 'JSON' && { AWS_LAMBDA_LOG_LEVEL: logging.ApplicationLogLevel ?? 'INFO' }),
      LAMBDA_TASK_ROOT: asset.path,
      TZ: ':UTC',
      LANG: 'en_US.UTF-8',
      PATH: '/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin',
      ...(process.platform === 'win32' && { SystemRoot: process.env['SystemRoot']! }),
      ...endpoints,
    };
    for (const variable of Object.keys(variables)) {
      if (Object.hasOwn(own, variable) || CREDENTIALS.includes(variable))
        fail(`Environment: ${variable} is set by Lambda (or the laptop stack) itself`);
    }
    // A role that can't be known stops the start, not the first request.
    checkFunctionRole(Role, resources);
    policiesOf(Role, resources);

    const file = openSync(join(logDir, `${name}.log`), 'a', 0o600);
    logFiles.push(file);
    const reserved = Number(properties['ReservedConcurrentExecutions'] ?? Number.POSITIVE_INFINITY);
    functions.set(name, {
      name,
      arn: attributes['Arn']!,
      roleArn: Role,
      timeoutMs: Number(properties['Timeout'] ?? 3) * 1000,
      memoryMb,
      mostInstances: Math.min(MOST_INSTANCES, reserved),
      reserved,
      logFormat,
      environment: {
        ...Object.fromEntries(Object.entries(variables).map(([k, v]) => [k, String(v)])),
        ...own,
      },
      log(line) {
        if (!closed) writeSync(file, `${line}\n`);
      },
      instances: new Set(),
      idle: [],
      starting: 0,
      waiting: [],
    });
  }

  /** Starts a process and gives it to whoever waits longest. */
  async function start(fn: LambdaFunction): Promise<void> {
    fn.starting += 1;
    const date = new Date(clock.now()).toISOString().slice(0, 10).replaceAll('-', '/');
    const credentials = newCredentials();
    const instance = new Instance({
      environment: {
        // Now: when the function was deployed, no API had its port yet.
        ...Object.fromEntries(Object.entries(fn.environment).map(([name, value]) => [name, here(value)])),
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        AWS_SESSION_TOKEN: credentials.sessionToken,
        AWS_LAMBDA_LOG_STREAM_NAME: `${date}/[$LATEST]${randomBytes(16).toString('hex')}`,
      },
      memoryMb: fn.memoryMb,
      onLine: fn.log,
    });
    fn.instances.add(instance);
    principals.set(credentials.accessKeyId, {
      ...credentials,
      roleArn: fn.roleArn,
      sessionName: fn.name,
      process: instance,
    });
    void instance.exited.then(() => {
      principals.delete(credentials.accessKeyId);
      fn.instances.delete(instance);
      fn.idle = fn.idle.filter((other) => other !== instance);
      startMore(fn);
    });
    const error = await instance.load(clock.offsetMs());
    fn.starting -= 1;
    if (error === undefined) release(fn, instance);
    else {
      fn.waiting.shift()?.(error);
      startMore(fn);
    }
  }

  /** The bound leaves room for all who wait; each start is for one of them. */
  function startMore(fn: LambdaFunction): void {
    while (!closing && fn.waiting.length > fn.starting && fn.instances.size < fn.mostInstances)
      void start(fn);
  }

  function release(fn: LambdaFunction, instance: Instance): void {
    if (!instance.isAlive) return;
    const next = fn.waiting.shift();
    if (next !== undefined) next(instance);
    else fn.idle.push(instance);
  }

  async function acquire(fn: LambdaFunction): Promise<Instance | FunctionError> {
    for (let instance = fn.idle.pop(); instance !== undefined; instance = fn.idle.pop()) {
      if (instance.isAlive) return instance;
    }
    if (fn.mostInstances === 0 || fn.waiting.length >= LONGEST_QUEUE) {
      throw new InvokeProblem(429, 'TooManyRequestsException', 'Rate Exceeded.');
    }
    return new Promise((settle) => {
      fn.waiting.push(settle);
      startMore(fn);
    });
  }

  /** Only the owner of a function can give a permission. */
  const permissionsOf = ({ arn }: LambdaFunction): DeployedResource[] =>
    resources.filter(
      (resource) =>
        resource.type === 'AWS::Lambda::Permission' && (resource.account ?? account) === arn.split(':')[4],
    );

  const find = (nameOrArn: string): LambdaFunction => {
    const name =
      /^arn:aws:lambda:[^:]*:[^:]*:function:([^:]+)(?::\$LATEST)?$/.exec(nameOrArn)?.[1] ?? nameOrArn;
    const found = functions.get(name);
    if (found === undefined || (nameOrArn !== name && !nameOrArn.startsWith(found.arn))) {
      throw new InvokeProblem(
        404,
        'ResourceNotFoundException',
        `Function not found: arn:aws:lambda:${region}:${account}:function:${name}`,
      );
    }
    return found;
  };

  async function invoke(
    nameOrArn: string,
    payload: unknown,
  ): Promise<{ payload: unknown; functionError?: string }> {
    const fn = find(nameOrArn);
    const text = JSON.stringify(payload) ?? 'null';
    if (Buffer.byteLength(text) > LARGEST_REQUEST) {
      throw new InvokeProblem(
        413,
        'RequestTooLargeException',
        `Request must be smaller than ${LARGEST_REQUEST} bytes for the InvokeFunction operation`,
      );
    }
    if (closing) throw new InvokeProblem(500, 'ServiceException', 'the laptop stack is stopping');
    const id = randomUUID();
    const instance = await acquire(fn);
    if (!(instance instanceof Instance)) {
      fn.log(`${new Date(clock.now()).toISOString()}\t${id}\tERROR\t${JSON.stringify(instance)}`);
      return { payload: instance, functionError: 'Unhandled' };
    }

    logStart(fn, id, clock);
    const started = performance.now();
    const time = Math.floor(clock.now() / 1000).toString(16);
    let outcome = await instance.invoke({
      id,
      payload: text,
      functionArn: fn.arn,
      traceId: `Root=1-${time}-${randomBytes(12).toString('hex')};Parent=${randomBytes(8).toString('hex')};Sampled=0`,
      timeoutMs: fn.timeoutMs,
      offsetMs: clock.offsetMs(),
    });
    if ('payload' in outcome && Buffer.byteLength(outcome.payload) > LARGEST_RESPONSE) {
      outcome = {
        memoryBytes: outcome.memoryBytes,
        error: {
          errorType: 'Function.ResponseSizeTooLarge',
          errorMessage: `Response payload size exceeded maximum allowed payload size (${LARGEST_RESPONSE} bytes).`,
        },
      };
    }
    logEnd(fn, id, clock, { outcome, durationMs: performance.now() - started, initMs: instance.initMs });
    instance.initMs = undefined;
    release(fn, instance);
    return 'payload' in outcome
      ? { payload: JSON.parse(outcome.payload) }
      : { payload: outcome.error, functionError: 'Unhandled' };
  }

  return {
    add,
    invoke,
    describe(nameOrArn) {
      const { name, arn, timeoutMs, roleArn } = find(nameOrArn);
      return {
        name,
        arn,
        timeoutMs,
        role: () => ({
          ...{ roleArn, sessionName: name, policies: policiesOf(roleArn, resources) },
          // Lambda calls in its name, without a signature that anybody checks.
          ...{ accessKeyId: '', secretAccessKey: '' },
        }),
      };
    },
    cool(nameOrArn) {
      for (const instance of find(nameOrArn).idle.splice(0)) instance.kill();
    },
    scale(nameOrArn, processes) {
      const fn = find(nameOrArn);
      fn.mostInstances = Math.min(Math.max(fn.mostInstances, processes), fn.reserved);
      return Math.min(processes, fn.mostInstances);
    },
    principal(accessKeyId) {
      const principal = principals.get(accessKeyId);
      // Read anew: while the stack is deployed, a policy may come after the function that has its role.
      return principal && { ...principal, policies: policiesOf(principal.roleArn, resources) };
    },
    names: () => [...functions.keys()],
    mayInvoke(functionArn, sourceArn) {
      const target = [...functions.values()].find(({ arn }) => arn === functionArn);
      return target !== undefined && mayInvoke(permissionsOf(target), target, sourceArn);
    },
    mayBeInvokedFrom(functionArn, otherAccount) {
      const target = [...functions.values()].find(({ arn }) => arn === functionArn);
      return target !== undefined && mayBeInvokedFrom(permissionsOf(target), target, otherAccount);
    },
    async close() {
      closing = true;
      clearInterval(reaper);
      process.off('exit', killAll);
      const all = [...functions.values()].flatMap(({ instances }) => [...instances]);
      await Promise.all(all.map((instance) => instance.end()));
      closed = true;
      for (const file of logFiles) closeSync(file);
    },
  };
}

/** Forgets the logs of earlier starts. */
export const forgetLogs = (stateDir: string): void =>
  rmSync(join(stateDir, 'logs'), { recursive: true, force: true });

function logStart({ log, logFormat }: LambdaFunction, requestId: string, clock: Clock): void {
  const time = new Date(clock.now()).toISOString();
  if (logFormat === 'JSON')
    log(JSON.stringify({ time, type: 'platform.start', record: { requestId, version: '$LATEST' } }));
  else log(`START RequestId: ${requestId} Version: $LATEST`);
}

function logEnd(
  { log, logFormat, memoryMb }: LambdaFunction,
  requestId: string,
  clock: Clock,
  { outcome, durationMs, initMs }: { outcome: Outcome; durationMs: number; initMs: number | undefined },
): void {
  const time = new Date(clock.now()).toISOString();
  const usedMb = Math.ceil(outcome.memoryBytes / 1024 / 1024);
  const error = 'error' in outcome ? outcome.error : undefined;
  const isOurs = error?.errorType === 'Sandbox.Timedout' || error?.errorType === 'Runtime.ExitError';
  if (logFormat === 'JSON') {
    const status =
      error === undefined ? 'success' : error.errorType === 'Sandbox.Timedout' ? 'timeout' : 'error';
    const metrics = {
      durationMs: Number(durationMs.toFixed(3)),
      billedDurationMs: Math.ceil(durationMs + (initMs ?? 0)),
      memorySizeMB: memoryMb,
      maxMemoryUsedMB: usedMb,
      ...(initMs !== undefined && { initDurationMs: Number(initMs.toFixed(3)) }),
    };
    log(
      JSON.stringify({
        time,
        type: 'platform.report',
        record: { requestId, status, metrics, ...(error && { errorType: error.errorType }) },
      }),
    );
    return;
  }
  if (isOurs) log(`${time} ${error.errorMessage.replace(/^RequestId: (\S+) Error:/, '$1')}`);
  log(`END RequestId: ${requestId}`);
  const parts = [
    `REPORT RequestId: ${requestId}`,
    `Duration: ${durationMs.toFixed(2)} ms`,
    `Billed Duration: ${Math.ceil(durationMs + (initMs ?? 0))} ms`,
    `Memory Size: ${memoryMb} MB`,
    `Max Memory Used: ${usedMb} MB`,
  ];
  if (initMs !== undefined) parts.push(`Init Duration: ${initMs.toFixed(2)} ms`);
  log(parts.join('\t'));
}
