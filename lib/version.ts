import type { ApiKeyRecord } from './api-key.schema.ts';

/** The first use is the one change of a key that leaves its version alone. */
type Versioned = Pick<ApiKeyRecord, 'version'> & Partial<Pick<ApiKeyRecord, 'first_used_at'>>;

const lastChange = ({ version, first_used_at = null }: Versioned): number =>
  first_used_at === null ? version : Math.max(version, Date.parse(first_used_at));

/**
 * The version of a record after a change: the millisecond of that change, and more than the change before it. So it is
 * ahead of the clock when two changes fall into one millisecond, when the clock of whoever made the last one is ahead,
 * or when this change had to be decided again after another one. Every change is conditional on the version it was
 * decided from, so versions of one record, and with them the times and ids of its events, only grow.
 *
 * @param now epoch milliseconds
 */
export const nextVersion = (before: Versioned, now: number): number => Math.max(now, lastChange(before) + 1);

/** When the event of a change occurred, in epoch milliseconds. @param after the record as it is after the change */
export const eventTime = (after: Versioned, now: number): number => Math.max(now, lastChange(after));

/** When a key was first used, in the same order as its other changes. @param now epoch milliseconds */
export const firstUseOf = (before: Versioned, now: number): string =>
  new Date(nextVersion(before, now)).toISOString();
