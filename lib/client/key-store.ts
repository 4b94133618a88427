/** What a store holds. */
export interface StoredKey {
  /** The key to use. */
  key: string;
  /** The key before it. It goes on working in its grace, and repairs the store should `key` turn out to be dead. */
  previous_key?: string | undefined;
  /** The store's own name for this state, where it has one. */
  version?: string | undefined;
}

/**
 * Where the processes of a service share their key. Three functions; `rekey/client/node` and `secretsManagerStore`
 * have them, and so has anything that can compare and set.
 */
export interface KeyStore {
  /** What is stored now. @throws when there is no key */
  read(): Promise<StoredKey>;
  /**
   * Stores `next` if what is stored is still what was `seen`. When it resolves with true, the next `read` of any
   * process gives it, also after a crash: only then is the new key used.
   *
   * @returns false when another process wrote first; nothing is stored then
   */
  write(next: { key: string; previous_key: string }, seen: StoredKey): Promise<boolean>;
  /**
   * Does the work while no other process does it. It spares requests, and is not what makes rotation safe: that is
   * `write`. A store that cannot lock just does the work.
   */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}

/** No key has white space or a brace in it, so a key by itself cannot be taken for JSON. */
const KEY = /^[!-z|~]{8,512}$/;

/**
 * Reads what a store holds: `{"key": …, "previous_key": …}`, other members allowed, or a key by itself.
 *
 * @throws TypeError that does not repeat what was there
 */
export function parseStored(text: string): StoredKey {
  const trimmed = text.trim();
  if (KEY.test(trimmed)) return { key: trimmed };
  let value: unknown;
  try {
    value = JSON.parse(trimmed);
  } catch {
    value = undefined;
  }
  const { key, previous_key } = (value ?? {}) as Partial<Record<keyof StoredKey, unknown>>;
  if (typeof key !== 'string' || !KEY.test(key)) throw new TypeError('there is no API key in the store');
  return typeof previous_key === 'string' && KEY.test(previous_key) ? { key, previous_key } : { key };
}
