import { setTimeout as sleepFor } from 'node:timers/promises';
import { CANARY_STAGES, type CanarySample, type CanaryStage } from './canary-sample.ts';
import type { Origin } from './event.ts';
import { flushAtOnce } from './flush.ts';
import { createKey, getKey, revokeKey } from './key-table.ts';
import { newKey } from './new-key.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** Whose the canary's keys are: nobody's list has them but that of this owner, and no webhook tells of them. */
export const CANARY_OWNER = 'rekey-canary';
export const CANARY_SCOPE = 'rekey-canary:ask';

/** A key that a run could not revoke ends by itself. */
const LIFE_MS = 60 * 60 * 1000;
/** Days for which its record and its events are kept. */
const KEPT_DAYS = 1;
/** Milliseconds. */
const ANSWER_TIMEOUT = 5_000;
const BETWEEN_REQUESTS = 50;
const GIVE_UP_AFTER = 60_000;
const USABLE_WITHIN = 15_000;
/** A refusal counts when these many follow one another: another server of API Gateway may have another cache. */
const REFUSALS = 3;

/** Sends the key to a stage. @returns the status; 0 when there was no answer */
export type Ask = (url: string, key: string) => Promise<number>;

const ask: Ask = async (url, key) => {
  try {
    const answer = await fetch(url, {
      headers: { 'x-api-key': key },
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_TIMEOUT),
    });
    await answer.body?.cancel();
    return answer.status;
  } catch {
    return 0;
  }
};

const isAllowed = (status: number): boolean => status >= 200 && status < 300;
const isRefused = (status: number): boolean => status === 401 || status === 403;

/**
 * Makes a key, uses it, revokes it, and asks until it is refused, through API Gateway, at a stage that keeps answers and
 * at one that keeps none. The key's text is in this call's memory and in the requests, nowhere else.
 *
 * @returns what was measured at each stage
 * @throws Error when the key could not be used to begin with
 */
export async function runCanary(
  urls: Record<CanaryStage, string>,
  prefix: string,
  origin: Origin,
  {
    send = ask,
    sleep = sleepFor,
    clock = () => performance.now(),
    flush = flushAtOnce,
    ...given
  }: {
    send?: Ask;
    sleep?: (ms: number) => Promise<unknown>;
    /** Milliseconds of any beginning. */
    clock?: () => number;
    flush?: () => Promise<unknown>;
    table?: KeyTable;
  } = {},
): Promise<CanarySample[]> {
  const table = { ...(given.table ?? environmentTable()), eventRetentionDays: KEPT_DAYS };
  const { key, record } = newKey(
    {
      owner_id: CANARY_OWNER,
      owner_access: 'own',
      name: 'Canary',
      environment: 'live',
      scopes: [CANARY_SCOPE],
      expires_at: new Date(origin.now + LIFE_MS).toISOString(),
      metadata: {},
      notify_days_before: null,
      created_by: origin.actor,
    },
    origin.now,
    { key_prefix: prefix, retention_days: KEPT_DAYS, notify_days_before: [] },
  );
  await createKey(record, origin, undefined, table);
  const text = key.reveal();
  const revoke = async (): Promise<void> => {
    const seen = (await getKey(record.id, table)) ?? record;
    await revokeKey(seen, { reason: 'canary', retention_days: KEPT_DAYS }, origin, table);
  };
  try {
    await Promise.all(CANARY_STAGES.map((stage) => use(urls[stage])));
  } catch (error) {
    await revoke();
    throw error;
  }
  await revoke();
  const revoked = clock();
  const [samples] = await Promise.all([
    Promise.all(CANARY_STAGES.map((stage) => untilRefused(stage, urls[stage]))),
    // As whoever revokes a key does.
    flush(),
  ]);
  return samples;

  /** Twice: what the first one leaves in a cache, the second one takes from it. */
  async function use(url: string): Promise<void> {
    const end = clock() + USABLE_WITHIN;
    for (let allowed = 0; allowed < 2; ) {
      const status = await send(url, text);
      if (isAllowed(status)) allowed += 1;
      else if (clock() > end) throw new Error(`The canary's key is not let in: ${url} answers ${status}`);
      else await sleep(BETWEEN_REQUESTS);
    }
  }

  async function untilRefused(canary_stage: CanaryStage, url: string): Promise<CanarySample> {
    const measured_at = new Date(origin.now).toISOString();
    let refusals = 0;
    let first = 0;
    for (;;) {
      const status = await send(url, text);
      const after = Math.round(clock() - revoked);
      if (isRefused(status)) {
        if (refusals === 0) first = after;
        refusals += 1;
      } else refusals = 0;
      if (refusals === REFUSALS)
        return { canary_stage, measured_at, refused_after_ms: first, gave_up: false };
      if (after > GIVE_UP_AFTER) return { canary_stage, measured_at, refused_after_ms: after, gave_up: true };
      await sleep(BETWEEN_REQUESTS);
    }
  }
}
