import { forget } from './running-stack.ts';

export default async function stopSharedStack(): Promise<void> {
  const stack = globalThis.sharedRekeyStack;
  if (!stack) return;
  await stack.stop();
  forget(stack.stateDir);
}
