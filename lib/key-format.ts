import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Environment } from './api-key.schema.ts';
import { decodeBase62, encodeBase62, encodeSmallBase62 } from './base62.ts';
import { SecretText } from './secret-text.ts';

/** Gives n bytes nobody can guess. */
export type Random = (bytes: number) => Uint8Array;

const TIME_BYTES = 6;
const ID_BYTES = 16;
const SECRET_BYTES = 32;

/** The smallest widths that hold them: 62^22 > 2^128, 62^43 > 2^256, 62^6 > 2^32. */
const ID_WIDTH = 22;
const SECRET_WIDTH = 43;
const CRC_WIDTH = 6;
const BODY_WIDTH = ID_WIDTH + SECRET_WIDTH + CRC_WIDTH;

/** Fixed width and alphabet in ASCII order: a text above these stands for a number that was never minted. */
const LARGEST_ID = encodeBase62(new Uint8Array(ID_BYTES).fill(0xff), ID_WIDTH);
const LARGEST_SECRET = encodeBase62(new Uint8Array(SECRET_BYTES).fill(0xff), SECRET_WIDTH);

const BODY = /^[0-9A-Za-z]{71}$/;
const ID_PREFIX = 'key_';
const LATEST_TIME = 2 ** (8 * TIME_BYTES) - 1;
const DIGEST_LENGTH = 64;

const exactly = (random: Random, length: number): Uint8Array => {
  const bytes = random(length);
  if (bytes.length !== length)
    throw new RangeError(`the random source gave ${bytes.length} bytes, not ${length}`);
  return bytes;
};

const checksumOf = (text: string): string => encodeSmallBase62(crc32(text), CRC_WIDTH);

/**
 * A new id, the prefix and 22 base62 characters: 48 bits of time and 80 random bits. Ids of one prefix sort by the
 * millisecond they were made in.
 *
 * @param now epoch milliseconds
 * @throws RangeError when `now` is not a whole number of 48 bits
 */
export function newId(prefix: string, now: number, random: Random = randomBytes): string {
  if (!Number.isInteger(now) || now < 0 || now > LATEST_TIME)
    throw new RangeError('now must be epoch milliseconds');
  const bytes = Buffer.alloc(ID_BYTES);
  bytes.writeUIntBE(now, 0, TIME_BYTES);
  bytes.set(exactly(random, ID_BYTES - TIME_BYTES), TIME_BYTES);
  return prefix + encodeBase62(bytes, ID_WIDTH);
}

/** The smallest id of its millisecond: a bound for ranges of ids. */
export const earliestId = (prefix: string, ms: number): string =>
  newId(prefix, ms, (length) => new Uint8Array(length));

/** When an id was made, in epoch milliseconds. */
export const timeOfId = (id: string): number =>
  Number(decodeBase62(id.slice(-ID_WIDTH)) >> BigInt(8 * (ID_BYTES - TIME_BYTES)));

/** A new id of a key, `key_…`. */
export const newKeyId = (now: number, random?: Random): string => newId(ID_PREFIX, now, random);

/**
 * Makes the text of a key for an id. `digest` and `hint` are what is stored; the text is nowhere else.
 *
 * @param id as `newKeyId` gives it
 * @returns the key, its SHA-256 as 64 hex digits, and the last four characters of its secret part
 */
export function mintKey({
  prefix,
  environment,
  id,
  random = randomBytes,
}: {
  prefix: string;
  environment: Environment;
  id: string;
  random?: Random;
}): { key: SecretText; digest: string; hint: string } {
  const secret = encodeBase62(exactly(random, SECRET_BYTES), SECRET_WIDTH);
  const unchecked = `${prefix}_${environment}_${id.slice(ID_PREFIX.length)}${secret}`;
  const text = unchecked + checksumOf(unchecked);
  if (parseKey(text, prefix)?.id !== id) throw new RangeError(`${id} is not the id of a key`);
  return { key: new SecretText(text), digest: digestOf(text), hint: secret.slice(-4) };
}

/**
 * Reads the id and the environment out of a key, or `undefined` for anything this stack cannot have minted: a
 * typo, a cut, a stranger's token. No I/O and no exception; the cheapest check comes first, so that a flood of
 * rubbish costs little.
 *
 * It does not prove that the key exists: only the digest in the table does.
 */
export function parseKey(text: string, prefix: string): { id: string; environment: Environment } | undefined {
  // live and test are equally long, so a prefix has one length of key.
  const bodyStart = prefix.length + '_live_'.length;
  if (typeof text !== 'string' || text.length !== bodyStart + BODY_WIDTH) return undefined;

  const environment = text.startsWith(`${prefix}_live_`)
    ? 'live'
    : text.startsWith(`${prefix}_test_`)
      ? 'test'
      : undefined;
  if (environment === undefined) return undefined;

  const body = text.slice(bodyStart);
  if (!BODY.test(body)) return undefined;
  if (checksumOf(text.slice(0, -CRC_WIDTH)) !== body.slice(-CRC_WIDTH)) return undefined;

  const id = body.slice(0, ID_WIDTH);
  if (id > LARGEST_ID || body.slice(ID_WIDTH, -CRC_WIDTH) > LARGEST_SECRET) return undefined;
  return { id: ID_PREFIX + id, environment };
}

/** SHA-256 of the whole key text, 64 lower-case hex digits. Why not a slow hash: docs/key-format.md. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Compares two digests in constant time. Anything that is not as long as a digest equals nothing. */
export function sameDigest(a: string, b: string): boolean {
  if (a?.length !== DIGEST_LENGTH || b?.length !== DIGEST_LENGTH) return false;
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/**
 * Finds the keys of one prefix in any text. It has no word boundaries on purpose: a key glued to other text
 * (`%3Drk_live_…`) counts too, and the checksum (`parseKey`) tells a find from noise.
 */
export function scanPattern(prefix: string): RegExp {
  return new RegExp(`${prefix}_(?:live|test)_[0-9A-Za-z]{${BODY_WIDTH}}`, 'g');
}
