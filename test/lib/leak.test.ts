import { describe, expect, it } from '@jest/globals';
import { digestOf, mintKey, newKeyId } from '../../lib/key-format.ts';
import { actionOn, isLeakNews, LeakedKey, leakedKey } from '../../lib/leak.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const id = newKeyId(NOW);
const text = mintKey({ prefix: 'rk', environment: 'live', id }).key.reveal();

describe('what is kept of a reported text', () => {
  it('is the id and the digest of a key, and nothing of its secret', () => {
    const leaked = leakedKey(text, 'rk');
    expect(leaked).toEqual({ id, digest: digestOf(text), found_at: [] });
    expect(JSON.stringify(leaked)).not.toContain(text.slice(30, 50));
  });

  it.each([text.slice(0, -1), `${text.slice(0, -1)}~`, 'ghp_something', '', ' '.repeat(512)])(
    'has no id where %j is no key of ours, and is of the same form',
    (other) => {
      const leaked = leakedKey(other, 'rk');
      expect(leaked.id).toBeNull();
      expect(LeakedKey.parse(leaked)).toEqual(leaked);
      expect(Object.keys(leaked)).toEqual(Object.keys(leakedKey(text, 'rk')));
    },
  );

  it('has a few places, each once, short, and without the key', () => {
    const places = [
      `https://a.example/?k=${text}`,
      ...Array(50).fill('https://b.example/'),
      'x'.repeat(999),
      'c',
    ];
    expect(leakedKey(text, 'rk', places).found_at).toEqual([
      'https://a.example/?k=[secret]',
      'https://b.example/',
      'x'.repeat(300),
    ]);
  });
});

describe('a report', () => {
  const valid = {
    revoked_at: null,
    rotated_at: null,
    pending_until: null,
    expires_at: '2026-12-24T12:00:00.000Z',
  };
  it('revokes a valid key or tells of it, as the stack says, and does nothing to one that has ended', () => {
    expect(actionOn(valid, 'revoke', NOW)).toBe('revoked');
    expect(actionOn({ ...valid, rotated_at: '2026-11-24T11:00:00.000Z' }, 'revoke', NOW)).toBe('revoked');
    expect(actionOn(valid, 'report', NOW)).toBe('reported');
    expect(actionOn({ ...valid, expires_at: '2026-11-24T11:00:00.000Z' }, 'revoke', NOW)).toBe('none');
    expect(actionOn({ ...valid, revoked_at: '2026-11-24T11:00:00.000Z' }, 'report', NOW)).toBe('none');
  });

  it('is news once an hour', () => {
    expect(isLeakNews({ leaked_at: undefined }, NOW)).toBe(true);
    expect(isLeakNews({ leaked_at: '2026-11-24T11:00:00.001Z' }, NOW)).toBe(false);
    expect(isLeakNews({ leaked_at: '2026-11-24T11:00:00.000Z' }, NOW)).toBe(true);
  });
});
