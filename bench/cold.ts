import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { writeBundle } from '../infra/bundle.ts';
import { authorizerEvent } from '../test/lib/authorizer-event.ts';
import type { Part } from './part.ts';
import { ratioOf, takeTurns } from './rounds.ts';
import type { World } from './world.ts';

const run = promisify(execFile);

const LARGEST_BUNDLE = 60;
const MOST_OF_TWIN = 0.55;

/** From the start of the process to the first Allow: the bundled authorizer, its twin, and the limit. */
export async function cold(world: World, { rounds = 15 } = {}): Promise<Part> {
  const folder = await mkdtemp(join(tmpdir(), 'rekey-bundles-'));
  const key = await world.addKey(['orders:read']);
  const routesHash = await world.addRoutes({ 'GET /orders': ['orders:read'] });
  const event = JSON.stringify(authorizerEvent({ headers: { 'x-api-key': [key] }, routesHash }));
  const entries = {
    authorizer: 'functions/authorizer.ts',
    twin: 'bench/twins/usual-authorizer.ts',
    limit: 'bench/twins/empty-authorizer.ts',
  };
  try {
    const bundles = new Map<string, string>();
    for (const [name, entry] of Object.entries(entries)) {
      bundles.set(name, join(folder, `${name}.mjs`));
      writeBundle(resolve(entry), join(folder, `${name}.mjs`));
    }
    const start = (name: string) => async () => {
      const started = performance.now();
      const args = ['bench/first-allow.mjs', String(bundles.get(name)), event];
      await run(process.execPath, args, { env: { ...world.env } });
      return performance.now() - started;
    };
    const times = await takeTurns(
      { authorizer: start('authorizer'), twin: start('twin'), limit: start('limit') },
      { rounds, warmUp: 2 },
    );
    const { authorizer, twin, limit } = times as Record<
      'authorizer' | 'twin' | 'limit',
      (typeof times)[string]
    >;
    const kilobytes = (await stat(String(bundles.get('authorizer')))).size / 1000;
    const twinKilobytes = (await stat(String(bundles.get('twin')))).size / 1000;
    return {
      name: 'cold',
      unit: 'ms from process start to the first Allow',
      series: [authorizer, twin, limit],
      targets: [
        {
          name: 'authorizer ÷ twin',
          ratio: ratioOf('authorizer ÷ twin', authorizer, twin),
          atMost: MOST_OF_TWIN,
        },
        {
          name: 'authorizer ÷ empty handler and one signed read',
          ratio: ratioOf('÷ limit', authorizer, limit),
        },
        { name: 'bundle, KB', value: kilobytes, atMost: LARGEST_BUNDLE },
        { name: 'bundle of the twin, KB', value: twinKilobytes },
      ],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
