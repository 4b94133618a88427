import { buildSync } from 'esbuild';

/** Bundles the file that exports `handler` into one minified ES module, as it is deployed. */
export function writeBundle(entry: string, outfile: string): void {
  buildSync({
    entryPoints: [entry],
    outfile,
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
}
