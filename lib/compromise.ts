import type { ApiKeyRecord } from './api-key.schema.ts';
import { endOf } from './api-key.ts';

/** What a compromise ends: the key; also all that came from it by rotation; or the whole line. */
export type CompromiseScope = 'key' | 'subtree' | 'family';

/** The keys of a compromise, as a part of one line. */
export interface Line {
  scope: CompromiseScope;
  /** The key that it began with. */
  key_id: string;
  root_key_id: string;
  /** The first generation that is of it, beside the key itself; null: the key alone. */
  from_generation: number | null;
}

/** Clocks differ by less. What ended longer ago looks alive to nobody, so nobody rotates or restores it any more. */
const CLOCKS_DIFFER_MS = 3_600_000;

/**
 * Which part of its line is ended with a key. Lines do not fork: all later generations came from the key, unless it
 * was itself dropped from the line by a cancelled rotation.
 *
 * @param parent the key that `parent_key_id` names, if it still exists
 */
export function lineOf(
  record: Pick<ApiKeyRecord, 'id' | 'root_key_id' | 'generation'>,
  parent: Pick<ApiKeyRecord, 'successor_key_id'> | undefined,
  scope: CompromiseScope,
): Line {
  const dropped = parent !== undefined && parent.successor_key_id !== record.id;
  const from = { key: null, subtree: dropped ? null : record.generation + 1, family: 0 }[scope];
  return { scope, key_id: record.id, root_key_id: record.root_key_id, from_generation: from };
}

/** The keys beside a key that are ended with it. Read from the key itself they are certain; an index may not know them yet. */
export function neighboursOf(
  { scope }: Pick<Line, 'scope'>,
  record: Pick<ApiKeyRecord, 'parent_key_id' | 'successor_key_id'>,
): string[] {
  const { parent_key_id, successor_key_id } = record;
  const linked: (string | null)[] = {
    key: [],
    subtree: [successor_key_id],
    family: [successor_key_id, parent_key_id],
  }[scope];
  return linked.filter((id): id is string => id !== null);
}

/**
 * Whether nothing can come of the key any more: it is revoked, or ended so long ago that no clock takes it for alive.
 *
 * @param now epoch milliseconds
 */
export function isOver(record: Pick<ApiKeyRecord, 'revoked_at' | 'expires_at'>, now: number): boolean {
  if (record.revoked_at !== null) return true;
  const end = endOf(record);
  return end !== null && Date.parse(end) < now - CLOCKS_DIFFER_MS;
}
