import { createHash } from 'node:crypto';
import type { ApiKeyRecord } from './api-key.schema.ts';
import { statusOf } from './api-key.ts';
import { instant } from './instant.ts';

const MS_PER_DAY = 86_400_000;
/** The last part of the time, over which keys that were made at once are spread. */
const SPREAD = 0.1;
/** Days between two reminders. */
const REMIND_EVERY_DAYS = 7;

/**
 * How long a delivery may take until somebody is told: Secrets Manager tries a rotation again by itself, but not for
 * ever.
 */
const DELIVERY_DAYS = 1;

/** How urgent each reminder is; there are no more than these. */
const URGENCIES = ['notice', 'warning', 'critical', 'critical', 'critical'] as const;

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
  return instant(Date.parse(created_at) + Math.floor(after));
}

/** Something to do about a rotation that is due: to remind, or first of all to ask for its delivery. */
export interface PlanStep {
  at: string;
  /** Counts the steps of a key. */
  step: number;
  /** Absent: the delivery is asked for, and nobody is told. */
  reminder?: { urgency: (typeof URGENCIES)[number]; reminder: number };
}

type Reminded = Pick<ApiKeyRecord, 'rotation' | 'rotation_due_at' | 'rotation_told'>;

/** What is to be done about a rotation, and has not been done yet. */
export function planSteps({ rotation, rotation_due_at, rotation_told = 0 }: Reminded): PlanStep[] {
  if (rotation_due_at === null) return [];
  const due = Date.parse(rotation_due_at);
  const delivered = rotation?.deliver !== undefined;
  const first = delivered ? due + DELIVERY_DAYS * MS_PER_DAY : due;
  const reminders = URGENCIES.map((urgency, reminder) => ({
    at: first + reminder * REMIND_EVERY_DAYS * MS_PER_DAY,
    reminder: { urgency, reminder },
  }));
  return [...(delivered ? [{ at: due }] : []), ...reminders]
    .map(({ at, ...rest }, step) => ({ at: instant(at), step, ...rest }))
    .slice(rotation_told);
}

/**
 * What a sweep does about a key that has a step due. After a time without sweeps one reminder is enough, the most urgent;
 * but a delivery that nobody has asked for is asked for first, and has its time from then on.
 *
 * @param now epoch milliseconds
 */
export function duePlanStep(
  record: Reminded,
  now: number,
): { step: PlanStep; changes: Pick<ApiKeyRecord, 'rotation_due_at' | 'rotation_told'> } {
  const steps = planSteps(record) as [PlanStep, ...PlanStep[]];
  const isPast = ({ at }: PlanStep) => Date.parse(at) <= now;
  const asks = steps[0].reminder === undefined;
  const step = asks ? steps[0] : (steps.findLast(isPast) ?? steps[0]);
  const isLate = asks && steps[1] !== undefined && isPast(steps[1]);
  return {
    step,
    changes: {
      rotation_due_at: isLate ? instant(now) : record.rotation_due_at,
      rotation_told: step.step + 1,
    },
  };
}

/**
 * When a key is counted next among those that are older than the stack allows: once it is, and then every day, so that
 * what is counted in a day is how many there are.
 */
export function nextCountAt(
  { created_at, overdue_counted_at }: Pick<ApiKeyRecord, 'created_at' | 'overdue_counted_at'>,
  max_age_days: number,
): string {
  const first = Date.parse(created_at) + max_age_days * MS_PER_DAY;
  const counted =
    overdue_counted_at === undefined ? -1 : (Date.parse(overdue_counted_at) - first) / MS_PER_DAY;
  return instant(first + Math.max(0, Math.floor(counted) + 1) * MS_PER_DAY);
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
