import { z } from 'zod';
import { Instant } from './api-key.schema.ts';
import { type CanarySample, type CanaryStage, Measured, measured } from './canary-sample.ts';
import type { Heartbeat } from './status-table.ts';

/** What `GET /status` measures over. */
export const WINDOW_MS = 24 * 60 * 60 * 1000;

/** Between two runs of the canary there are five minutes: after two that are missing it does not run. */
const CANARY_SILENT_MS = 15 * 60 * 1000;
/** As the alarm PublishLag. */
const LATEST_PUBLISHING_SECONDS = 300;
/** Deliveries are looked for every minute, and put off by five. */
const DELIVERY_SILENT_MS = 5 * 60 * 1000;
const LATEST_DELIVERY_SECONDS = 600;

const Part = z.object({
  healthy: z.boolean().nullable().meta({ description: 'null: nothing is known of it yet.' }),
  last_run_at: Instant.nullable(),
});

export const Status = z
  .object({
    checked_at: Instant,
    revocation: z
      .object({
        since: Instant.meta({ description: 'The samples are those of the day since then.' }),
        cached: Measured,
        uncached: Measured,
        last_measured_at: Instant.nullable(),
      })
      .meta({
        description:
          'How long after its revocation a key was still let in, as the canary has measured it from outside, at a stage that keeps answers of the authorizer and at one that keeps none.',
      }),
    sweep: Part.extend({
      oldest_due_age_seconds: z
        .int()
        .min(0)
        .meta({ description: 'How long the longest waiting notice or end has been due.' }),
    }),
    publishing: Part.extend({
      lag_seconds: z
        .number()
        .nullable()
        .meta({ description: 'How long the last event took from its change to a queue behind the bus.' }),
    }),
    delivery: Part.extend({
      oldest_due_age_seconds: z
        .int()
        .min(0)
        .meta({ description: 'How long the longest waiting webhook has been due.' }),
    }),
  })
  .meta({ id: 'Status' });
export type Status = z.infer<typeof Status>;

export interface Observed {
  samples: Record<CanaryStage, CanarySample[]>;
  heartbeats: Record<'sweep' | 'publishing' | 'delivery', Heartbeat | undefined>;
  /** Since when the longest waiting one is due. */
  oldest: Record<'key' | 'delivery', string | undefined>;
}

const since = (at: string | undefined, now: number): number =>
  at === undefined ? 0 : Math.max(0, now - Date.parse(at));
const seconds = (ms: number): number => Math.floor(ms / 1000);

/**
 * What is known of the stack, in few words.
 *
 * @param now epoch milliseconds
 * @param sweepMinutes from one sweep to the next
 */
export function statusFrom(
  { samples, heartbeats, oldest }: Observed,
  now: number,
  sweepMinutes: number,
): Status {
  const { sweep, publishing, delivery } = heartbeats;
  const keyAge = seconds(since(oldest.key, now));
  const deliveryAge = seconds(since(oldest.delivery, now));
  const last = [...samples.cached, ...samples.uncached].map(({ measured_at }) => measured_at).toSorted();
  const lastMeasured = last.at(-1);
  // Each run makes events. Without the canary nobody can tell silence from nothing to publish.
  const eventsAreDue = lastMeasured !== undefined && since(lastMeasured, now) < CANARY_SILENT_MS;
  const publishingIsSilent = since(publishing?.beat_at, now) > CANARY_SILENT_MS;
  const twoSweeps = 2 * sweepMinutes * 60;
  const runOf = (beat: Heartbeat | undefined) => beat?.beat_at ?? null;
  return {
    checked_at: new Date(now).toISOString(),
    revocation: {
      since: new Date(now - WINDOW_MS).toISOString(),
      cached: measured(samples.cached),
      uncached: measured(samples.uncached),
      last_measured_at: lastMeasured ?? null,
    },
    sweep: {
      healthy: sweep
        ? seconds(since(sweep.beat_at, now)) <= twoSweeps && keyAge <= twoSweeps
        : keyAge > twoSweeps
          ? false
          : null,
      last_run_at: runOf(sweep),
      oldest_due_age_seconds: keyAge,
    },
    publishing: {
      healthy:
        !publishing || (publishingIsSilent && !eventsAreDue)
          ? null
          : !publishingIsSilent && publishing.late_seconds < LATEST_PUBLISHING_SECONDS,
      last_run_at: runOf(publishing),
      lag_seconds: publishing?.late_seconds ?? null,
    },
    delivery: {
      healthy: delivery
        ? since(delivery.beat_at, now) <= DELIVERY_SILENT_MS && deliveryAge < LATEST_DELIVERY_SECONDS
        : null,
      last_run_at: runOf(delivery),
      oldest_due_age_seconds: deliveryAge,
    },
  };
}
