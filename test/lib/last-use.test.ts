import { describe, expect, it } from '@jest/globals';
import { isUnusedFor } from '../../lib/last-use.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const ago = (days: number, more = 0) => new Date(NOW - days * 86_400_000 + more).toISOString();

describe('a key that nobody has used for days', () => {
  it.each([
    ['was used so long ago', { last_used_at: ago(90), first_used_at: ago(95) }, true],
    ['was used a moment later', { last_used_at: ago(90, 1), first_used_at: ago(95) }, false],
    [
      'was first used so long ago, before uses were noted',
      { last_used_at: null, first_used_at: ago(90) },
      true,
    ],
    [
      'was never used, and made so long ago',
      { last_used_at: null, first_used_at: null, created_at: ago(90) },
      true,
    ],
    [
      'was never used, and is younger',
      { last_used_at: null, first_used_at: null, created_at: ago(89) },
      false,
    ],
  ])('is one that %s', (_, facts, unused) => {
    expect(isUnusedFor({ created_at: ago(100), ...facts }, 90, NOW)).toBe(unused);
  });
});
