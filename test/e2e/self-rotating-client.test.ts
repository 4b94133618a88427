import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import { createRekeyClient } from 'rekey/client';
import { fileStore } from 'rekey/client/node';
import { admin, management, newKey, stack } from './client.ts';

const PROCESSES = 8;
/** `npm run test:client` sets 50. */
const ROTATIONS = Number(process.env['REKEY_ROTATIONS'] ?? 12);
/** A key of one day is replaced after three quarters of a second. */
const ROTATE_AFTER = 0.75 / 86_400;
const KILL_EVERY_MS = 700;
const LONGEST_RUN_MS = 240_000;

interface Seen {
  ok: number;
  failed: string[];
  problems: { problem: string; status?: number; name: string }[];
  killed: number;
}

const startProcess = (store: string, initial: string, seen: Seen): ChildProcess => {
  const child = spawn(process.execPath, ['test/e2e/client-process.ts'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      REKEY_API_KEY: initial,
      CLIENT_MANAGEMENT: stack!.apis.management,
      CLIENT_ORDERS: stack!.apis.orders,
      CLIENT_STORE: store,
      CLIENT_ROTATE_AFTER: String(ROTATE_AFTER),
    },
  });
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const told = JSON.parse(line);
    if (told.ok) seen.ok += 1;
    if (told.failed) seen.failed.push(line);
    if (told.problem) seen.problems.push(told);
  });
  createInterface({ input: child.stderr! }).on('line', (line) => seen.failed.push(line));
  return child;
};

const ended = (child: ChildProcess): Promise<unknown> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', resolve));

describe('eight processes with one store', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-client-'));
  const children: ChildProcess[] = [];
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(children.map(ended));
    rmSync(folder, { recursive: true, force: true });
  });

  it(`rotate their key ${ROTATIONS} times and are killed at random: no request fails, no key is orphaned`, async () => {
    const first = await newKey({ expires_in_days: 1 });
    const store = join(folder, 'key.json');
    const seen: Seen = { ok: 0, failed: [], problems: [], killed: 0 };
    for (let n = 0; n < PROCESSES; n++) children.push(startProcess(store, first.key, seen));

    const line = async () => {
      const answer = await management('GET', `/api-keys/${first.id}/lineage?limit=100`, { key: admin });
      return answer.body.data as Record<string, unknown>[];
    };
    const deadline = Date.now() + LONGEST_RUN_MS;
    while ((await line()).length <= ROTATIONS && Date.now() < deadline) {
      await sleep(KILL_EVERY_MS * (0.5 + Math.random()));
      const victim = Math.floor(Math.random() * PROCESSES);
      children[victim]!.kill('SIGKILL');
      await ended(children[victim]!);
      seen.killed += 1;
      children[victim] = startProcess(store, first.key, seen);
    }
    for (const child of children) child.kill('SIGTERM');
    await Promise.all(children.map(ended));

    // The last ones were ended on the way, too. Whoever comes next finishes what they had begun.
    const next = createRekeyClient({
      managementUrl: stack!.apis.management,
      apis: [stack!.apis.orders],
      store: fileStore({ path: store }),
    });
    await next.maintain();

    expect(seen.failed).toEqual([]);
    // A busy machine may answer in time no more; the client was never refused, and never needs a person.
    const needsSomebody = seen.problems.filter(
      ({ name, status = 0 }) => name !== 'TimeoutError' && status < 500,
    );
    expect(needsSomebody).toEqual([]);
    expect(seen.problems.length).toBeLessThan(ROTATIONS);
    expect(seen.killed).toBeGreaterThan(ROTATIONS / 2);
    expect(seen.ok).toBeGreaterThan(10 * ROTATIONS);

    const keys = await line();
    expect(keys.length).toBeGreaterThan(ROTATIONS);
    // One line, of which every key but the last was used by somebody who knew it.
    for (const [at, key] of keys.entries()) {
      expect(key['successor_key_id']).toBe(keys[at + 1]?.['id'] ?? null);
      if (at < keys.length - 1) expect(key['first_used_at']).not.toBeNull();
    }
    // And the last one is in the store.
    const { key } = JSON.parse(readFileSync(store, 'utf8'));
    const self = await management('GET', '/api-keys/self', { key });
    expect(self.body.api_key.id).toBe(keys.at(-1)?.['id']);
  }, 300_000);
});
