import { z } from 'zod';
import { Instant } from './api-key.schema.ts';

/** Whether the stage that was asked keeps answers of the authorizer. */
export const CANARY_STAGES = ['cached', 'uncached'] as const;
export type CanaryStage = (typeof CANARY_STAGES)[number];

/** What one run has measured at one stage. */
export const CanarySample = z.object({
  canary_stage: z.enum(CANARY_STAGES),
  measured_at: Instant,
  /** From when the revocation was written to the answer of the first of the refusals that were the last word. */
  refused_after_ms: z.int().min(0),
  /** It was still let in when the run gave up: the time is that of giving up. */
  gave_up: z.boolean(),
});
export type CanarySample = z.infer<typeof CanarySample>;

/** The samples of one stage, in few words. Milliseconds; null without samples. */
export const Measured = z
  .object({
    samples: z.int().min(0),
    gave_up: z
      .int()
      .min(0)
      .meta({ description: 'Runs in which the key was still let in after a minute; they count as that.' }),
    p50_ms: z.int().nullable(),
    p95_ms: z.int().nullable(),
    p99_ms: z.int().nullable(),
    max_ms: z.int().nullable(),
  })
  .meta({ id: 'Measured' });
export type Measured = z.infer<typeof Measured>;

/** The nearest rank: the smallest value that at least this part of all values does not exceed. */
function percentile(sorted: readonly number[], part: number): number | null {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? null;
}

export function measured(samples: readonly CanarySample[]): Measured {
  const sorted = samples.map(({ refused_after_ms }) => refused_after_ms).toSorted((a, b) => a - b);
  return {
    samples: samples.length,
    gave_up: samples.filter(({ gave_up }) => gave_up).length,
    p50_ms: percentile(sorted, 0.5),
    p95_ms: percentile(sorted, 0.95),
    p99_ms: percentile(sorted, 0.99),
    max_ms: sorted.at(-1) ?? null,
  };
}
