import { createHash } from 'node:crypto';
import type { ApiKeyRecord } from './api-key.schema.ts';
import { statusOf } from './api-key.ts';

const MS_PER_DAY = 86_400_000;
/** The last part of the time, over which keys that were made at once are spread. */
const SPREAD = 0.1;
/** Days between two reminders. */
const REMIND_EVERY_DAYS = 7;

/** How urgent each reminder is; there are no more than these. */
export const URGENCIES = ['notice', 'warning', 'critical', 'critical', 'critical'] as const;

type Rotated = Pick<ApiKeyRecord, 'id' | 'created_at' | 'rotation'>;

/** From 0 to 1, always the same for a key: ids begin with their time, so it is taken of a hash. */
const shareOf = (id: string): number =>
  createHash('sha256').update(`rotation ${id}`).digest().readUInt32BE() / 2 ** 32;

/**
 * When a key is to be rotated: `every_days` after it was made at the latest, and up to a tenth of that before, so that
 * keys that were made at once do not all come due at once.
 *
 * @returns null for a key that nobody wants rotated
 */
export function rotationDueAt({ id, created_at, rotation }: Rotated): string | null {
  if (rotation === null) return null;
  const after = rotation.every_days * MS_PER_DAY * (1 - SPREAD * shareOf(id));
  return new Date(Date.parse(created_at) + Math.floor(after)).toISOString();
}

/** When each reminder of a rotation is due that has not been sent yet. */
export function remindersOf({
  rotation_due_at,
  rotation_told = 0,
}: Pick<ApiKeyRecord, 'rotation_due_at' | 'rotation_told'>): { at: string; step: number }[] {
  if (rotation_due_at === null) return [];
  const due = Date.parse(rotation_due_at);
  return URGENCIES.map((_, step) => ({
    at: new Date(due + step * REMIND_EVERY_DAYS * MS_PER_DAY).toISOString(),
    step,
  })).slice(rotation_told);
}

/**
 * Whether a key that works and has not been rotated is older than it may be: by its own `every_days`, or by what the
 * stack allows.
 *
 * @param max_age_days undefined: the stack allows any age
 * @param now epoch milliseconds
 */
export function isOverdue(
  record: Rotated & Parameters<typeof statusOf>[0],
  max_age_days: number | undefined,
  now: number,
): boolean {
  const status = statusOf(record, now);
  if (status !== 'active' && status !== 'pending') return false;
  const days = Math.min(
    record.rotation?.every_days ?? Number.POSITIVE_INFINITY,
    max_age_days ?? Number.POSITIVE_INFINITY,
  );
  return now >= Date.parse(record.created_at) + days * MS_PER_DAY;
}
