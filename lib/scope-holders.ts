import { ListedKey } from './api-key.schema.ts';
import { isValid } from './api-key.ts';
import { factsOfItem } from './key-item.ts';
import { covers } from './scope.ts';
import { type KeyTable, names, scan } from './table-client.ts';
import { BY_OWNER } from './table-layout.ts';

/** Read at the same time: a million keys take some ten seconds. */
const SEGMENTS = 8;
/** Milliseconds. API Gateway waits 29 s, and the answer has to be written too. */
const LONGEST_COUNT = 15_000;

/** Just what counting needs. */
const Counted = ListedKey.pick({
  scopes: true,
  expires_at: true,
  rotated_at: true,
  revoked_at: true,
  pending_until: true,
});
/** All that a role that counts may read of a key. */
export const HOLDER_FIELDS = Object.keys(Counted.shape);

export interface Holders {
  scope: string;
  /** Keys that are valid now and hold it by its name. */
  active_keys: number;
  /** Keys that are valid now and hold it by a wildcard only. */
  active_keys_by_wildcard: number;
}

/**
 * Counts the keys of all owners that hold these scopes, by a scan of an index with a few fields of each key: a key
 * that was made a moment ago may be missing.
 *
 * @param now epoch milliseconds
 * @returns `complete`: whether all keys were looked at before time was up
 */
export async function countHolders(
  scopes: readonly string[],
  now: number,
  table: KeyTable,
  longest = LONGEST_COUNT,
): Promise<{ holders: Holders[]; complete: boolean }> {
  const counts = new Map(
    scopes.map((scope) => [scope, { scope, active_keys: 0, active_keys_by_wildcard: 0 }]),
  );
  const count = (item: Record<string, unknown>): void => {
    const key = Counted.parse(factsOfItem(item));
    if (!isValid(key, now)) return;
    const byName = new Set(key.scopes);
    for (const grant of key.scopes) {
      const held = counts.get(grant);
      if (held) held.active_keys += 1;
    }
    const patterns = key.scopes.filter((grant) => grant.includes('*'));
    if (patterns.length === 0) return;
    for (const [scope, held] of counts)
      if (!byName.has(scope) && patterns.some((grant) => covers(grant, scope)))
        held.active_keys_by_wildcard += 1;
  };

  const deadline = performance.now() + longest;
  const segment = async (Segment: number): Promise<boolean> => {
    let from: Record<string, unknown> | undefined;
    do {
      if (performance.now() > deadline) return false;
      const page = await scan(table, {
        IndexName: BY_OWNER,
        Segment,
        TotalSegments: SEGMENTS,
        ProjectionExpression: HOLDER_FIELDS.map((field) => `#${field}`).join(', '),
        ExpressionAttributeNames: names(...HOLDER_FIELDS),
        ExclusiveStartKey: from,
      });
      for (const item of page.Items ?? []) count(item);
      from = page.LastEvaluatedKey;
    } while (from);
    return true;
  };
  const ended = await Promise.all(Array.from({ length: SEGMENTS }, (_, index) => segment(index)));
  return { holders: [...counts.values()], complete: ended.every(Boolean) };
}
