import { setTimeout as sleepFor } from 'node:timers/promises';
import { type FlushCache, flushAuthorizerCache, isGone } from './authorizer-cache.ts';
import { logFailure } from './error-log.ts';
import { decideFlush, flushInterval, LEASE_MS } from './flush-state.ts';
import { changeFlushState, readFlushState } from './flush-table.ts';
import { instant } from './instant.ts';
import type { StageCache } from './stage.schema.ts';
import type { Stage } from './stage.ts';
import { readStages } from './stage-table.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** How long whoever revokes a key waits for the caches, in milliseconds; what is not flushed by then is `pending`. */
const AT_ONCE_MS = 2_500;
/** Stages that one request tries to flush itself: the control plane allows bursts of 40, of the whole account. */
const MOST_AT_ONCE = 8;
/** Milliseconds after which whoever waits for somebody else's flush looks again; half of it is random. */
const LOOK_AGAIN = 300;
/** Milliseconds to the next try of a flush that failed; twice as many each time. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 4_000;

export interface FlushTools {
  table?: KeyTable;
  flush?: FlushCache;
  /** Epoch milliseconds. */
  now?: () => number;
  sleep?: (ms: number) => Promise<unknown>;
}

/**
 * Flushes the cache of a stage, or waits for somebody who does. However many ask at once, one of them calls API
 * Gateway, and what they all know of it is in the table.
 *
 * @param need epoch milliseconds: a flush that began later is enough
 * @param limits `until`: epoch milliseconds after which nothing is tried again; `interval`: between flushes of a stage
 * @returns `pending` when it could not be done in time
 */
export async function flushStage(
  stage: Stage,
  need: number,
  limits: { until: number; interval: number },
  {
    table = environmentTable(),
    flush = flushAuthorizerCache,
    now = Date.now,
    sleep = sleepFor,
  }: FlushTools = {},
): Promise<'flushed' | 'pending'> {
  const { until, interval } = limits;
  const where = { api_id: stage.api_id, stage: stage.stage };
  for (let failures = 0; ; ) {
    const seen = await readFlushState(stage, table);
    const step = decideFlush(seen, need, now());
    if (step === 'flushed') return step;
    if (step === 'claim') {
      const began = now();
      const claimed = { ...seen, next_flush_at: instant(began + LEASE_MS) };
      if (await changeFlushState(stage, seen, claimed, table)) {
        try {
          await flush(stage).catch((error) => {
            if (!isGone(error)) throw error;
          });
          const done = { flushed_at: instant(began), next_flush_at: instant(began + interval) };
          await changeFlushState(stage, claimed, done, table);
          return 'flushed';
        } catch (error) {
          failures += 1;
          logFailure('flush_failed', error, where);
          const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures);
          await changeFlushState(stage, claimed, { next_flush_at: instant(now() + pause) }, table);
        }
      }
    }
    const wait = LOOK_AGAIN / 2 + (Math.random() * LOOK_AGAIN) / 2;
    const pause = typeof step === 'number' ? Math.max(1, Math.min(step, wait)) : wait;
    if (now() + pause >= until) return 'pending';
    await sleep(pause);
  }
}

/**
 * Flushes what API Gateway keeps, for whoever has just taken access away and is about to answer. Called after that was
 * written. What is not done in time the queue does: every change has its event (infra/flush.ts). So this never fails.
 *
 * @returns what became of each stage; null when it could not be found out which stages there are
 */
export async function flushAtOnce(tools: FlushTools = {}): Promise<StageCache[] | null> {
  const { table = environmentTable(), now = Date.now } = tools;
  const need = now();
  let answer: StageCache[] | null = null;

  const flushAll = async (): Promise<void> => {
    const stages = await readStages(need, table);
    const cached = stages.filter(({ is_cached }) => is_cached);
    const told = stages.map(({ api_id, stage, is_cached }): StageCache => {
      return { api_id, stage, cache: is_cached ? 'pending' : 'none' };
    });
    answer = told;
    const limits = { until: need + AT_ONCE_MS, interval: flushInterval(cached.length) };
    const tried = stages.flatMap((stage, i) => (stage.is_cached ? [{ stage, told: told[i]! }] : []));
    await Promise.all(
      tried.slice(0, MOST_AT_ONCE).map(async ({ stage, told }) => {
        told.cache = await flushStage(stage, need, limits, tools);
      }),
    );
  };

  const failed = flushAll().catch((error: unknown) => logFailure('flush_at_once_failed', error, {}));
  await Promise.race([failed, sleepFor(AT_ONCE_MS, undefined, { ref: false })]);
  // A copy: what is still under way changes nothing of what is being sent.
  return structuredClone(answer);
}
