import type { KeyState } from './management.ts';

/**
 * Whether a key is to be replaced now: at a part of its life, when its rotation is due, or when it was rotated and its successor got lost on
 * the way to the store. Never, when somebody else rotates it into the store: the client then follows the store.
 *
 * @param rotateAfter part of the life from creation to end, between 0 and 1
 * @param now epoch milliseconds
 */
export function isDue(
  { status, created_at, expires_at, rotation, rotation_due_at }: KeyState,
  rotateAfter: number,
  now: number,
): boolean {
  if (rotation?.deliver) return false;
  if (status === 'rotated') return true;
  if (rotation_due_at && now >= Date.parse(rotation_due_at)) return true;
  if (expires_at === null) return false;
  const start = Date.parse(created_at);
  return now >= start + (Date.parse(expires_at) - start) * rotateAfter;
}
