import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunningStack } from './running-stack.ts';
import { startRunningStack } from './running-stack.ts';

const SCOPES = [
  ...['a:b', 'nothing:here', 'customers:read', 'invoices:read', 'refunds:read', 'orders:list'],
  ...Array.from({ length: 100 }, (_, i) => `orders:action-${i}`),
];

declare global {
  var sharedRekeyStack: RunningStack | undefined;
}

export default async function startSharedStack(): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), 'rekey-e2e-shared-'));
  const stack = await startRunningStack({ stateDir });
  globalThis.sharedRekeyStack = stack;
  process.env.REKEY_E2E_STATE_DIR = stateDir;
  // After a setup that failed nothing is torn down.
  await knowScopes(stack).catch(async (error: unknown) => {
    await stack.stop();
    throw error;
  });
}

/** Keys of the tests have scopes that no API of the stack knows, so one is registered that does. */
async function knowScopes({ apis, admin_key }: RunningStack): Promise<void> {
  const scopes = Object.fromEntries(SCOPES.map((scope) => [scope, 'For the tests']));
  const body = JSON.stringify({ routes: {}, scopes });
  const headers = { 'x-api-key': admin_key, 'content-type': 'application/json' };
  for (let tries = 1; ; tries++) {
    const answer = await fetch(`${apis.management}/apis/tests`, { method: 'PUT', headers, body });
    if (answer.ok) return;
    // A machine that is busy with other things may answer in time no more.
    if (answer.status < 500 || tries === 10)
      throw new Error(`the scopes of the tests are not registered: ${await answer.text()}`);
    await new Promise((later) => setTimeout(later, 500 * tries));
  }
}
