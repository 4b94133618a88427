import type { ApiKeyRecord } from './api-key.schema.ts';
import { isValid } from './api-key.ts';
import { isOver, type Line, neighboursOf } from './compromise.ts';
import { logFailure } from './error-log.ts';
import type { Origin } from './event.ts';
import { getKey, lineage, revokeKey } from './key-table.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** Keys that are worked on at the same time. */
const CONCURRENCY = 16;
const PAGE = 250;

/** What became of a line, or of as much of it as there was time for. */
export interface LineResult {
  /** The keys that were valid when they were come to. */
  stopped: ApiKeyRecord[];
  /** Whether every key of the line was come to, and none failed. */
  finished: boolean;
}

/**
 * Comes to every key of a line, each read consistently. The index gives the line however large it is, and also over
 * gaps that DynamoDB's TTL has left. What the index does not know yet is found by the keys' own links: a successor and
 * the link to it are one transaction, and a key that is revoked gets no other. So with a `deal` that revokes, a
 * rotation at the same moment either fails, or its successor is come to.
 *
 * @param deal gives the key as it is afterwards; not asked of keys that nothing can come of any more
 * @param run `now`: epoch milliseconds; `hasTime`: asked before each step
 */
export async function eachOfLine(
  line: Line,
  deal: (record: ApiKeyRecord) => Promise<ApiKeyRecord>,
  run: { now: number; hasTime: () => boolean },
  table: KeyTable = environmentTable(),
): Promise<LineResult> {
  const result: LineResult = { stopped: [], finished: true };
  const known = new Set<string>([line.key_id]);
  const links = new Set<string>();

  const visit = async (id: string): Promise<void> => {
    try {
      const record = await getKey(id, table);
      if (!record) return;
      const after = isOver(record, run.now) ? record : await deal(record);
      if (isValid(record, run.now)) result.stopped.push(after);
      for (const linked of neighboursOf(line, after)) links.add(linked);
    } catch (error) {
      result.finished = false;
      logFailure('line_key_failed', error, { api_key_id: id });
    }
  };
  const visitAll = async (ids: string[]): Promise<void> => {
    for (let at = 0; at < ids.length; at += CONCURRENCY) {
      if (!run.hasTime()) {
        result.finished = false;
        return;
      }
      await Promise.all(ids.slice(at, at + CONCURRENCY).map(visit));
    }
  };

  await visit(line.key_id);
  if (line.from_generation === null) return result;

  let after: number | undefined = line.from_generation - 1;
  while (after !== undefined && run.hasTime()) {
    const page: Awaited<ReturnType<typeof lineage>> = await lineage(
      { root_key_id: line.root_key_id, limit: PAGE, after },
      table,
    );
    const news = page.keys.filter(({ id }) => !known.has(id));
    for (const key of news) {
      known.add(key.id);
      // What the index says of a key that is over is final.
      if (isOver(key, run.now)) for (const linked of neighboursOf(line, key)) links.add(linked);
    }
    await visitAll(news.filter((key) => !isOver(key, run.now)).map(({ id }) => id));
    after = page.last;
  }
  if (after !== undefined) result.finished = false;

  for (let unknown = fresh(); unknown.length > 0 && run.hasTime(); unknown = fresh()) {
    for (const id of unknown) known.add(id);
    await visitAll(unknown);
  }
  if (fresh().length > 0) result.finished = false;
  return result;

  function fresh(): string[] {
    return [...links].filter((id) => !known.has(id));
  }
}

/** Ends every key of a line for ever; again changes nothing. */
export const revokeLine = (
  line: Line,
  revocation: { reason: string; retention_days: number },
  origin: Origin,
  hasTime: () => boolean,
  table: KeyTable = environmentTable(),
): Promise<LineResult> =>
  eachOfLine(
    line,
    (record) => revokeKey(record, revocation, origin, table),
    { now: origin.now, hasTime },
    table,
  );
