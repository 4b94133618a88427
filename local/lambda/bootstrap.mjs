/**
 * What runs in a function's process before the function does: loads its handler and calls it, once at a time, as
 * Lambda's Node.js runtime does. Talks to the laptop stack over the IPC channel; when that closes, it ends.
 * Plain JavaScript, because stripping types would cost each start of a function some 30 ms.
 */
import { existsSync, realpathSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { isAbsolute, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'node:util';

const realNow = Date.now;
const RealDate = Date;
const send = process.send.bind(process);
const environment = { ...process.env };
const taskRoot = realpathSync(environment.LAMBDA_TASK_ROOT);

let offsetMs = 0;
/** The invocation that runs now: its request id, and the deadline in real milliseconds since 1970. */
let current;

// Ctrl-C reaches the whole process group: the stack decides when its functions end.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));

// --- the stack's clock ---

const now = () => realNow() + offsetMs;
const MovedDate = new Proxy(RealDate, {
  construct: (target, parameters, newTarget) =>
    Reflect.construct(target, parameters.length === 0 ? [now()] : parameters, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
});
RealDate.prototype.constructor = MovedDate;
globalThis.Date = MovedDate;

// --- the function sees its own asset, Node, and the SDK that the runtime brings; nothing of this repository ---

const isInside = (url) => {
  if (!url?.startsWith('file:')) return true;
  const path = relative(taskRoot, fileURLToPath(url));
  return !path.startsWith('..') && !isAbsolute(path);
};
registerHooks({
  resolve(specifier, context, next) {
    if (!context.parentURL?.startsWith('file:') || !isInside(context.parentURL))
      return next(specifier, context);
    if (/^@(aws-sdk|smithy)\//.test(specifier)) {
      try {
        const own = next(specifier, context);
        if (isInside(own.url)) return own;
      } catch {
        // Not in the asset: the runtime's own, as in Lambda.
      }
      return next(specifier, { ...context, parentURL: import.meta.url });
    }
    const found = next(specifier, context);
    if (isInside(found.url)) return found;
    throw Object.assign(
      new Error(`Cannot find package '${specifier}' imported from ${fileURLToPath(context.parentURL)}`),
      {
        code: 'ERR_MODULE_NOT_FOUND',
      },
    );
  },
});

// --- console, in Lambda's two log formats ---

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const asJson = environment.AWS_LAMBDA_LOG_FORMAT === 'JSON';
const lowest = asJson ? LEVELS.indexOf(environment.AWS_LAMBDA_LOG_LEVEL ?? 'INFO') : 0;

const withErrors = (_key, value) =>
  value instanceof Error
    ? { errorType: value.name, errorMessage: value.message, stackTrace: value.stack?.split('\n'), ...value }
    : value;

function jsonLine(level, parameters) {
  const line = { timestamp: new Date().toISOString(), level, requestId: current?.id };
  const error = parameters.slice(1).find((parameter) => parameter instanceof Error);
  if (parameters.length === 1) {
    try {
      return JSON.stringify({ ...line, message: parameters[0] }, withErrors);
    } catch {
      // A circular object, for one: as text.
    }
  }
  return JSON.stringify({
    ...line,
    message: format(...parameters),
    ...(error && {
      errorType: error.name,
      errorMessage: error.message,
      stackTrace: error.stack?.split('\n'),
    }),
  });
}

for (const [method, level] of [
  ['log', 'INFO'],
  ['info', 'INFO'],
  ['debug', 'DEBUG'],
  ['warn', 'WARN'],
  ['error', 'ERROR'],
  ['trace', 'TRACE'],
]) {
  console[method] = (...parameters) => {
    if (LEVELS.indexOf(level) < lowest) return;
    const line = asJson
      ? jsonLine(level, parameters)
      : `${new Date().toISOString()}\t${current?.id}\t${level}\t${format(...parameters)}`;
    process.stdout.write(`${line}\n`);
  };
}

// --- errors ---

const describe = (error) =>
  error instanceof Error
    ? { errorType: error.name, errorMessage: error.message, trace: error.stack?.split('\n') ?? [] }
    : { errorType: typeof error, errorMessage: String(error), trace: [] };

const runtimeError = (name, message, stack) =>
  Object.assign(new Error(message), { name: `Runtime.${name}` }, stack && { stack });

/** Tells the stack and ends: after an error that nobody caught, the process is not used again (as in Lambda). */
function giveUp(label, error, code) {
  console.error(label, error);
  const description = describe(error);
  const message = current ? { type: 'error', id: current.id } : { type: 'init_error' };
  send({ ...message, error: description, isLast: true }, () => process.exit(code));
}
process.on('uncaughtException', (error) => giveUp('Uncaught Exception', error, 129));
process.on('unhandledRejection', (reason) =>
  giveUp(
    'Unhandled Promise Rejection',
    runtimeError('UnhandledPromiseRejection', String(reason), reason?.stack),
    128,
  ),
);

// --- the handler ---

async function loadHandler() {
  const name = environment._HANDLER;
  const [, path, exported] = /^(.*?[^/.]*)\.([^/]+)$/.exec(name) ?? [];
  if (path === undefined || name.includes('..'))
    throw runtimeError('MalformedHandlerName', `Bad handler: ${name}`);
  const file = ['.js', '.mjs', '.cjs'].map((end) => join(taskRoot, `${path}${end}`)).find(existsSync);
  if (file === undefined) throw runtimeError('ImportModuleError', `Error: Cannot find module '${path}'`);
  let loaded;
  try {
    loaded = await import(pathToFileURL(file).href);
  } catch (error) {
    if (error instanceof SyntaxError) throw runtimeError('UserCodeSyntaxError', String(error), error.stack);
    if (error?.code === 'ERR_MODULE_NOT_FOUND' || error?.code === 'MODULE_NOT_FOUND') {
      throw runtimeError('ImportModuleError', String(error), error.stack);
    }
    throw error;
  }
  const find = (from) => exported.split('.').reduce((value, key) => value?.[key], from);
  const handler = find(loaded) ?? find(loaded.default);
  if (handler === undefined) throw runtimeError('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw runtimeError('HandlerNotFound', `${name} is not a function`);
  if (handler.length >= 3) {
    throw runtimeError(
      'CallbackHandlerDeprecated',
      `${name} takes a callback: Node.js 24 on Lambda calls handlers with event and context only, use an async function`,
    );
  }
  return handler;
}

const contextOf = ({ id, deadline, functionArn }) => ({
  functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
  functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
  memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
  logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
  logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
  invokedFunctionArn: functionArn,
  awsRequestId: id,
  callbackWaitsForEmptyEventLoop: true,
  getRemainingTimeInMillis: () => deadline - realNow(),
});

function answerText(answer) {
  try {
    return JSON.stringify(answer) ?? 'null';
  } catch {
    throw runtimeError('JSONStringifyError', 'Unable to stringify response body');
  }
}

async function invoke(handler, { id, deadline, functionArn, traceId, payload }) {
  current = { id, deadline, functionArn };
  process.env._X_AMZN_TRACE_ID = traceId;
  try {
    const answer = answerText(await handler(JSON.parse(payload), contextOf(current)));
    send({ type: 'response', id, payload: answer, memory: process.memoryUsage.rss() });
  } catch (error) {
    const description = describe(error);
    console.error('Invoke Error', asJson ? error : JSON.stringify(description));
    send({ type: 'error', id, error: description, memory: process.memoryUsage.rss() });
  }
}

let handler;
process.on('message', (message) => {
  offsetMs = message.offsetMs;
  if (message.type === 'invoke') void invoke(handler, message);
  if (message.type !== 'load') return;
  loadHandler().then(
    (loaded) => {
      handler = loaded;
      send({ type: 'ready' });
    },
    (error) => giveUp('Uncaught Exception', error, 1),
  );
});
