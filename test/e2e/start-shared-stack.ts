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
  globalThis.sharedRekeyStack = await startRunningStack({ stateDir });
  process.env.REKEY_E2E_STATE_DIR = stateDir;
  await knowScopes(globalThis.sharedRekeyStack);
}

/** Keys of the tests have scopes that no API of the stack knows, so one is registered that does. */
async function knowScopes({ apis, admin_key }: RunningStack): Promise<void> {
  const scopes = Object.fromEntries(SCOPES.map((scope) => [scope, 'For the tests']));
  const answer = await fetch(`${apis.management}/apis/tests`, {
    method: 'PUT',
    headers: { 'x-api-key': admin_key, 'content-type': 'application/json' },
    body: JSON.stringify({ routes: {}, scopes }),
  });
  if (!answer.ok) throw new Error(`the scopes of the tests are not registered: ${await answer.text()}`);
}
