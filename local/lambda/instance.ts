import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

/** As Lambda's runtime describes an error. */
export interface FunctionError {
  errorType: string;
  errorMessage: string;
  trace?: string[];
}

/** What an invocation came to: a payload (JSON text) or an error, and what the process used. */
export type Outcome = ({ payload: string } | { error: FunctionError }) & { memoryBytes: number };

export interface Invocation {
  id: string;
  payload: string;
  functionArn: string;
  traceId: string;
  timeoutMs: number;
  offsetMs: number;
}

/** Lambda's limit for loading a function. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html */
const INIT_LIMIT_MS = 10_000;

/** One line of a function's output is cut here: a process must not fill the disk with one line. CloudWatch: 256 KB. */
const LONGEST_LINE = 256 * 1024;

interface Message {
  type: 'ready' | 'init_error' | 'response' | 'error';
  id?: string;
  payload?: string;
  error?: FunctionError;
  memory?: number;
  /** The process ends after this message and takes no other invocation. */
  isLast?: boolean;
}

/**
 * A process that runs one function, for one invocation at a time.
 *
 * It ends with this process, however this one ends: its IPC channel closes.
 */
export class Instance {
  readonly #child: ChildProcess;
  /** How the process ended. */
  readonly exited: Promise<string>;
  #onMessage: (message: Message) => void = () => undefined;
  #alive = true;
  /** How long loading the handler took; reported with the first invocation, as Lambda does. */
  initMs: number | undefined;
  /** Of the invocation that runs now. */
  invocationId: string | undefined;
  /** When it was last used, for ending idle ones (real milliseconds since 1970). */
  idleSince = Date.now();

  constructor(options: {
    environment: Record<string, string>;
    memoryMb: number;
    onLine(line: string): void;
  }) {
    const { environment, memoryMb, onLine } = options;
    this.#child = spawn(
      process.execPath,
      [`--max-old-space-size=${memoryMb}`, fileURLToPath(new URL('./bootstrap.mjs', import.meta.url))],
      { cwd: environment['LAMBDA_TASK_ROOT'], env: environment, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    );
    this.exited = new Promise((settle) => {
      this.#child.once('error', (error) => settle(error.message));
      this.#child.once('exit', (code, signal) =>
        settle(signal ? `signal: ${signal}` : `exit status ${code}`),
      );
    }).then((how) => {
      this.#alive = false;
      return how as string;
    });
    this.#child.on('message', (message) => {
      if ((message as Message).isLast) this.#alive = false;
      this.#onMessage(message as Message);
    });
    this.#child.on('error', () => undefined); // `exited` has it.
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) readLines(stream, onLine);
  }

  get isAlive(): boolean {
    return this.#alive && this.#child.connected;
  }

  /** Loads the handler. @returns the error if it can't be loaded; the process has ended then */
  async load(offsetMs: number): Promise<FunctionError | undefined> {
    const started = performance.now();
    const limit = Promise.withResolvers<FunctionError>();
    const timer = setTimeout(
      () =>
        limit.resolve({
          errorType: 'Sandbox.Timedout',
          errorMessage: `Init timed out after ${INIT_LIMIT_MS / 1000} seconds`,
        }),
      INIT_LIMIT_MS,
    );
    const loaded = new Promise<FunctionError | undefined>((settle) => {
      this.#onMessage = ({ type, error }) => settle(type === 'ready' ? undefined : error);
    });
    this.#send({ type: 'load', offsetMs });
    const error = await Promise.race([
      loaded,
      limit.promise,
      this.exited.then((how) => ({
        errorType: 'Runtime.ExitError',
        errorMessage: `Error: Runtime exited during init: ${how}`,
      })),
    ]);
    clearTimeout(timer);
    if (error !== undefined) await this.end();
    this.initMs = performance.now() - started;
    return error;
  }

  /** Runs the handler once. Past its time the process is killed. Never rejects. */
  async invoke({ timeoutMs, ...invocation }: Invocation): Promise<Outcome> {
    const limit = Promise.withResolvers<Outcome>();
    const timer = setTimeout(() => {
      this.kill();
      const seconds = (timeoutMs / 1000).toFixed(2);
      limit.resolve({
        error: {
          errorType: 'Sandbox.Timedout',
          errorMessage: `RequestId: ${invocation.id} Error: Task timed out after ${seconds} seconds`,
        },
        memoryBytes: 0,
      });
    }, timeoutMs);
    const answered = new Promise<Outcome>((settle) => {
      this.#onMessage = ({ type, id, payload, error, memory = 0 }) => {
        if (id !== invocation.id) return;
        settle(
          type === 'response'
            ? { payload: payload!, memoryBytes: memory }
            : { error: error!, memoryBytes: memory },
        );
      };
    });
    this.invocationId = invocation.id;
    this.#send({ type: 'invoke', ...invocation, deadline: Date.now() + timeoutMs });
    const outcome = await Promise.race([
      answered,
      limit.promise,
      this.exited.then((how) => ({
        error: {
          errorType: 'Runtime.ExitError',
          errorMessage: `RequestId: ${invocation.id} Error: Runtime exited with error: ${how}`,
        },
        memoryBytes: 0,
      })),
    ]);
    clearTimeout(timer);
    this.invocationId = undefined;
    // What the handler printed was written before its answer; one turn of the loop reads it before we go on.
    await new Promise((next) => setImmediate(next));
    this.idleSince = Date.now();
    return outcome;
  }

  /** Moves the clock of a running process. */
  setClock(offsetMs: number): void {
    this.#send({ type: 'clock', offsetMs });
  }

  /** Kills the process; resolves when it is gone. */
  async end(): Promise<void> {
    this.kill();
    await this.exited;
  }

  /** Kills the process without waiting, for the last moment of this one. */
  kill(): void {
    this.#alive = false;
    this.#child.kill('SIGKILL');
  }

  #send(message: Record<string, unknown>): void {
    if (this.isAlive) this.#child.send(message, () => undefined); // A process that ends meanwhile: `exited` tells.
  }
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = '';
  const write = (line: string): void => onLine(stripVTControlCharacters(line).slice(0, LONGEST_LINE));
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    if (rest.length > LONGEST_LINE) {
      write(rest);
      rest = '';
    }
    for (const line of lines) write(line);
  });
  stream.on('end', () => {
    if (rest !== '') write(rest);
  });
}
