import { type CursorBinding, readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';

/**
 * One page of a list that has so few entries that all are read, whatever the page.
 *
 * @param list `read`: all entries, in order; `positionOf`: what a cursor remembers of one; `isAfter`: that order
 * @param query `cursor`: absent for the first page
 * @throws InvalidCursor, before anything is read
 */
export async function pageOfAll<Entry>(
  list: {
    read: () => Promise<Entry[]>;
    positionOf: (entry: Entry) => string;
    isAfter: (position: string, after: string) => boolean;
  },
  { limit, cursor }: { limit: number; cursor?: string | undefined },
  bound: CursorBinding,
): Promise<{ data: Entry[]; next_cursor: string | null }> {
  const { read, positionOf, isAfter } = list;
  const secret = await cursorSecret();
  const after = cursor === undefined ? undefined : String(readCursor(cursor, bound, secret));
  const all = await read();
  const rest = after === undefined ? all : all.filter((entry) => isAfter(positionOf(entry), after));
  const data = rest.slice(0, limit);
  return {
    data,
    next_cursor: rest.length > limit ? signCursor(positionOf(data.at(-1)!), bound, secret) : null,
  };
}
