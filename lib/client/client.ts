import type { KeyStore, StoredKey } from './key-store.ts';
import { isRefusal, type KeyState, managementOf } from './management.ts';
import { isDue } from './schedule.ts';

/** What happened: another key is in use now, made here or by another process; or something is to be seen to. */
export type ClientEvent =
  | { type: 'followed'; key_id: string }
  | { type: 'problem'; detail: string; cause: unknown };

export interface RekeyClientOptions {
  /** The management API with its stage: `https://….amazonaws.com/v1`. */
  managementUrl: string;
  /** The APIs that get the key: URLs, each with everything below it. No other one does. */
  apis: string[];
  store: KeyStore;
  /** Part of the key's life after which it is replaced. @default 2/3 */
  rotateAfter?: number;
  /** Hours that the old key works on, for requests and processes under way. @default 24 */
  gracePeriodHours?: number;
  /** How often a request looks after the key on the way, in seconds. @default 300 */
  checkEverySeconds?: number;
  onEvent?: (event: ClientEvent) => void;
  fetch?: typeof fetch;
  /** Epoch milliseconds. */
  now?: () => number;
}

export interface RekeyClient {
  /**
   * As the global `fetch`, with the key in `x-api-key`. It follows no redirects, unless told `redirect: 'manual'`.
   *
   * @throws TypeError for a URL that is not below one of `apis`, and for a request that brings a key of its own
   */
  fetch: typeof fetch;
  /** Replaces the key now, unless another process just did: for `api_key.rotation_due`. @throws what went wrong */
  rotate(): Promise<void>;
  /** Looks after the key as a request does, and waits for it: for a timer or a schedule. Problems go to `onEvent`. */
  maintain(): Promise<void>;
  /** The key that is in use, as the management API shows it. */
  self(): Promise<KeyState>;
  /** Ends the key that is in use, for good. */
  revoke(reason?: string): Promise<void>;
}

/** Seconds until a failed check is tried again. */
const AGAIN_AFTER = 30;

/** Of making a successor that other processes make as well. */
const MOST_TRIES = 5;
/** Milliseconds before the second try at most; twice that before the next, and so on. */
const FIRST_PAUSE = 200;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Input = Parameters<typeof fetch>[0];

const withSlash = (path: string): string => (path.endsWith('/') ? path : `${path}/`);
const isBelow = (url: URL, api: URL): boolean =>
  url.origin === api.origin && withSlash(url.pathname).startsWith(withSlash(api.pathname));

/** Whether the request can be sent twice: a stream is gone after the first time. */
const isRepeatable = (input: Input, init: RequestInit | undefined): boolean => {
  const body: unknown = init?.body ?? (input instanceof Request ? input.body : null);
  return body === null || typeof body !== 'object' || !(Symbol.asyncIterator in body || 'getReader' in body);
};

/**
 * A `fetch` that keeps its own API key fresh. It works in Node.js and in edge runtimes, and depends on nothing.
 *
 * A new key is stored before it is used. Whoever crashes between making and storing it leaves a successor that
 * nobody used: the next process asks for that same successor and gets it with a new secret.
 */
