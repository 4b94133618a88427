import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shieldAssets } from './assembly.ts';

export const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));

/** What the assembly is made of, besides installed packages (the lock file stands for them). */
const SOURCES = ['infra', 'functions', 'lib', 'examples', 'cdk.json', 'package-lock.json', 'tsconfig.json'];

/**
 * The properties of the product's stack that are for this machine: receivers of webhooks run on it as well, nobody wants
 * a canary in their events who has not asked for it, and stacks of a second account may be attached.
 */
const PROPERTIES = {
  'rekey:mode': 'development',
  'rekey:allowLoopbackHttpWebhooks': true,
  'rekey:canary': false,
  'rekey:consumerAccounts': '111111111111',
};

/** The file in an assembly that says what it was made of. */
const MADE_OF = 'made-of.txt';

export class SynthFailed extends Error {
  override name = 'SynthFailed';
}

function fingerprint(): string {
  const hash = createHash('sha256').update(process.version);
  const visit = (path: string): void => {
    const absolute = join(REPOSITORY, path);
    if (!existsSync(absolute)) return;
    const stat = statSync(absolute);
    if (stat.isDirectory()) for (const name of readdirSync(absolute).sort()) visit(join(path, name));
    else hash.update(`${path}\0${stat.size}\0${stat.mtimeMs}\n`);
  };
  for (const path of SOURCES) visit(path);
  return hash.digest('hex');
}

/**
 * Writes the app's cloud assembly to a directory, unless it is there already and no source has changed since.
 *
 * Runs the app as `cdk synth` does, with the context of cdk.json and PROPERTIES, but without the CLI: that takes
 * seconds longer.
 *
 * @param properties instead of PROPERTIES, by their whole names
 * @returns whether it ran
 * @throws SynthFailed with what the app printed
 */
export async function synthesize(
  directory: string,
  properties: Record<string, unknown> = {},
): Promise<boolean> {
  const outdir = resolve(directory);
  const made = `${fingerprint()} ${JSON.stringify(properties)}`;
  const marker = join(outdir, MADE_OF);
  if (existsSync(marker) && readFileSync(marker, 'utf8') === made) return false;

  const { app, context = {} } = JSON.parse(readFileSync(join(REPOSITORY, 'cdk.json'), 'utf8'));
  const [command, ...args] = String(app).split(' ');
  if (command !== 'node') throw new SynthFailed(`cdk.json: the app should be run by node, not ${command}`);
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true, mode: 0o700 });
  const printed: string[] = [];
  const child = spawn(process.execPath, args, {
    cwd: REPOSITORY,
    env: {
      ...process.env,
      CDK_OUTDIR: outdir,
      CDK_CONTEXT_JSON: JSON.stringify({ ...context, ...PROPERTIES, ...properties }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed.push(text);
      if (printed.length > 1_000) printed.shift();
    });
  }
  const kill = (): void => void child.kill();
  process.once('exit', kill);
  const code = await new Promise((ended) => {
    child.once('error', (error) => ended(error.message));
    child.once('close', ended);
  });
  process.off('exit', kill);
  if (code !== 0) throw new SynthFailed(`cdk synth failed (${code}):\n${printed.join('')}`);
  shieldAssets(outdir);
  writeFileSync(marker, made);
  return true;
}
