import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';

/** What the laptop stack writes to `stack.json`. */
export interface StackFile {
  pid: number;
  apis: Record<
    'management' | 'orders' | 'shipments' | 'notifications' | 'catalogRest' | 'catalogHttp' | 'invoices',
    string
  >;
  /** By the same names. */
  api_ids: Record<string, string>;
  admin_key: string;
  control: string;
  dynamodb: string;
  table: string;
  /** Names of functions by `<Stack>/<LogicalId>`. */
  functions: Record<string, string>;
}

export interface RunningStack extends StackFile {
  stateDir: string;
  /** Everything the stack printed so far. */
  output(): string;
  /** Sends SIGINT as Ctrl-C does; resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** It synthesizes the app first, which takes seconds, or minutes on a machine that is busy with other things. */
const READY_WITHIN_MS = 300_000;

/**
 * Starts the laptop stack as a person would, on free ports and with a state of its own. The first of a run
 * synthesizes the app; the others take its assembly.
 */
export async function startRunningStack({
  stateDir = mkdtempSync(join(tmpdir(), 'rekey-e2e-')),
  /** null: it synthesizes the app itself, as its arguments ask for. */
  assembly = sharedAssembly() as string | null | undefined,
  args = [] as string[],
} = {}): Promise<RunningStack> {
  let printed = '';
  const child: ChildProcess = spawn(
    process.execPath,
    [
      'local/start.ts',
      '--port',
      '0',
      '--state-dir',
      stateDir,
      ...(assembly ? ['--assembly', assembly] : []),
      ...args,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  child.stdout?.on('data', (bytes) => {
    printed += bytes;
  });
  child.stderr?.on('data', (bytes) => {
    printed += bytes;
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));

  const file = join(stateDir, 'stack.json');
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const stack = readStack(file, child.pid);
    if (stack) {
      return {
        ...stack,
        stateDir,
        output: () => printed,
        stop: () => {
          child.kill('SIGINT');
          return ended;
        },
      };
    }
    if (child.exitCode !== null) throw new Error(`the stack ended with ${child.exitCode}:\n${printed}`);
    if (Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`the stack was not ready in ${READY_WITHIN_MS / 1000} s:\n${printed}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const readStack = (file: string, pid: number | undefined): StackFile | undefined => {
  try {
    const stack = JSON.parse(readFileSync(file, 'utf8')) as StackFile;
    return stack.pid === pid ? stack : undefined;
  } catch {
    return undefined; // not written yet
  }
};

/** The stack that the whole end-to-end run shares (test/e2e/start-shared-stack.ts). */
export const sharedStack = (): StackFile & { stateDir: string } => {
  const stateDir = process.env.REKEY_E2E_STATE_DIR;
  if (!stateDir) throw new Error('REKEY_E2E_STATE_DIR is not set: run this through npm test');
  return { ...(JSON.parse(readFileSync(join(stateDir, 'stack.json'), 'utf8')) as StackFile), stateDir };
};

/** What the shared stack synthesized when it started; undefined before that. */
export const sharedAssembly = (): string | undefined =>
  process.env.REKEY_E2E_STATE_DIR && join(process.env.REKEY_E2E_STATE_DIR, 'assembly');

/** Every item of the table, read past the functions and their roles. */
export async function everyItem({ dynamodb, table }: StackFile): Promise<unknown[]> {
  const client = new DynamoDBClient({
    endpoint: dynamodb,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const items: unknown[] = [];
  let start: Record<string, never> | undefined;
  do {
    const page = await client.send(new ScanCommand({ TableName: table, ExclusiveStartKey: start }));
    items.push(...(page.Items ?? []));
    start = page.LastEvaluatedKey as Record<string, never> | undefined;
  } while (start);
  client.destroy();
  return items;
}

/** Every byte below a folder, by file. */
export function everyFile(folder: string): { path: string; bytes: Buffer }[] {
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => statSync(path).isFile())
    .map((path) => ({ path, bytes: readFileSync(path) }));
}

/** Moves the clock of every function of a stack. */
export async function advance({ control }: StackFile, seconds: number): Promise<void> {
  const answer = await fetch(`${control}/clock`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ advance_seconds: seconds }),
  });
  if (!answer.ok) throw new Error(`the clock did not move: ${answer.status} ${await answer.text()}`);
}

export const forget = (stateDir: string): void => rmSync(stateDir, { recursive: true, force: true });
