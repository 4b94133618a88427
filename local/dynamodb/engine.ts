import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { releaseEngine } from './engine-client.ts';

export interface Engine {
  endpoint: string;
  kind: 'dynoxide' | 'dynamodb-local' | 'external';
  close(): Promise<void>;
}

/** A process to start: where it keeps its data, and how it is called. */
interface Command {
  kind: 'dynoxide' | 'dynamodb-local';
  command: string;
  args(port: number): string[];
  cwd: string;
}

const require = createRequire(import.meta.url);
const DYNOXIDE_FILE = 'dynamodb.sqlite';
const readyWithinMs = 20_000;
const stopsWithinMs = 5_000;

/**
 * Starts the DynamoDB engine, or takes the one `REKEY_DYNAMODB_ENDPOINT` names.
 *
 * In this order: that endpoint; the static binary of `@dynoxide/linux-x64`; Java with DynamoDB Local
 * (`REKEY_DYNAMODB_LOCAL_JAR`, or the jar inside an installed `amplify-dynamodb-simulator`).
 * Data is kept in `stateDir`, in one file per engine; `fresh` deletes it first (not an external engine's: see
 * `createTables`). The process ends with this one, however this one ends.
 *
 * @throws Error that says what to install when there is no engine, or shows what the engine printed
 */
export async function startEngine(o: {
  stateDir: string;
  fresh: boolean;
  log(line: string): void;
  /** Only for tests. */
  env?: NodeJS.ProcessEnv;
  platform?: string;
}): Promise<Engine> {
  const env = o.env ?? process.env;
  const external = env['REKEY_DYNAMODB_ENDPOINT'];
  if (external) {
    await answers(external, async () => undefined);
    return { endpoint: external, kind: 'external', close: async () => releaseEngine(external) };
  }

  const stateDir = resolve(o.stateDir);
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const chosen = chooseEngine(stateDir, env, o.platform ?? `${process.platform}-${process.arch}`);
  if (o.fresh) {
    for (const file of [DYNOXIDE_FILE, `${DYNOXIDE_FILE}-wal`, `${DYNOXIDE_FILE}-shm`, 'dynamodb-local']) {
      await rm(join(stateDir, file), { recursive: true, force: true });
    }
  }
  if (chosen.kind === 'dynamodb-local') await mkdir(join(stateDir, 'dynamodb-local'), { recursive: true });

  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const printed: string[] = [];
  const child = spawnBound(chosen.command, chosen.args(port), chosen.cwd, env);
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n').filter(Boolean)) {
        if (printed.push(line) > 50) printed.shift();
        o.log(line);
      }
    });
  }
  child.stdin?.on('error', () => undefined); // The engine has ended already: `gone` says so.
  const gone = new Promise<string>((settle) => {
    child.once('error', (error) => settle(error.message));
    child.once('exit', (code, signal) => settle(`ended with ${signal ?? `code ${code}`}`));
  });
  const close = async (): Promise<void> => {
    releaseEngine(endpoint);
    child.stdin?.end();
    if (process.platform === 'win32') child.kill();
    const orderly = await Promise.race([gone, sleep(stopsWithinMs, undefined, { ref: false })]);
    if (orderly === undefined && child.pid !== undefined) {
      process.kill(process.platform === 'win32' ? child.pid : -child.pid, 'SIGKILL');
      await gone;
    }
  };
  let ended: string | undefined;
  void gone.then((how) => {
    ended = how;
  });
  try {
    await answers(endpoint, async () => ended);
    if (chosen.kind === 'dynoxide') orderStreamRecords(join(stateDir, DYNOXIDE_FILE));
  } catch (error) {
    await close();
    throw new Error(`${chosen.kind} did not start: ${(error as Error).message}\n${printed.join('\n')}`);
  }
  return { endpoint, kind: chosen.kind, close };
}

/**
 * Each write looks for the last stream record, and each read of a stream for the next ones. The engine has no index for
 * it and goes through all that there are: after 35,000 of them a write took 60 ms.
 */
