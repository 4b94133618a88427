import { z } from 'zod';
import { KeyId } from './api-key.schema.ts';
import { lineOf } from './compromise.ts';
import { beginCompromise, endCompromise } from './compromise-table.ts';
import { systemOrigin } from './event.ts';
import { getKey } from './key-table.ts';
import { revokeLine } from './line.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** What the bus tells of a reuse. The key itself is read: it may have been told otherwise since. */
export const ReuseOnBus = z.object({
  'detail-type': z.literal('api_key.reuse_detected'),
  detail: z.object({
    api_key_id: KeyId,
    request_id: z.string().nullable(),
    source_ip: z.string().nullable(),
    user_agent: z.string().nullable(),
  }),
});

/** The reason that the keys of the line are revoked with. */
export const REUSE_DETECTED = 'reuse_detected';

/**
 * Ends the line of a key that was used again, if the key is to do that. Twice changes nothing: a line that is ended
 * has no valid key and gets none.
 */
export async function revokeReused(
  { api_key_id, ...from }: z.infer<typeof ReuseOnBus>['detail'],
  run: { now: number; hasTime: () => boolean; retention_days: number },
  table: KeyTable = environmentTable(),
): Promise<void> {
  const record = await getKey(api_key_id, table);
  if (record?.on_reuse !== 'revoke_family') return;
  const line = lineOf(record, undefined, 'family');
  const origin = { ...systemOrigin('finish-compromises', run.now), ...from };
  const begun = await beginCompromise(line, REUSE_DETECTED, origin, table);
  const revocation = { reason: REUSE_DETECTED, retention_days: run.retention_days };
  const { finished } = await revokeLine(line, revocation, origin, run.hasTime, table);
  if (finished) await endCompromise(begun.id, table);
}
