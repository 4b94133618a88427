import type { StageDeclaration, StageRecord } from './stage.schema.ts';

/**
 * How long a stage counts as cached after its cache was turned off: the registration comes before the stage changes, a
 * deployment may take its time, and what lies in the cache may stay its time.
 */
const TURNED_OFF_MS = 24 * 60 * 60 * 1000;

/**
 * Decides what is kept of a registration.
 *
 * @param before what the same registration said last
 * @param now epoch milliseconds
 */
export function decideStage(
  before: StageRecord | undefined,
  declared: StageDeclaration,
  now: number,
): StageRecord {
  if (declared.cache_ttl_seconds > 0 || before === undefined) return { ...declared, cached_until: null };
  const turnedOff = before.cache_ttl_seconds > 0 ? new Date(now + TURNED_OFF_MS).toISOString() : null;
  return { ...declared, cached_until: turnedOff ?? before.cached_until };
}

/** Whether API Gateway may have an answer of the authorizer for this stage. `now` in epoch milliseconds. */
export function isCached({ cache_ttl_seconds, cached_until }: StageRecord, now: number): boolean {
  return cache_ttl_seconds > 0 || (cached_until !== null && Date.parse(cached_until) > now);
}

/** A stage, whoever registered it, and whether it has a cache. */
export interface Stage extends StageDeclaration {
  is_cached: boolean;
}

/**
 * Each stage once, by API and name. It is cached when any of its registrations says so: while a stack is being updated
 * it has two.
 */
export function stagesOf(records: readonly StageRecord[], now: number): Stage[] {
  const stages = new Map<string, Stage>();
  for (const { cached_until, ...declared } of records) {
    const name = `${declared.api_id}/${declared.stage}`;
    const is_cached = isCached({ ...declared, cached_until }, now);
    if (!stages.get(name)?.is_cached) stages.set(name, { ...declared, is_cached });
  }
  return [...stages.values()];
}
