import { z } from 'zod';
import { type ApiKeyRecord, KeyId } from './api-key.schema.ts';
import { isValid, type StatusFacts } from './api-key.ts';
import { digestOf, parseKey } from './key-format.ts';
import { withoutKeys } from './secret-text.ts';

/** What becomes of a key that was reported as leaked: a property of the stack. */
export type OnLeak = 'revoke' | 'report';

/** The reason that a reported key is revoked with. */
export const LEAKED = 'leaked';

const TOLD_EVERY_MS = 3_600_000;
/** Ten messages of twenty keys each are sent at once, and SQS takes 256 KB to be safe. */
const MOST_PLACES = 3;
const LONGEST_PLACE = 300;

/**
 * A key that somebody had the text of, without the text: this much may lie in a queue. The digest is as long as the key
 * is secret, and only the table knows whether there is such a key.
 */
export const LeakedKey = z.object({
  /** null: the text was none of this stack's keys. */
  id: KeyId.nullable(),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  found_at: z.array(z.string().max(LONGEST_PLACE)).max(MOST_PLACES),
});
export type LeakedKey = z.infer<typeof LeakedKey>;

/** One message: keys that one request reported, and where it came from. */
export const LeakReport = z.object({
  found_by: z.enum(['report', 'github']),
  keys: z.array(LeakedKey),
  actor: z.string(),
  request_id: z.string().nullable(),
  source_ip: z.string().nullable(),
  user_agent: z.string().nullable(),
});
export type LeakReport = z.infer<typeof LeakReport>;

/**
 * What is kept of a reported text. The same work for whatever it is, so that the time of the answer tells nothing.
 *
 * @param places where it was found, as the reporter says; bounded, and keys in it are masked
 */
export function leakedKey(text: string, prefix: string, places: readonly string[] = []): LeakedKey {
  return {
    digest: digestOf(text),
    id: parseKey(text, prefix)?.id ?? null,
    found_at: [...new Set(places)]
      .slice(0, MOST_PLACES)
      .map((place) => withoutKeys(place).slice(0, LONGEST_PLACE)),
  };
}

/** What a report does to a key: nothing to one that has ended, whatever the stack says. */
export function actionOn(record: StatusFacts, onLeak: OnLeak, now: number): 'revoked' | 'reported' | 'none' {
  if (!isValid(record, now)) return 'none';
  return onLeak === 'revoke' ? 'revoked' : 'reported';
}

/** Whether the leak of this key is to be told. Once an hour: whoever has a dead key must not fill its trail. */
export const isLeakNews = ({ leaked_at }: Pick<ApiKeyRecord, 'leaked_at'>, now: number): boolean =>
  leaked_at === undefined || Date.parse(leaked_at) <= now - TOLD_EVERY_MS;