function orderStreamRecords(path: string): void {
  const database = new DatabaseSync(path, { timeout: readyWithinMs });
  database.exec(
    'CREATE INDEX IF NOT EXISTS rekey_stream_order ON _stream_records (table_name, CAST(sequence_number AS INTEGER))',
  );
  database.close();
}

function chooseEngine(stateDir: string, env: NodeJS.ProcessEnv, platform: string): Command {
  const binary = platform === 'linux-x64' ? packageFile('@dynoxide/linux-x64', 'dynoxide') : undefined;
  if (binary !== undefined && !env['REKEY_DYNAMODB_LOCAL_JAR']) {
    return {
      kind: 'dynoxide',
      command: binary,
      cwd: stateDir,
      args: (port) => [
        ...['--host', '127.0.0.1', '--port', String(port)],
        ...['--db-path', join(stateDir, DYNOXIDE_FILE)],
      ],
    };
  }
  const jar =
    env['REKEY_DYNAMODB_LOCAL_JAR'] ||
    packageFile('amplify-dynamodb-simulator', join('emulator', 'DynamoDBLocal.jar'));
  if (jar === undefined || !existsSync(jar)) {
    throw new Error(
      [
        jar === undefined ? `There is no DynamoDB engine for ${platform} here.` : `There is no file ${jar}.`,
        'Install one of these:',
        '  Java 17 or newer and DynamoDB Local: download it from AWS and set REKEY_DYNAMODB_LOCAL_JAR to its DynamoDBLocal.jar,',
        '  or run `npm install --no-save amplify-dynamodb-simulator`, which brings that jar;',
        '  or set REKEY_DYNAMODB_ENDPOINT to the URL of a DynamoDB that runs already.',
      ].join('\n'),
    );
  }
  const home = dirname(resolve(jar));
  return {
    kind: 'dynamodb-local',
    command: env['JAVA_HOME'] ? join(env['JAVA_HOME'], 'bin', 'java') : 'java',
    cwd: home,
    args: (port) => [
      `-Djava.library.path=${join(home, 'DynamoDBLocal_lib')}`,
      ...['-jar', resolve(jar), '-port', String(port)],
      // One database for all access keys, in our directory, and no calls home.
      ...['-sharedDb', '-dbPath', join(stateDir, 'dynamodb-local'), '-disableTelemetry'],
    ],
  };
}

/** The file of an installed package; undefined when it isn't there. */
function packageFile(name: string, file: string): string | undefined {
  try {
    const path = join(dirname(require.resolve(`${name}/package.json`)), file);
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Starts a process that ends with this one, even if this one is killed with SIGKILL: a shell waits for the end of its
 * standard input, which only this process holds open, and then ends the engine. The shell has a session of its own,
 * so that Ctrl-C reaches this process first and the engine is still there while functions finish.
 * Windows has no such shell; there the engine ends with `close` only.
 */
function spawnBound(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv): ChildProcess {
  const options = { cwd, env: { ...env, DDB_LOCAL_TELEMETRY: '0' } };
  if (process.platform === 'win32') return spawn(command, args, { ...options, stdio: 'pipe' });
  const script = `
    exec 3<&0
    "$@" </dev/null 3<&- &
    engine=$!
    { read -r line <&3; kill "$engine"; } >/dev/null 2>&1 &
    watch=$!
    wait "$engine"
    code=$?
    kill "$watch" 2>/dev/null
    exit "$code"`;
  return spawn('/bin/sh', ['-c', script, 'engine', command, ...args], {
    ...options,
    stdio: 'pipe',
    detached: true,
  });
}

/** Waits until something speaks HTTP there. */
async function answers(endpoint: string, ended: () => Promise<string | undefined>): Promise<void> {
  const until = Date.now() + readyWithinMs;
  for (;;) {
    try {
      await fetch(endpoint, { method: 'POST', signal: AbortSignal.timeout(2_000) });
      return;
    } catch (error) {
      const end = await ended();
      if (end !== undefined) throw new Error(end);
      if (Date.now() > until) {
        throw new Error(
          `no answer at ${endpoint} within ${readyWithinMs / 1000} s (${(error as Error).message})`,
        );
      }
    }
    await sleep(25);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
