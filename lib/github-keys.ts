import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';
import { Unavailable } from './problem.ts';

/** As published at https://api.github.com/meta/public_keys/secret_scanning. */
const Published = z.object({
  public_keys: z.array(z.object({ key_identifier: z.string(), key: z.string().max(2_000) })).max(100),
});

const FRESH_FOR_MS = 3_600_000;
/** An unknown identifier may be a new key, or anybody's: it makes us ask again only so often. GitHub allows 60 an hour. */
const ASKED_AGAIN_AFTER_MS = 300_000;
const TRIED_AGAIN_AFTER_MS = 10_000;
const TIMEOUT_MS = 3_000;
const LARGEST_ANSWER = 65_536;

/** Only what GitHub signs with: ECDSA on P-256. */
function readKey(pem: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem);
    const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    return isP256 ? key : undefined;
  } catch {
    return undefined;
  }
}

export type GithubKeys = (identifier: string) => Promise<KeyObject | undefined>;

/**
 * GitHub's public keys for secret scanning by their identifiers, fetched when needed and kept for an hour. Without a
 * fresh list nothing is believed.
 *
 * @returns undefined for an identifier that GitHub does not publish
 * @throws Unavailable when the list can't be fetched or read
 */
export function createGithubKeys({
  url,
  get = fetch,
  now = Date.now,
}: {
  url: string;
  get?: typeof fetch;
  now?: () => number;
}): GithubKeys {
  let kept: { keys: Map<string, KeyObject>; at: number; etag: string | null } | undefined;
  let failedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | undefined;

  const ask = async (): Promise<void> => {
    try {
      const answer = await get(url, {
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
        // An answer that nothing has changed does not count against GitHub's limit.
        headers: {
          accept: 'application/json',
          'user-agent': 'rekey',
          ...(kept?.etag && { 'if-none-match': kept.etag }),
        },
      });
      if (answer.status === 304 && kept) {
        kept = { ...kept, at: now() };
        return;
      }
      if (answer.status !== 200) throw new Error(`GitHub's keys: the answer is ${answer.status}`);
      const text = await answer.text();
      if (text.length > LARGEST_ANSWER) throw new Error("GitHub's keys: the answer is too large");
      const keys = Published.parse(JSON.parse(text)).public_keys.flatMap(({ key_identifier, key }) => {
        const read = readKey(key);
        return read ? [[key_identifier, read] as const] : [];
      });
      kept = { keys: new Map(keys), at: now(), etag: answer.headers.get('etag') };
    } catch (error) {
      failedAt = now();
      throw new Unavailable(TRIED_AGAIN_AFTER_MS / 1000, error);
    }
  };

  return async (identifier) => {
    const known = kept?.keys.get(identifier);
    const age = kept ? now() - kept.at : Number.POSITIVE_INFINITY;
    if (age >= (known ? FRESH_FOR_MS : ASKED_AGAIN_AFTER_MS)) {
      if (now() - failedAt < TRIED_AGAIN_AFTER_MS) throw new Unavailable(TRIED_AGAIN_AFTER_MS / 1000);
      asking ??= ask().finally(() => {
        asking = undefined;
      });
      await asking;
    }
    return kept?.keys.get(identifier);
  };
}

/**
 * Whether the body is signed with this key: ECDSA with SHA-256 over its very bytes, the signature in DER.
 * https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partner-program
 *
 * @param signature base64
 */
export function isSignedBy(key: KeyObject, text: string, signature: string): boolean {
  return verify('sha256', Buffer.from(text), key, Buffer.from(signature, 'base64'));
}
