import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type KeyStore, parseStored, type StoredKey } from './key-store.ts';

/** Milliseconds between two looks at a lock, and in all. */
const LOOK_EVERY = 50;
const LONGEST_WAIT = 30_000;
/** Milliseconds; the work takes a minute at most. A process of another machine is not seen to end, and ids are used again. */
const LONGEST_HELD = 120_000;

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
const isThere = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EEXIST';

const readIfThere = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/** Writes a file that only this user can read, in one step that also a crash of the machine leaves whole. */
const replaceFile = async (path: string, text: string): Promise<void> => {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } catch {
    // Windows and some network file systems sync no folders.
  } finally {
    await folder.close();
  }
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** Whether the holder of a lock has ended without giving it back. */
const isAbandoned = (text: string, now: number): boolean => {
  const [host, pid, since] = text.split('\n');
  return now - Number(since) > LONGEST_HELD || (host === hostname() && !isAlive(Number(pid)));
};

/** Takes an abandoned lock away, and only that one: what another process took meanwhile is put back. */
const breakLock = async (path: string, abandoned: string): Promise<void> => {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, 'utf8')) !== abandoned) await link(aside, path);
  } catch (error) {
    if (!isMissing(error) && !isThere(error)) throw error;
  } finally {
    await rm(aside, { force: true });
  }
};

/** Takes the lock in one step with its content, so that nobody sees it without its holder. */
const takeLock = async (path: string, mine: string): Promise<boolean> => {
  const temporary = `${path}.${randomUUID()}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(mine);
    } finally {
      await file.close();
    }
    await link(temporary, path);
    return true;
  } catch (error) {
    if (isThere(error)) return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
};

/**
 * A key in a file that the processes of this machine share; mode 600, replaced in one step. As long as there is no
 * such file, the key is `initial`.
 *
 * The lock beside it names its process, so it ends with it. On a file system that several machines share it ends
 * two minutes after a machine did.
 *
 * @param path of the file; its folder must be there, and be writable
 * @param initial the first key, from where the deployment puts it
 */
export function fileStore({
  path,
  initial = process.env['REKEY_API_KEY'],
}: {
  path: string;
  initial?: string | undefined;
}): KeyStore {
  const lock = `${path}.lock`;

  const read = async (): Promise<StoredKey> => {
    const text = (await readIfThere(path)) ?? initial;
    if (text === undefined) throw new Error(`there is no API key: neither ${path} nor REKEY_API_KEY is set`);
    return parseStored(text);
  };

  return {
    read,

    async write(next, seen) {
      if ((await read()).key !== seen.key) return false;
      await replaceFile(path, `${JSON.stringify(next)}\n`);
      return true;
    },

    async exclusively(work) {
      const mine = `${hostname()}\n${process.pid}\n${Date.now()}\n${randomUUID()}`;
      const deadline = performance.now() + LONGEST_WAIT;
      while (!(await takeLock(lock, mine))) {
        const holder = await readIfThere(lock);
        if (holder !== undefined && isAbandoned(holder, Date.now())) await breakLock(lock, holder);
        else if (performance.now() > deadline) throw new Error(`${lock} is held by another process`);
        else await sleep(LOOK_EVERY * (0.5 + Math.random()));
      }
      try {
        return await work();
      } finally {
        if ((await readIfThere(lock)) === mine) await rm(lock, { force: true });
      }
    },
  };
}
