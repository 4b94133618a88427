import type { StackFile } from './running-stack.ts';

/** Asks the control of a stack. @throws Error when it refuses */
async function ask({ control }: StackFile, method: string, path: string, body?: unknown): Promise<Response> {
  const answer = await fetch(control + path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

/** What the control of a stack answers; undefined when it has nothing to say. @throws Error when it refuses */
export async function askControl(
  stack: StackFile,
  method: string,
  path: string,
  body?: unknown,
  // biome-ignore lint/suspicious/noExplicitAny: each path has an answer of its own
): Promise<any> {
  const text = await (await ask(stack, method, path, body)).text();
  return text === '' ? undefined : JSON.parse(text);
}

/**
 * Invokes a function, past the APIs.
 *
 * @param name its id in the stack: `SweepKeys`
 * @returns `failed`: whether the function did, and not what asked for it
 */
export async function invokeFunction(
  stack: StackFile,
  name: string,
  event: object = {},
  // biome-ignore lint/suspicious/noExplicitAny: each function has an answer of its own
): Promise<{ failed: boolean; payload: any }> {
  const [, physical] = Object.entries(stack.functions).find(([id]) => id.includes(`/${name}`))!;
  const answer = await ask(stack, 'POST', `/2015-03-31/functions/${physical}/invocations`, event);
  const text = await answer.text();
  return {
    failed: answer.headers.has('x-amz-function-error'),
    payload: text === '' ? undefined : JSON.parse(text),
  };
}
