import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeBase62 } from '../../lib/base62.ts';
import { digestOf, mintKey, newKeyId, parseKey, sameDigest, scanPattern } from '../../lib/key-format.ts';

const NOW = Date.UTC(2027, 0, 1);
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const fill = (byte: number) => (n: number) => new Uint8Array(n).fill(byte);
const counting = (n: number) => Uint8Array.from({ length: n }, (_, index) => index);

const mint = (prefix = 'rk', environment: 'live' | 'test' = 'live') => {
  const id = newKeyId(NOW);
  return { id, ...mintKey({ prefix, environment, id }) };
};
const withChecksum = (text: string): string => {
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(text));
  return text + encodeBase62(crc, 6);
};

const anyKey = fc
  .record({
    prefix: fc.stringMatching(/^[a-z]{2,12}$/),
    environment: fc.constantFrom('live' as const, 'test' as const),
    now: fc.nat({ max: 2 ** 48 - 1 }),
    idBytes: fc.uint8Array({ minLength: 10, maxLength: 10 }),
    secretBytes: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  })
  .map(({ prefix, environment, now, idBytes, secretBytes }) => {
    const id = newKeyId(now, () => idBytes);
    return { prefix, environment, id, ...mintKey({ prefix, environment, id, random: () => secretBytes }) };
  });

describe('a minted key', () => {
  it('is read back as its id and environment, whatever the prefix, the time and the random bytes', () => {
    fc.assert(
      fc.property(anyKey, ({ key, prefix, id, environment }) => {
        expect(parseKey(key.reveal(), prefix)).toEqual({ id, environment });
      }),
    );
  });

  it('has prefix, environment, id, 43 characters of secret and a checksum, and is found by the scanner', () => {
    fc.assert(
      fc.property(anyKey, ({ key, prefix, id, environment, hint, digest }) => {
        const text = key.reveal();
        expect(text).toMatch(new RegExp(`^${prefix}_${environment}_${id.slice(4)}[0-9A-Za-z]{49}$`));
        expect(`say%3D${text}_and more`.match(scanPattern(prefix))).toEqual([text]);
        expect(hint).toBe(text.slice(-10, -6));
        expect(digest).toBe(digestOf(text));
      }),
    );
  });

  it('has 256 fresh random bits: no two are alike, and the first character is as wide as 2^256 allows', () => {
    const secrets = Array.from({ length: 500 }, () => mint().key.reveal().slice(30, 73));
    expect(new Set(secrets).size).toBe(500);
    // 2^256 / 62^42 = 60.2: the largest secret begins with the digit 60, `y`.
    expect(secrets.every((secret) => secret[0]! <= 'y')).toBe(true);
    expect(
      mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(NOW), random: fill(255) }).key.reveal()[30],
    ).toBe('y');
  });

  it('does not favour any character', () => {
    const counts = new Map<string, number>();
    for (let n = 0; n < 2_000; n++) {
      for (const character of mint().key.reveal().slice(31, 73))
        counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    const expected = (2_000 * 42) / 62;
    const chiSquared = [...ALPHABET].reduce(
      (sum, c) => sum + ((counts.get(c) ?? 0) - expected) ** 2 / expected,
      0,
    );
    // 61 degrees of freedom; above 160 once in 10^10 runs. `byte % 62` would give about 500.
    expect(chiSquared).toBeLessThan(160);
  });

  it('is refused by a random source that gives too little', () => {
    expect(() => newKeyId(NOW, () => new Uint8Array(9))).toThrow(RangeError);
    expect(() =>
      mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(NOW), random: () => new Uint8Array(31) }),
    ).toThrow(RangeError);
  });

  it('is never made for something that is not an id', () => {
    for (const id of ['', 'key_', 'key_123', `usr_${'0'.repeat(22)}`, `key_${'z'.repeat(22)}`]) {
      expect(() => mintKey({ prefix: 'rk', environment: 'live', id })).toThrow(RangeError);
    }
  });
});

describe('ids', () => {
  it('sort by the time they were made', () => {
    const ids = Array.from({ length: 100 }, (_, ms) => newKeyId(NOW + ms));
    expect([...ids].sort()).toEqual(ids);
    expect(ids.every((id) => /^key_[0-9A-Za-z]{22}$/.test(id))).toBe(true);
  });

  it('differ within one millisecond', () => {
    expect(new Set(Array.from({ length: 1000 }, () => newKeyId(NOW))).size).toBe(1000);
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 48])('are not made for the time %s', (now) => {
    expect(() => newKeyId(now)).toThrow(RangeError);
  });
});

