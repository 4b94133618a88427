/** `npm start`: the whole product on this machine. docs/laptop.md says what is what. */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const USAGE = `npm start -- [--port N] [--state-dir DIR] [--fresh] [--canary] [--with DIR]... [--assembly DIR]

  --port N         port of the management API; the others follow it (3000; 0: any free ones)
  --state-dir DIR  where data, logs and stack.json are (.local)
  --fresh          forget the data of earlier starts
  --canary         with the canary and its two APIs (GET /status)
  --with DIR       run the stacks of this cloud assembly too, like those of an API of yours (its cdk.out)
  --assembly DIR   run this cloud assembly instead of synthesizing the app`;

const fail = (message: string): never => {
  console.error(message);
  process.exit(1);
};

const major = Number(process.versions.node.split('.')[0]);
if (major < 24)
  fail(
    `The laptop stack needs Node.js 24 and this is ${process.version}: run it by \`npm start\`, which brings its own.`,
  );

interface Options {
  port: number;
  stateDir: string;
  fresh: boolean;
  canary: boolean;
  assembly: string | undefined;
  withAssemblies: string[];
}

function readOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '3000' },
        'state-dir': { type: 'string', default: '.local' },
        fresh: { type: 'boolean', default: false },
        canary: { type: 'boolean', default: false },
        assembly: { type: 'string' },
        with: { type: 'string', multiple: true, default: [] },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const port = Number(values.port);
    // The APIs and the control port follow; ten are more than the product and its examples need.
    if (!/^\d+$/.test(values.port) || port > 65_525)
      throw new Error(`--port should be 0 to 65525, is ${values.port}`);
    const { fresh, canary, assembly } = values;
    const stateDir = resolve(values['state-dir']);
    return { port, stateDir, fresh, canary, assembly, withAssemblies: values.with };
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${USAGE}`);
  }
}

const started = performance.now();
const { port, stateDir, fresh, canary, assembly, withAssemblies } = readOptions();

// Before it is up there is nothing to stop in order: children and the lock go with the process.
let stop = async (): Promise<void> => undefined;
let stopping = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    console.log('\nStopping.');
    stop().then(
      () => process.exit(0),
      (error: Error) => fail(error.message),
    );
  });
}

const { startStack } = await import('./stack.ts');
const { synthesize } = await import('./synth.ts');
const log = (line: string): void => console.log(`  ${line}`);
const ownAssembly = async (): Promise<string> => {
  const directory = join(stateDir, 'assembly');
  await synthesize(directory, canary ? { 'rekey:canary': true } : {});
  return directory;
};

try {
  const stack = await startStack({
    port,
    stateDir,
    fresh,
    assemblyDir: assembly ?? ownAssembly,
    withAssemblies,
    log,
  });
  stop = stack.stop;
  const { summary } = await import('./summary.ts');
  console.log(summary(stack, ((performance.now() - started) / 1000).toFixed(1)));
} catch (error) {
  // Our own errors have a message for the person who reads it; of anything else the place is worth more.
  const { name, message, stack } = error as Error;
  fail(name === 'Error' || name === 'TypeError' ? (stack ?? message) : message);
}
