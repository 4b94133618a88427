import type { z } from 'zod';
import { type FieldError, InvalidRequest, jsonPointer } from './problem.ts';

/** Where in a request the fields are: a body unless said. */
export type RequestPart = 'query' | 'header';

/** Beyond them nobody reads on, and the answer stays small. */
export const MOST_ERRORS = 50;

/** No field or metadata name is longer. What is may be a secret in the wrong place, and is not repeated. */
const LONGEST_NAME = 40;
/** A route, which may be longer and is no secret. */
const ROUTE = /^[A-Z]{3,7} \/[!-~]{0,511}$/;

const article = (noun: string): string => (/^[aeio]/.test(noun) ? `an ${noun}` : `a ${noun}`);

/** What a schema that has no words of its own says. None repeats what was sent. */
const wording: z.core.$ZodErrorMap = (issue) => {
  if (issue.code === 'invalid_type')
    return issue.input === undefined ? 'is required' : `must be ${article(issue.expected)}`;
  if (issue.code === 'invalid_value') return `must be one of: ${issue.values.join(', ')}`;
  if (issue.code === 'unrecognized_keys') return 'is not a known field; leave it out';
  if (issue.code === 'invalid_key') return 'has a name that is not allowed';
  return undefined;
};

/** One entry of a problem's `errors`; names too long to be ours are shown as `…`. */
export function fieldError(path: readonly PropertyKey[], detail: string, part?: RequestPart): FieldError {
  const shown = path.map((name) =>
    String(name).length > LONGEST_NAME && !ROUTE.test(String(name)) ? '…' : name,
  );
  return { ...(part && { in: part }), pointer: jsonPointer(shown), detail };
}

const errorsOf = (issue: z.core.$ZodIssue, part?: RequestPart): FieldError[] => {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => fieldError([...issue.path, key], issue.message, part));
  if (issue.code === 'invalid_key')
    return issue.issues.map(({ message }) => fieldError(issue.path, message, part));
  return [fieldError(issue.path, issue.message, part)];
};

/**
 * The value as the schema has it.
 *
 * @param part where the value was: only for the caller to find it
 * @throws InvalidRequest with a pointer to each wrong field, and what to change
 */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  part?: RequestPart,
): z.output<Schema> {
  const result = schema.safeParse(value, { error: wording });
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) => errorsOf(issue, part));
  // One thing to change for each field: what follows from it need not be said.
  const first = new Map(errors.toReversed().map((error) => [error.pointer, error]));
  throw new InvalidRequest([...first.values()].reverse().slice(0, MOST_ERRORS));
}
