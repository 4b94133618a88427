import type { Problem } from './problem.ts';
import { withoutKeys } from './secret-text.ts';

const causeOf = (cause: unknown): Record<string, unknown> | undefined => {
  if (cause === undefined) return undefined;
  if (!(cause instanceof Error)) return { message: withoutKeys(String(cause)) };
  // Named one by one: errors of clients carry the request and the answer.
  return { name: cause.name, message: withoutKeys(cause.message), stack: withoutKeys(cause.stack ?? '') };
};

/**
 * One line of JSON for one problem: `error` for a fault of ours, `info` for one of the caller's. Of the request it
 * has the id, and no header, body or query; the fields of a validation error are named, their values are not.
 */
export function logProblem(problem: Problem, where: Record<string, string>): void {
  const fault = problem.status >= 500;
  const line = {
    level: fault ? 'error' : 'info',
    event: 'problem',
    code: problem.code,
    status: problem.status,
    ...where,
    cause: causeOf(problem.cause),
  };
  (fault ? console.error : console.info)(JSON.stringify(line));
}

/** One line of JSON for something that failed and did not stop the rest. It says where, by ids. */
export function logFailure(event: string, error: unknown, where: Record<string, string>): void {
  console.error(JSON.stringify({ level: 'error', event, ...where, cause: causeOf(error) }));
}