describe('a text that this stack did not mint', () => {
  const text = mint().key.reveal();

  it('is refused when any one character is replaced', () => {
    for (let at = 0; at < text.length; at++) {
      const other = ALPHABET[(ALPHABET.indexOf(text[at]!) + 1) % 62]!;
      expect(parseKey(text.slice(0, at) + other + text.slice(at + 1), 'rk')).toBeUndefined();
    }
  });

  it('is refused when two neighbours are swapped', () => {
    for (let at = 0; at + 1 < text.length; at++) {
      const swapped = text.slice(0, at) + text[at + 1] + text[at] + text.slice(at + 2);
      if (swapped !== text) expect(parseKey(swapped, 'rk')).toBeUndefined();
    }
  });

  it('is refused when it is cut, prolonged, padded or in another case', () => {
    const variants = [text.slice(1), `${text}0`, ` ${text}`, `${text}\n`, `${text.slice(0, -1)}\n`];
    variants.push(text.toUpperCase(), text.toLowerCase(), text.replace('_', '-'), '', '_', `${text},${text}`);
    for (let length = 0; length < text.length; length++) variants.push(text.slice(0, length));
    for (const variant of variants) expect(parseKey(variant, 'rk')).toBeUndefined();
  });

  it('is refused with the prefix of another stack, also one that begins or ends alike', () => {
    for (const prefix of ['rkx', 'r', 'xrk', 'kr', 'rk_live', ''])
      expect(parseKey(text, prefix)).toBeUndefined();
    expect(parseKey(mint('rkx').key.reveal(), 'rk')).toBeUndefined();
    expect(parseKey(mint('xrk').key.reveal().slice(1), 'rk')).toBeUndefined();
  });

  it('is refused with another environment, though the checksum is right', () => {
    expect(parseKey(withChecksum(text.slice(0, -6).replace('_live_', '_prod_')), 'rk')).toBeUndefined();
    expect(parseKey(text.replace('_live_', '_test_'), 'rk')).toBeUndefined();
  });

  it('is refused with characters outside the alphabet, though the checksum is right', () => {
    for (const odd of ['_', '-', '+', 'é', '\0', '０']) {
      expect(parseKey(withChecksum(text.slice(0, 40) + odd + text.slice(41, -6)), 'rk')).toBeUndefined();
    }
  });

  it('is refused with an id or a secret that no bytes give, though the checksum is right', () => {
    const largestId = '7n42DGM5Tflk9n8mt7Fhc7';
    const largestSecret = 'yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1';
    const parse = (id: string, secret: string) => parseKey(withChecksum(`rk_live_${id}${secret}`), 'rk');
    expect(parse(largestId, largestSecret)).toBeDefined();
    expect(parse('7n42DGM5Tflk9n8mt7Fhc8', largestSecret)).toBeUndefined();
    expect(parse(largestId, 'yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp2')).toBeUndefined();
    expect(parse('z'.repeat(22), 'z'.repeat(43))).toBeUndefined();
  });

  it('never makes the parser throw', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 200 }),
        (rubbish) => parseKey(rubbish, 'rk') === undefined,
      ),
    );
    for (const odd of [undefined, null, 7, {}, ['rk']] as unknown as string[])
      expect(parseKey(odd, 'rk')).toBeUndefined();
  });
});

describe('digests', () => {
  it('are equal only to themselves', () => {
    const digest = digestOf('a');
    expect(digest).toBe('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb');
    expect(sameDigest(digest, digestOf('a'))).toBe(true);
    expect(sameDigest(digest, digestOf('b'))).toBe(false);
    expect(sameDigest(digest, digest.toUpperCase())).toBe(false);
  });

  it('that are missing, short or odd equal nothing, not even each other', () => {
    for (const odd of ['', 'zz', undefined, null, 'é'.repeat(32)] as string[])
      expect(sameDigest(odd, odd)).toBe(false);
    expect(sameDigest('é'.repeat(64), 'a'.repeat(64))).toBe(false);
  });
});

describe('docs/key-format.md', () => {
  const page = readFileSync(new URL('../../docs/key-format.md', import.meta.url), 'utf8');

  it("gives the scanner's regular expression", () => {
    expect(/```regex\n(.+)\n```/.exec(page)?.[1]).toBe(scanPattern('rk').source);
  });

  it('gives test vectors as the code makes them', () => {
    const row = (
      prefix: string,
      environment: 'live' | 'test',
      now: number,
      bytes: string,
      random: typeof counting,
    ) => {
      const { key, digest, hint } = mintKey({ prefix, environment, id: newKeyId(now, random), random });
      return `| \`${prefix}\` ${environment} ${now} | ${bytes} | \`${key.reveal()}\` | \`${digest}\` | \`${hint}\` |`;
    };
    expect(page).toContain(row('rk', 'live', 0, 'all `00`', fill(0)));
    expect(page).toContain(row('rk', 'live', NOW, '`00 01 02 …`', counting));
    expect(page).toContain(row('acme', 'test', 2 ** 48 - 1, 'all `ff`', fill(255)));
  });

  it('shows no other text that is a key or looks like one', () => {
    const found = page.match(scanPattern('rk')) ?? [];
    expect(found.length).toBeGreaterThanOrEqual(3);
    for (const text of found) expect(parseKey(text, 'rk')).toBeDefined();
  });
});