export function createRekeyClient({
  managementUrl,
  apis,
  store,
  rotateAfter = 2 / 3,
  gracePeriodHours = 24,
  checkEverySeconds = 300,
  onEvent = () => undefined,
  fetch: send = (input, init) => globalThis.fetch(input, init),
  now = Date.now,
}: RekeyClientOptions): RekeyClient {
  if (!(rotateAfter > 0 && rotateAfter < 1)) throw new RangeError('rotateAfter must be between 0 and 1');
  const management = managementOf(managementUrl.replace(/\/+$/, ''), send);
  const allowed = apis.map((api) => new URL(api));

  let inUse: string | undefined;
  let nextCheck = 0;
  let upkeep: Promise<void> | undefined;
  let lookup: Promise<StoredKey> | undefined;

  /** Many requests that are refused together read the store once. */
  const readStore = (): Promise<StoredKey> => {
    lookup ??= store.read().finally(() => {
      lookup = undefined;
    });
    return lookup;
  };

  /** Uses the key from now on, if it works. @throws when it cannot be known whether it does */
  const adopt = async (key: string): Promise<KeyState | undefined> => {
    try {
      const state = await management.self(key);
      if (inUse !== undefined && inUse !== key) onEvent({ type: 'followed', key_id: state.id });
      inUse = key;
      return state;
    } catch (error) {
      if (isRefusal(error, 401)) return undefined;
      throw error;
    }
  };

  const currentKey = async (): Promise<string> => {
    // Not confirmed here: the APIs are not to depend on the management API.
    inUse ??= (await readStore()).key;
    return inUse;
  };

  /** Uses what is stored, and tells whether it is to be replaced: it is due, or dead, or not wanted any more. */
  const follow = async (
    unwanted: string | undefined,
  ): Promise<{ seen: StoredKey; replace: boolean; works: boolean }> => {
    const seen = await store.read();
    const state = await adopt(seen.key);
    const replace = state === undefined || seen.key === unwanted || isDue(state, rotateAfter, now());
    return { seen, replace, works: state !== undefined };
  };

  /**
   * A key that works, to make the successor with. A stored key is dead in one case: two processes made a secret for
   * the same successor at the same time, and the earlier one was stored. Then the key before it makes another.
   */
  const parentOf = async (seen: StoredKey, works: boolean): Promise<string> => {
    if (works) return seen.key;
    for (const key of [seen.previous_key, inUse])
      if (key !== undefined && key !== seen.key && (await adopt(key))) return key;
    throw new Error('neither the stored key nor the one before it works: put a new key into the store');
  };

  /** Makes the successor, stores it, and only then uses it. */
  const replaceKey = async (seen: StoredKey, works: boolean): Promise<void> => {
    const parent = await parentOf(seen, works);
    let stored = seen;
    for (let tries = 1; tries <= MOST_TRIES; tries++) {
      const key = await management.rotate(parent, { grace_period_hours: gracePeriodHours }).then(
        (made) => made.key,
        (error: unknown) => {
          if (isRefusal(error, 409)) return error;
          throw error;
        },
      );
      if (typeof key === 'string') {
        const wasFirst = await store.write({ key, previous_key: parent }, stored);
        // Not so if somebody else asked for the same successor meanwhile: a process that was killed after asking, say.
        if (wasFirst && (await adopt(key))) return;
      }
      // Another process came first, and what it made is in the store; or else it is nowhere.
      stored = await store.read();
      if (stored.key !== key && stored.key !== seen.key && (await adopt(stored.key))) return;
      if (typeof key !== 'string') throw key;
      await sleep(Math.random() * FIRST_PAUSE * 2 ** (tries - 1));
    }
    throw new Error('other processes made new keys all the time');
  };

  const bringUpToDate = async (unwanted: string | undefined): Promise<void> => {
    if (!(await follow(unwanted)).replace) return;
    await store.exclusively(async () => {
      const { seen, replace, works } = await follow(unwanted);
      if (replace) await replaceKey(seen, works);
    });
  };

  /** One at a time; a key that is not wanted any more needs one of its own, all else is served by what is under way. */
  const check = (unwanted?: string): Promise<void> => {
    if (upkeep !== undefined && unwanted === undefined) return upkeep;
    const mine = Promise.resolve(upkeep?.catch(() => undefined))
      .then(() => bringUpToDate(unwanted))
      .then(
        () => {
          nextCheck = now() + checkEverySeconds * 1000;
        },
        (error: unknown) => {
          nextCheck = now() + Math.min(AGAIN_AFTER, checkEverySeconds) * 1000;
          onEvent({ type: 'problem', detail: 'the API key was not brought up to date', cause: error });
          throw error;
        },
      )
      .finally(() => {
        if (upkeep === mine) upkeep = undefined;
      });
    upkeep = mine;
    return mine;
  };

  return {
    async fetch(input, init) {
      const url = new URL(input instanceof Request ? input.url : String(input));
      if (!allowed.some((api) => isBelow(url, api)))
        throw new TypeError(
          `${url.origin}${url.pathname} is not below one of the client's apis, so it gets no key`,
        );
      const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
      if (headers.has('x-api-key') || headers.has('authorization'))
        throw new TypeError('the client sends its own key: leave x-api-key and authorization out');

      const attempt = (key: string): Promise<Response> => {
        headers.set('x-api-key', key);
        const redirect = init?.redirect === 'manual' ? 'manual' : 'error';
        return send(input, { ...init, redirect, headers });
      };

      const key = await currentKey();
      if (now() >= nextCheck) check().catch(() => undefined);
      let response = await attempt(key);
      if (response.status !== 401 || !isRepeatable(input, init)) return response;

      // Another process may have replaced the key, or a person. What is stored may be dead (`parentOf`): then the key
      // before it works.
      const stored = await readStore().catch(() => undefined);
      const others = new Set([inUse, stored?.key, stored?.previous_key]);
      others.delete(key);
      for (const other of others) {
        if (other === undefined) continue;
        response = await attempt(other);
        if (response.status === 401) continue;
        if (inUse === key) inUse = other;
        break;
      }
      return response;
    },

    rotate: async () => check(await currentKey()),
    maintain: () => check().catch(() => undefined),
    self: async () => management.self(await currentKey()),
    revoke: async (reason) => {
      await management.revoke(await currentKey(), reason);
    },
  };
}
