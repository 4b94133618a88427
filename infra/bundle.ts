import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { buildSync } from 'esbuild';

const groups: (readonly string[])[] = [];
/** By entry. */
const built = new Map<string, Uint8Array>();

/**
 * Says which files are going to be bundled in one run: esbuild then reads what they share once, and not for each of them.
 * What comes out is the same.
 */
export function bundleTogether(entries: readonly string[]): void {
  groups.push(entries);
}

/** Bundles the file that exports `handler` into one minified ES module, as it is deployed. */
export function writeBundle(entry: string, outfile: string): void {
  if (!built.has(entry)) build(groups.find((group) => group.includes(entry)) ?? [entry]);
  writeFileSync(outfile, built.get(entry)!);
}

function build(entries: readonly string[]): void {
  const { outputFiles } = buildSync({
    entryPoints: entries.map((entry, index) => ({ in: entry, out: String(index) })),
    // Nothing is written to it.
    outdir: '.',
    write: false,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    mainFields: ['module', 'main'],
    logLevel: 'warning',
    // An ES module has no `require`, and CommonJS packages (aws4) ask it for Node's own modules.
    banner: {
      js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);",
    },
    // Nothing is external: the SDK is the version that was tested, not the one the runtime has that day.
  });
  for (const { path, contents } of outputFiles) built.set(entries[Number(basename(path, '.js'))]!, contents);
}
