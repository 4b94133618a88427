import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunningStack } from './running-stack.ts';
import { startRunningStack } from './running-stack.ts';

declare global {
  var sharedRekeyStack: RunningStack | undefined;
}

export default async function startSharedStack(): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), 'rekey-e2e-shared-'));
  globalThis.sharedRekeyStack = await startRunningStack({ stateDir });
  process.env.REKEY_E2E_STATE_DIR = stateDir;
}
