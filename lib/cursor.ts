import { createHmac, timingSafeEqual } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import { InvalidCursor } from './problem.ts';

/** What a cursor is good for: this caller asking this query, nobody and nothing else. */
export interface CursorBinding {
  operation: string;
  caller_key_id: string;
  /** Every parameter but the cursor itself, as the operation understood them. */
  query: Record<string, unknown>;
}

/** A position: the id of a key or a generation. */
export type Position = string | number;

/** Longer than any cursor that is made here: 27 characters of id in JSON, and 43 of signature. */
const LONGEST = 256;
const FORM = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/;

const signatureOf = (payload: string, bound: CursorBinding, secret: Uint8Array): Buffer => {
  const { operation, caller_key_id, query } = bound;
  // As one JSON text, so that no part can flow over into the next.
  const text = canonicalJson(['rekey cursor 1', operation, caller_key_id, query, payload]);
  return createHmac('sha256', secret).update(text).digest();
};

/**
 * A position as an opaque text, `base64url(JSON).base64url(HMAC-SHA256)`. It is signed, not encrypted: a position is
 * an id of the caller's own list.
 *
 * @param secret from `cursorSecret`
 */
export function signCursor(after: Position, bound: CursorBinding, secret: Uint8Array): string {
  const payload = Buffer.from(JSON.stringify({ after })).toString('base64url');
  return `${payload}.${signatureOf(payload, bound, secret).toString('base64url')}`;
}

/**
 * The position in a cursor that was made by `signCursor` with the same binding.
 *
 * @throws InvalidCursor for anything else: cut, forged, another caller's, another query's
 */
export function readCursor(text: string, bound: CursorBinding, secret: Uint8Array): Position {
  const [, payload, signature] = (text.length <= LONGEST && FORM.exec(text)) || [];
  if (payload === undefined || signature === undefined) throw new InvalidCursor();
  const given = Buffer.from(signature, 'base64url');
  // The last character of 43 has two bits too many, which decoding drops: only the one spelling counts.
  if (given.toString('base64url') !== signature) throw new InvalidCursor();
  if (!timingSafeEqual(given, signatureOf(payload, bound, secret))) throw new InvalidCursor();
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { after: Position }).after;
}
