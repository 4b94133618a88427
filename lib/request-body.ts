import { isUtf8 } from 'node:buffer';
import { InvalidRequest, PayloadTooLarge } from './problem.ts';
import { fieldError, MOST_ERRORS, type RequestPart } from './validate.ts';

/** 16 KB unless an operation says more, as bytes of the body itself, however API Gateway wrapped it. */
export const LARGEST_BODY = 16_384;

/** No body of ours is deeper than an object in an object. */
const DEEPEST = 32;

/** Members that turn into something else than data where they are assigned or merged. */
const FORBIDDEN_MEMBERS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** The text of a key, of whatever prefix; docs/key-format.md. The checksum is not looked at: near misses are refused too. */
const KEY_TEXT = /[a-z]{2,12}_(?:live|test)_[0-9A-Za-z]{71}/;

/**
 * The body as text; empty when there is none.
 *
 * @param largest bytes
 * @throws PayloadTooLarge, InvalidRequest when its bytes are not UTF-8
 */
export function bodyText(
  {
    body,
    isBase64Encoded,
  }: {
    body?: string | null | undefined;
    isBase64Encoded?: boolean | undefined;
  },
  largest = LARGEST_BODY,
): string {
  if (!body) return '';
  // Base64 has four characters for three bytes, so a longer text need not be decoded to know.
  if (body.length > largest * 2) throw new PayloadTooLarge(largest);
  const bytes = Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8');
  if (bytes.length > largest) throw new PayloadTooLarge(largest);
  if (!isUtf8(bytes)) throw new InvalidRequest([fieldError([], 'must be JSON in UTF-8')]);
  return bytes.toString('utf8');
}

/**
 * Refuses what no schema should have to think of, at any depth: `__proto__`, `constructor` and `prototype` as the
 * name of a member, and, unless the operation is there to take one, the text of a key, which would be stored and
 * shown to others. Without recursion, because the sender chooses the depth.
 *
 * @throws InvalidRequest with a pointer to each, and to the first fifty of many
 */
export function refuseUnsafe(
  sent: unknown,
  { takesKey = false, part }: { takesKey?: boolean; part?: RequestPart } = {},
): void {
  const errors = [];
  const open: { value: unknown; path: readonly string[] }[] = [{ value: sent, path: [] }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, path } = next;
    if (typeof value === 'string' && !takesKey && KEY_TEXT.test(value))
      errors.push(fieldError(path, 'must not contain an API key; if this is a real one, revoke it', part));
    if (typeof value !== 'object' || value === null) continue;
    if (path.length === DEEPEST)
      throw new InvalidRequest([fieldError([], 'must not be nested so deeply', part)]);

    for (const name of Object.keys(value)) {
      if (FORBIDDEN_MEMBERS.has(name))
        errors.push(fieldError([...path, name], 'must not be there: this name is refused anywhere', part));
      else if (!takesKey && KEY_TEXT.test(name))
        errors.push(
          fieldError([...path, name], 'must not be an API key; if this is a real one, revoke it', part),
        );
      open.push({ value: (value as Record<string, unknown>)[name], path: [...path, name] });
    }
  }
  if (errors.length > 0) throw new InvalidRequest(errors.slice(0, MOST_ERRORS));
}
