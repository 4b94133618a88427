import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type BuildResult, build } from 'esbuild';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import { routesHash } from '../../lib/routes.ts';
import { authorizerEvent } from '../lib/authorizer-event.ts';
import { fakeDynamoDb, ok } from '../lib/fake-dynamodb.ts';

/** Bytes, minified. 60,000 is what it may become at most; it has 41,500, so what makes it grow is noticed long before. */
const LARGEST_BUNDLE = 48_000;

const routes = { 'GET /orders': ['orders:read'] };
const id = newKeyId(Date.now());
const { key, digest } = mintKey({ prefix: 'rk', environment: 'live', id });

let folder: string;
let result: BuildResult<{ metafile: true; write: true }>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'authorizer-'));
  result = await build({
    entryPoints: ['functions/authorizer.ts'],
    outfile: join(folder, 'index.mjs'),
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    metafile: true,
    // aws4 is CommonJS. As in infra/typescript-function.ts.
    banner: {
      js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);",
    },
  });
});

afterAll(() => rm(folder, { recursive: true }));

/** One cold start in a process of its own, as Lambda has it. */
const coldStart = async (env: Record<string, string | undefined>, event: unknown) => {
  const script = join(folder, 'run.mjs');
  await writeFile(
    script,
    `import { handler } from './index.mjs';
     const answer = await handler(JSON.parse(process.argv[2])).catch((error) => error.message);
     process.stderr.write(JSON.stringify(answer), () => process.exit(0));`,
  );
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, JSON.stringify(event)], {
    env,
  });
  return { log: stdout, answer: JSON.parse(stderr) };
};

describe('the authorizer as it is deployed', () => {
  it('is below 48 KB', () => {
    const [output] = Object.values(result.metafile.outputs);
    expect(output?.bytes).toBeLessThan(LARGEST_BUNDLE);
  });

  it('brings neither zod, the SDK nor middy', () => {
    const inputs = Object.keys(result.metafile.inputs);
    expect(inputs).toContain('lib/authorizer.ts');
    expect(inputs.filter((input) => /node_modules\/(?!aws4\/)|schema/.test(input))).toEqual([]);
  });

  it('decides from the environment that Lambda gives it', async () => {
    const instant = new Date(Date.now() + 60_000).toISOString();
    const table = await fakeDynamoDb((response, socket, body) => {
      const { Key } = body as { Key: { pk: { S: string } } };
      const item =
        Key.pk.S === id
          ? {
              id: { S: id },
              owner_id: { S: 'team-billing' },
              owner_access: { S: 'own' },
              environment: { S: 'live' },
              scopes: { S: 'orders:read' },
              expires_at: { S: instant },
              rotated_at: { NULL: true },
              revoked_at: { NULL: true },
              first_used_at: { S: instant },
              digest: { S: digest },
            }
          : { routes: { S: JSON.stringify(routes) } };
      ok({ Item: item })(response, socket, body);
    });
    try {
      const env = {
        ...table.env,
        REKEY_TABLE_NAME: 'keys',
        REKEY_KEY_PREFIX: 'rk',
        REKEY_EVENT_RETENTION_DAYS: '400',
        REKEY_RETENTION_DAYS: '90',
        REKEY_LATE_USE_MINUTES: '60',
        REKEY_LOG_SAMPLE_RATE: '0.5',
        POWERTOOLS_SERVICE_NAME: 'Rekey',
      };
      const event = authorizerEvent({
        headers: { 'x-api-key': [key.reveal()] },
        routesHash: routesHash(routes),
      });
      const { answer, log } = await coldStart(env, event);
      expect(answer).toMatchObject({ principalId: id, context: { scopes: 'orders:read' } });
      expect(log).toBe('');
    } finally {
      await table.close();
    }
  });

  it('does not start without its table, and says the variable’s name', async () => {
    await expect(coldStart({ REKEY_KEY_PREFIX: 'rk' }, {})).rejects.toThrow('REKEY_TABLE_NAME');
    await expect(coldStart({ REKEY_TABLE_NAME: 'keys' }, {})).rejects.toThrow('REKEY_KEY_PREFIX');
  });
});
