import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { fileStore } from 'rekey/client/node';

const FIRST = 'rk_live_first000';
const SECOND = 'rk_live_second00';
const THIRD = 'rk_live_third000';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekey-store-'));
  path = join(folder, 'key.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a key in a file', () => {
  it('is the initial one until another is written', async () => {
    const store = fileStore({ path, initial: FIRST });
    expect(await store.read()).toEqual({ key: FIRST });
    expect(await store.write({ key: SECOND, previous_key: FIRST }, { key: FIRST })).toBe(true);
    expect(await store.read()).toEqual({ key: SECOND, previous_key: FIRST });
    expect(await fileStore({ path, initial: FIRST }).read()).toEqual({ key: SECOND, previous_key: FIRST });
  });

  it('is not replaced by who has not seen it', async () => {
    const store = fileStore({ path, initial: FIRST });
    await store.write({ key: SECOND, previous_key: FIRST }, { key: FIRST });
    expect(await store.write({ key: THIRD, previous_key: FIRST }, { key: FIRST })).toBe(false);
    expect((await store.read()).key).toBe(SECOND);
  });

  it('is for its user only, and nothing is left beside it', async () => {
    const store = fileStore({ path, initial: FIRST });
    await store.exclusively(() => store.write({ key: SECOND, previous_key: FIRST }, { key: FIRST }));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['key.json']);
  });

  it('may be put there by a person, by itself', async () => {
    writeFileSync(path, `${SECOND}\n`);
    expect(await fileStore({ path, initial: FIRST }).read()).toEqual({ key: SECOND });
  });

  it.each(['', '{', '{"key": 5}', 'two words', 'null', '[]', '{"other": "x"}'])(
    'that is damaged is an error which does not repeat it: %j',
    async (text) => {
      writeFileSync(path, text);
      await expect(fileStore({ path, initial: FIRST }).read()).rejects.toThrow(
        'there is no API key in the store',
      );
    },
  );

  it('that is nowhere is an error that says where it could be', async () => {
    await expect(fileStore({ path, initial: undefined }).read()).rejects.toThrow('REKEY_API_KEY');
  });

  it('is left as it was when it cannot be written', async () => {
    const nowhere = fileStore({ path: join(folder, 'missing', 'key.json'), initial: FIRST });
    await expect(nowhere.write({ key: SECOND, previous_key: FIRST }, { key: FIRST })).rejects.toThrow(
      'ENOENT',
    );
    expect((await nowhere.read()).key).toBe(FIRST);
  });
});

describe('work that is done exclusively', () => {
  it('is done one after the other', async () => {
    let inside = 0;
    let most = 0;
    const stores = Array.from({ length: 8 }, () => fileStore({ path, initial: FIRST }));
    await Promise.all(
      stores.map((store) =>
        store.exclusively(async () => {
          inside += 1;
          most = Math.max(most, inside);
          await new Promise((resolve) => setTimeout(resolve, 10));
          inside -= 1;
        }),
      ),
    );
    expect(most).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('lets the next one in also when it fails', async () => {
    const store = fileStore({ path, initial: FIRST });
    await expect(store.exclusively(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await store.exclusively(async () => 'in')).toBe('in');
  });

  const lockOf = (host: string, pid: number, since: number) => `${host}\n${pid}\n${since}\nx`;
  const endedProcess = async (): Promise<number> => {
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.once('exit', resolve));
    return child.pid!;
  };

  it('does not wait for a process that was killed', async () => {
    writeFileSync(`${path}.lock`, lockOf(hostname(), await endedProcess(), Date.now()));
    expect(await fileStore({ path, initial: FIRST }).exclusively(async () => 'in')).toBe('in');
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['of another machine for two minutes', 'elsewhere', 1],
    ['whose number another process has now, for two minutes', hostname(), process.pid],
  ])('waits for a process %s', async (_, host, pid) => {
    const store = fileStore({ path, initial: FIRST });
    writeFileSync(`${path}.lock`, lockOf(host, pid, Date.now() - 119_000));
    const work = store.exclusively(async () => 'in');
    const soon = new Promise((resolve) => setTimeout(() => resolve('not yet'), 300));
    expect(await Promise.race([work, soon])).toBe('not yet');
    writeFileSync(`${path}.lock`, lockOf(host, pid, Date.now() - 121_000));
    expect(await work).toBe('in');
  });

  it('gives back its own lock only', async () => {
    const store = fileStore({ path, initial: FIRST });
    await store.exclusively(async () => writeFileSync(`${path}.lock`, 'another'));
    expect(readFileSync(`${path}.lock`, 'utf8')).toBe('another');
  });
});
