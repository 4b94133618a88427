/**
 * Puts a process on the laptop stack's clock: `node --import ./local/moved-clock.mjs receiver.mjs`. What checks how old
 * something of the stack is (a webhook's timestamp) must live in the same time.
 *
 * `REKEY_CLOCK_FILE`: the clock.json of the stack's state directory; by default that of `npm start`.
 */
import { readFileSync } from 'node:fs';

const file = process.env.REKEY_CLOCK_FILE ?? '.local/clock.json';
const RealDate = Date;
const realNow = Date.now;

/** No file: the clock was never moved. */
const offset = () => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).offset_ms;
  } catch (error) {
    if (error.code === 'ENOENT') return 0;
    throw error;
  }
};
const now = () => realNow() + offset();

globalThis.Date = new Proxy(RealDate, {
  construct: (target, parameters, newTarget) =>
    Reflect.construct(target, parameters.length === 0 ? [now()] : parameters, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
});
