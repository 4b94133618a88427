import { z } from 'zod';
import { Instant } from './api-key.schema.ts';

/** What is known of the flushes of one stage. */
export const FlushState = z.object({
  /** When the last one that succeeded began. */
  flushed_at: Instant.nullable().default(null),
  /** Nobody begins another one before: one is under way, or was just now, or failed. */
  next_flush_at: Instant.nullable().default(null),
});
export type FlushState = z.infer<typeof FlushState>;

/** The clocks of two functions differ by less, in milliseconds. */
const CLOCK_SKEW = 250;
/** One flush of a stage a second, however many ask. */
const SHORTEST_INTERVAL = 1_000;
/**
 * API Gateway's control plane takes 10 calls a second of the whole account, of which others need some: of all stages
 * together four flushes a second. https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
 */
const INTERVAL_PER_STAGE = 250;
/** A flush that never came back holds up the next one this long. */
export const LEASE_MS = 5_000;

/**
 * What is to be done for whoever needs a flush that began after `need`.
 *
 * @param need epoch milliseconds: when the change had been written
 * @returns `flushed`: somebody else's was late enough; `claim`: begin one; a number: milliseconds to wait
 */
export function decideFlush(
  { flushed_at, next_flush_at }: FlushState,
  need: number,
  now: number,
): 'flushed' | 'claim' | number {
  if (flushed_at !== null && Date.parse(flushed_at) >= need + CLOCK_SKEW) return 'flushed';
  const wait = next_flush_at === null ? 0 : Date.parse(next_flush_at) - now;
  return wait > 0 ? wait : 'claim';
}

/** Milliseconds from the beginning of one flush of a stage to that of the next. @param stages with a cache */
export function flushInterval(stages: number): number {
  return Math.max(SHORTEST_INTERVAL, stages * INTERVAL_PER_STAGE);
}
