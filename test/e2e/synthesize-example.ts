import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Synthesizes an example that is an app of its own, as `cdk synth` does.
 *
 * @param context what `-c` says
 * @returns where its cloud assembly is, for `npm start -- --with`
 */
export function synthesizeExample(example: string, context: Record<string, string> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'rekey-e2e-example-'));
  const ours = JSON.parse(readFileSync('cdk.json', 'utf8')).context;
  const { status, stderr } = spawnSync(process.execPath, [`examples/${example}/app.ts`], {
    env: {
      ...process.env,
      CDK_OUTDIR: directory,
      CDK_CONTEXT_JSON: JSON.stringify({ ...ours, ...context }),
    },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the example ${example} does not synthesize: ${stderr}`);
  return directory;
}
