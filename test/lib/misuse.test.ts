import { describe, expect, it } from '@jest/globals';
import { type Misuse, misuseData, misuseOf } from '../../lib/misuse.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const MINUTE = 60_000;
const at = (minutes: number): string => new Date(NOW + minutes * MINUTE).toISOString();
const settings = { late_use_minutes: 60 };
/** A key that was superseded, and whose grace ended so many minutes ago. */
const ended = (minutes: number, told_at?: string) => ({
  rotated_at: at(-10_000),
  expires_at: at(-minutes),
  told_at,
});
const told = (record: Parameters<typeof misuseOf>[0], code: Parameters<typeof misuseOf>[1] = 'expired') =>
  misuseOf(record, code, NOW, settings);

describe('a superseded key whose grace is over', () => {
  it.each<[number, Misuse]>([
    [0, 'api_key.used_late'],
    [59.99, 'api_key.used_late'],
    [60, 'api_key.reuse_detected'],
    [60 * 24 * 30, 'api_key.reuse_detected'],
  ])('used %s minutes after it is told as %s', (minutes, misuse) => {
    expect(told(ended(minutes))).toBe(misuse);
  });

  it('is told once an hour at most', () => {
    expect(told(ended(500, at(-59)))).toBeUndefined();
    expect(told(ended(500, at(-60)))).toBe('api_key.reuse_detected');
    expect(told(ended(30, at(-29)))).toBeUndefined();
  });

  it('is told as reused although it was told as late a moment ago', () => {
    expect(told(ended(61, at(-2)))).toBe('api_key.reuse_detected');
    // But not twice.
    expect(told(ended(61, at(-0.5)))).toBeUndefined();
  });

  it('is reused from the first moment on where no use counts as late', () => {
    expect(misuseOf(ended(0), 'expired', NOW, { late_use_minutes: 0 })).toBe('api_key.reuse_detected');
  });
});

describe('nothing is told', () => {
  it.each(['valid', 'not_found', 'revoked', 'insufficient_scope'] as const)('of the code %s', (code) => {
    expect(told(ended(500), code)).toBeUndefined();
  });

  it('of a key that reached its own end and has no successor', () => {
    expect(told({ ...ended(500), rotated_at: null })).toBeUndefined();
  });
});

describe('a honey key', () => {
  const honey = { rotated_at: null, expires_at: at(9), told_at: undefined };
  it('is told at each use, six times a minute at most', () => {
    expect(told(honey, 'honey')).toBe('api_key.honey_used');
    expect(told({ ...honey, told_at: at(-0.1) }, 'honey')).toBeUndefined();
    expect(told({ ...honey, told_at: at(-10 / 60) }, 'honey')).toBe('api_key.honey_used');
  });
});

describe('what is told', () => {
  const where = { route: 'GET /orders', api_id: 'a1' };
  it('is the place, and the end of the grace where there was one', () => {
    expect(misuseData('api_key.honey_used', { expires_at: at(9) }, where)).toEqual(where);
    expect(misuseData('api_key.used_late', { expires_at: at(-1) }, where)).toEqual({
      ...where,
      grace_ended_at: at(-1),
    });
  });
});
