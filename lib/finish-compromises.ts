import type { CompromiseRecord } from './compromise-table.ts';
import { dueCompromises, endCompromise, getCompromise } from './compromise-table.ts';
import { logFailure } from './error-log.ts';
import { revokeLine } from './line.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

export interface Finished {
  /** Compromises that were brought to their end. */
  finished: number;
  /** Compromises that are left for the next time. */
  unfinished: number;
  /** How long the oldest of those has been under way. */
  oldest_seconds: number;
}

/**
 * Brings to its end what a request began and did not finish: it crashed, or the line is too large for a request. Any
 * number may run at once, and each may be killed anywhere: a key is revoked once.
 */
export async function finishCompromises(
  run: { now?: () => number; hasTime: () => boolean; retention_days: number },
  table: KeyTable = environmentTable(),
): Promise<Finished> {
  const { now = Date.now, hasTime, retention_days } = run;
  const result: Finished = { finished: 0, unfinished: 0, oldest_seconds: 0 };
  for await (const { pk } of dueCompromises(now(), table)) {
    const begun = await getCompromise(pk, table);
    if (!begun) continue;
    if (hasTime() && (await finish(begun))) {
      result.finished += 1;
      continue;
    }
    result.unfinished += 1;
    const seconds = Math.floor((now() - Date.parse(begun.started_at)) / 1000);
    result.oldest_seconds = Math.max(result.oldest_seconds, seconds);
  }
  return result;

  async function finish(begun: CompromiseRecord): Promise<boolean> {
    const { actor, request_id, source_ip, user_agent, reason, ...line } = begun;
    const origin = { actor, request_id, source_ip, user_agent, now: now() };
    try {
      const { finished } = await revokeLine(line, { reason, retention_days }, origin, hasTime, table);
      if (finished) await endCompromise(begun.id, table);
      return finished;
    } catch (error) {
      logFailure('compromise_failed', error, { compromise_id: begun.id, api_key_id: begun.key_id });
      return false;
    }
  }
}
