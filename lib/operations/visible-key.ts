import type { ApiKeyRecord } from '../api-key.schema.ts';
import { type Caller, maySee } from '../caller.ts';
import { getKey } from '../key-table.ts';
import { NotFound } from '../problem.ts';

/**
 * The key of this id, read consistently.
 *
 * @throws NotFound also for a key of an owner that the caller does not act for: the answers are the same, byte for
 *   byte, so that ids of others cannot be told from ids of nobody
 */
export async function visibleKey(caller: Caller, id: string): Promise<ApiKeyRecord> {
  const record = await getKey(id);
  if (!record || !maySee(caller, record)) throw new NotFound();
  return record;
}
