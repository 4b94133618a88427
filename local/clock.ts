import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readState, writePrivate } from './state-file.ts';

/** The most that the clock may be ahead of the real one: ten years. */
export const FURTHEST_AHEAD_SECONDS = 10 * 366 * 86_400;

/** The stack's clock: the real one plus an offset that only grows, and that survives a restart with the data. */
export interface Clock {
  /** Milliseconds since 1970, as `Date.now()`. */
  now(): number;
  offsetMs(): number;
  /** @throws RangeError unless it is 0 or more seconds and stays within {@link FURTHEST_AHEAD_SECONDS} in all */
  advance(seconds: number): void;
  /** Calls back after each move, with the new offset. */
  onMove(listener: (offsetMs: number) => void): void;
}

export function openClock(options: { stateDir: string; fresh: boolean }): Clock {
  const file = join(options.stateDir, 'clock.json');
  if (options.fresh) rmSync(file, { force: true });
  let offset = readOffset(file);
  const listeners: ((offsetMs: number) => void)[] = [];
  return {
    now: () => Date.now() + offset,
    offsetMs: () => offset,
    advance(seconds) {
      if (!Number.isFinite(seconds) || seconds < 0) {
        throw new RangeError(
          'advance_seconds must be a number of seconds, 0 or more: this clock never goes back',
        );
      }
      const next = offset + Math.round(seconds * 1000);
      if (next > FURTHEST_AHEAD_SECONDS * 1000) {
        throw new RangeError(`the clock may be ${FURTHEST_AHEAD_SECONDS} seconds (ten years) ahead at most`);
      }
      writePrivate(file, { offset_ms: next });
      offset = next;
      for (const listener of listeners) listener(offset);
    },
    onMove: (listener) => listeners.push(listener),
  };
}

function readOffset(file: string): number {
  const { offset_ms } = readState<{ offset_ms: number }>(file) ?? { offset_ms: 0 };
  if (!Number.isSafeInteger(offset_ms) || offset_ms < 0)
    throw new Error(`${file}: offset_ms should be 0 or more`);
  return offset_ms;
}
