import type { Change, Event, EventType } from './event.schema.ts';
import { missingScopes } from './scope.ts';
import { LONGEST_CACHE_SECONDS } from './stage.schema.ts';

/** The events that can tell of lost access: the rule of infra/flush.ts takes them from the bus. */
export const LOSING_TYPES = [
  'api_key.revoked',
  'api_key.expired',
  'api_key.rotated',
  'api_key.updated',
  'api.updated',
  'api.deleted',
] as const satisfies EventType[];

/** Clocks differ, and an answer may be on its way. */
const MARGIN_MS = 60_000;

const lost = ({ field, from, to }: Change): boolean => {
  if (field === 'revoked_at') return to !== null;
  // The answers that were kept say the old end.
  if (field === 'expires_at') return to !== null && (from === null || String(to) < String(from));
  if (field === 'scopes') return missingScopes(to as string[], from as string[]).length > 0;
  return false;
};

/** Whether a key may do less, or less long, than what was answered about it before these changes. */
export function takesAccessAway(changes: readonly Change[]): boolean {
  return changes.some(lost);
}

/**
 * Whether an event means that what API Gateway keeps about its key, or of its API, is no longer true.
 *
 * @param event without `changes` when it was too large for the bus
 * @param now epoch milliseconds: what happened longer ago than an answer is ever kept, needs nothing any more
 */
export function needsFlush(
  { type, occurred_at, changes }: Pick<Event, 'type' | 'occurred_at'> & { changes?: Change[] | undefined },
  now: number,
): boolean {
  if (now - Date.parse(occurred_at) > LONGEST_CACHE_SECONDS * 1000 + MARGIN_MS) return false;
  if (type === 'api.updated')
    return changes === undefined || changes.some(({ field }) => field.startsWith('routes/'));
  if (type === 'api_key.updated') return changes === undefined || takesAccessAway(changes);
  return (LOSING_TYPES as readonly EventType[]).includes(type);
}
