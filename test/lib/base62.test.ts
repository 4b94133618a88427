import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeBase62, encodeSmallBase62 } from '../../lib/base62.ts';

describe('base62', () => {
  it('writes a number in the digits 0-9, A-Z, a-z, most significant first', () => {
    expect(encodeBase62(Uint8Array.of(61), 1)).toBe('z');
    expect(encodeBase62(Uint8Array.of(62), 2)).toBe('10');
    expect(encodeBase62(Uint8Array.of(0x01, 0x00), 3)).toBe('048');
  });

  it('sorts like the numbers and gives each its own text', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const [left, right] = [encodeBase62(a, 22), encodeBase62(b, 22)];
        expect(Math.sign(Buffer.compare(a, b))).toBe(left < right ? -1 : left > right ? 1 : 0);
      }),
    );
  });

  it('writes a checksum the same way without BigInt', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 32 - 1 }), (number) => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32BE(number);
        expect(encodeSmallBase62(number, 6)).toBe(encodeBase62(bytes, 6));
      }),
    );
  });

  it('refuses a number that does not fit, rather than cutting it', () => {
    expect(() => encodeBase62(Uint8Array.of(62), 1)).toThrow(RangeError);
    expect(() => encodeSmallBase62(62, 1)).toThrow(RangeError);
  });
});
