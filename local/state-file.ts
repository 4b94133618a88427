import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Writes JSON that only this user can read, in one step: a reader sees the old file or the new one. */
export function writePrivate(path: string, value: unknown): void {
  const temporary = `${path}.${process.pid}.tmp`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, `${JSON.stringify(value, null, 2)}\n`);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

/** The JSON of a file, undefined if there is none. @throws SyntaxError */
export function readState<Value>(path: string): Value | undefined {
  let written: string;
  try {
    written = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return JSON.parse(written) as Value;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // Someone else's process.
  }
};

/** A state directory that another running stack has. */
export class StateDirInUse extends Error {
  override name = 'StateDirInUse';
}

/**
 * Takes a state directory for this process, so that two stacks never write the same data.
 *
 * @returns gives it back
 * @throws StateDirInUse naming the process that has it
 */
export function lockStateDir(stateDir: string): () => void {
  const path = join(stateDir, 'lock');
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      const file = openSync(path, 'wx', 0o600);
      writeSync(file, String(process.pid));
      closeSync(file);
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const pid = Number(readFileSync(path, 'utf8'));
    if (Number.isInteger(pid) && pid > 0 && isAlive(pid)) {
      throw new StateDirInUse(
        `${stateDir} is in use by the process ${pid}. Stop it, or start with another --state-dir. (If that process is not a laptop stack, delete ${path}.)`,
      );
    }
    rmSync(path, { force: true }); // It ended without giving it back.
  }
  throw new StateDirInUse(`${stateDir} is being taken by another process`);
}
