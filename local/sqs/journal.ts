import { closeSync, existsSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import type { Journal, Message } from './queue.ts';

/** A journal that has grown by this much since it was last written anew is written anew. */
const REWRITE_AFTER_BYTES = 32 * 1024 * 1024;

/** `[queue, message]`: it is there, like this; `[queue, id]`: it is gone. */
type Entry = [queue: string, message: Message | string];

/**
 * The messages of all queues in a file of one line per change: what was sent is there after a restart, however the
 * stack ended.
 */
export function openJournal(path: string): Journal & { earlier: Map<string, Message[]>; close(): void } {
  const messages = new Map<string, Map<string, Message>>();
  const of = (queue: string): Map<string, Message> => {
    let found = messages.get(queue);
    if (found === undefined) {
      found = new Map();
      messages.set(queue, found);
    }
    return found;
  };
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    let entry: Entry;
    try {
      entry = JSON.parse(line);
    } catch (error) {
      // The last line is half there when the machine went down while it was written: nobody was told that it is kept.
      if (index === lines.length - 1) continue;
      throw new Error(`${path}, line ${index + 1}: ${(error as Error).message}`);
    }
    const [queue, change] = entry;
    if (typeof change === 'string') of(queue).delete(change);
    else of(queue).set(change.id, change);
  }

  let file = rewrite();
  let bytes = 0;
  let isClosed = false;
  function rewrite(): number {
    const temporary = `${path}.tmp`;
    const made = openSync(temporary, 'w', 0o600);
    for (const [queue, kept] of messages)
      for (const message of kept.values()) writeSync(made, `${JSON.stringify([queue, message])}\n`);
    renameSync(temporary, path);
    return made;
  }
  const write = (entry: Entry): void => {
    if (isClosed) return;
    bytes += writeSync(file, `${JSON.stringify(entry)}\n`);
    if (bytes < REWRITE_AFTER_BYTES) return;
    closeSync(file);
    file = rewrite();
    bytes = 0;
  };
  return {
    earlier: new Map([...messages].map(([queue, kept]) => [queue, [...kept.values()]])),
    put(queue, message) {
      of(queue).set(message.id, message);
      write([queue, message]);
    },
    remove(queue, id) {
      of(queue).delete(id);
      write([queue, id]);
    },
    close() {
      isClosed = true;
      closeSync(file);
    },
  };
}
