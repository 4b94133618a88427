import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { eventTime, firstUseOf, nextVersion } from '../../lib/version.ts';
import { instant, NOW } from '../engine/keys.ts';

describe('the version of a record', () => {
  it('is the millisecond of its last change', () => {
    expect(nextVersion({ version: NOW - 1 }, NOW)).toBe(NOW);
  });

  it('goes on from what was counted before there were times in it', () => {
    expect(nextVersion({ version: 3 }, NOW)).toBe(NOW);
  });

  it('is ahead of a clock that stands still or is behind', () => {
    expect(nextVersion({ version: NOW }, NOW)).toBe(NOW + 1);
    expect(nextVersion({ version: NOW + 5_000 }, NOW)).toBe(NOW + 5_001);
  });

  it('comes after a first use, which leaves it alone', () => {
    const used = { version: NOW, first_used_at: firstUseOf({ version: NOW, first_used_at: null }, NOW) };
    expect(used.first_used_at).toBe(instant(NOW + 1));
    expect(eventTime(used, NOW)).toBe(NOW + 1);
    expect(nextVersion(used, NOW)).toBe(NOW + 2);
  });

  it('gives events times that only grow, whatever the clocks show', () => {
    const clock = fc.integer({ min: NOW - 10, max: NOW + 10 });
    fc.assert(
      fc.property(fc.array(fc.record({ clock, isUse: fc.boolean() })), (changes) => {
        let record: { version: number; first_used_at: string | null } = { version: 1, first_used_at: null };
        const times = changes.map(({ clock, isUse }) => {
          record =
            isUse && record.first_used_at === null
              ? { ...record, first_used_at: firstUseOf(record, clock) }
              : { ...record, version: nextVersion(record, clock) };
          return eventTime(record, clock);
        });
        expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
      }),
    );
  });
});
