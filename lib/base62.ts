/** In ASCII order, so texts of one width sort like the numbers they stand for. */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const BASE = 62n;

/**
 * Writes big-endian bytes as one number in base 62, padded with `0` on the left to exactly `width` characters.
 *
 * The whole number is converted, not byte by byte, so every value keeps its own text and no character is more
 * likely than the range itself makes it: n random bits stay n random bits.
 *
 * @throws RangeError when the number needs more than `width` characters
 */
export function encodeBase62(bytes: Uint8Array, width: number): string {
  let rest = 0n;
  for (const byte of bytes) rest = (rest << 8n) | BigInt(byte);
  let text = '';
  for (let place = 0; place < width; place++) {
    text = ALPHABET[Number(rest % BASE)] + text;
    rest /= BASE;
  }
  if (rest > 0n) throw new RangeError(`${bytes.length} bytes do not fit in ${width} base62 characters`);
  return text;
}

/** The same for a whole number up to 2^53: without BigInt, as the checksum of every key that comes in needs it. */
export function encodeSmallBase62(number: number, width: number): string {
  let rest = number;
  let text = '';
  for (let place = 0; place < width; place++) {
    text = ALPHABET[rest % 62] + text;
    rest = Math.floor(rest / 62);
  }
  if (rest > 0) throw new RangeError(`${number} does not fit in ${width} base62 characters`);
  return text;
}

/** The number that `encodeBase62` wrote. Its form is the caller's to check. */
export function decodeBase62(text: string): bigint {
  let number = 0n;
  for (const character of text) number = number * BASE + BigInt(ALPHABET.indexOf(character));
  return number;
}
