import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { logFailure } from './error-log.ts';
import { sameDigest } from './key-format.ts';
import { getKey, revokeKey, tell } from './key-table.ts';
import { actionOn, isLeakNews, LEAKED, type LeakedKey, LeakReport, type OnLeak } from './leak.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** Tries to tell of a leak while others change the key. */
const MOST_TRIES = 4;

/**
 * Does with reported keys what the stack says: each that is known, with the very secret that was reported, is revoked
 * and told of. Everything else was a guess, a typo or another stack's, and leaves no trace.
 *
 * @returns the messages to be received again
 */
export async function actOnLeaks(
  { Records }: Pick<SQSEvent, 'Records'>,
  run: { now: () => number; on_leak: OnLeak; retention_days: number },
  table: KeyTable = environmentTable(),
): Promise<SQSBatchResponse> {
  const { now, on_leak, retention_days } = run;

  const act = async (leaked: LeakedKey, { keys: _keys, found_by, ...from }: LeakReport): Promise<void> => {
    const { id, digest, found_at } = leaked;
    const seen = id === null ? undefined : await getKey(id, table);
    if (!seen || !sameDigest(seen.digest, digest)) return;
    const origin = { ...from, now: now() };
    const action = actionOn(seen, on_leak, origin.now);
    // First what protects; whoever ends here on the way comes again, finds it done, and tells.
    let record =
      action === 'revoked' ? await revokeKey(seen, { reason: LEAKED, retention_days }, origin, table) : seen;
    for (let tries = 1; isLeakNews(record, origin.now); tries++) {
      const data = { found_by, found_at, action: record.revoked_reason === LEAKED ? 'revoked' : action };
      if (await tell(record, { type: 'api_key.leaked', noted: 'leaked_at', data }, origin, table)) return;
      if (tries === MOST_TRIES) throw new Error(`the leak of ${record.id} could not be told`);
      record = (await getKey(record.id, table)) ?? record;
    }
  };

  const settled = await Promise.allSettled(
    Records.map(async ({ body }) => {
      const report = LeakReport.parse(JSON.parse(body));
      for (const leaked of report.keys) await act(leaked, report);
    }),
  );
  return {
    batchItemFailures: settled.flatMap((outcome, i) => {
      if (outcome.status === 'fulfilled') return [];
      logFailure('leak_report_failed', outcome.reason, { message_id: Records[i]!.messageId });
      return [{ itemIdentifier: Records[i]!.messageId }];
    }),
  };
}
