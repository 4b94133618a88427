import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { managementOf, productOf } from './client.ts';
import { forget, sharedStack, startRunningStack } from './running-stack.ts';

/** Processes whose command line or working set names a state folder; Linux only, where CI runs. */
const processesOf = (stateDir: string): string[] =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        const line =
          readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'utf8');
        return line.includes(stateDir) ? [`${pid} ${line.slice(0, 200)}`] : [];
      } catch {
        return []; // ended meanwhile, or not ours to read
      }
    });

describe('the laptop stack', () => {
  it('keeps its secrets file to its owner', () => {
    const { stateDir } = sharedStack();
    expect(statSync(join(stateDir, 'stack.json')).mode & 0o777).toBe(0o600);
  });

  it('says so when its port is taken, and changes nothing', () => {
    const { apis, stateDir } = sharedStack();
    const { port } = new URL(apis.management);
    const second = spawnSync(
      process.execPath,
      ['local/start.ts', '--port', port, '--state-dir', `${stateDir}-second`],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    forget(`${stateDir}-second`);
    expect(second.status).toBe(1);
    expect(second.stdout + second.stderr).toContain(port);
    expect(second.stdout + second.stderr).toMatch(/taken|in use/);
  });

  it('keeps its data over a restart, forgets it with --fresh, and leaves no process behind', async () => {
    const first = await startRunningStack();
    const { key } = (
      await managementOf(first.apis.management)('POST', '/api-keys', {
        key: first.admin_key,
        body: { name: 'n', owner_id: 'team', scopes: ['orders:read'] },
      })
    ).body;
    expect(await first.stop()).toBe(0);
    expect(processesOf(first.stateDir)).toEqual([]);

    const again = await startRunningStack({ stateDir: first.stateDir });
    expect(again.admin_key).toBe(first.admin_key);
    expect((await productOf(again.apis.orders)('GET', '/orders', { key })).status).toBe(200);
    await again.stop();

    const fresh = await startRunningStack({ stateDir: first.stateDir, args: ['--fresh'] });
    expect((await productOf(fresh.apis.orders)('GET', '/orders', { key })).status).toBe(401);
    expect(
      (await managementOf(fresh.apis.management)('GET', '/api-keys', { key: fresh.admin_key })).status,
    ).toBe(200);
    await fresh.stop();
    forget(first.stateDir);
  });
});
