/**
 * What a flood of rubbish costs: refusing a malformed key beside hashing one, alternating in one run.
 * Prints ratios, because these machines are noisy: `npm run bench`.
 */
import { digestOf, mintKey, newKeyId, parseKey } from '../lib/key-format.ts';

const ROUNDS = 15;
const CALLS = 20_000;

const key = mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(Date.now()) }).key.reveal();
const flipped = key.slice(0, 40) + (key[40] === 'a' ? 'b' : 'a') + key.slice(41);
const contenders: Record<string, () => unknown> = {
  'SHA-256 of a key (the yardstick)': () => digestOf(key),
  'a good key, read': () => parseKey(key, 'rk'),
  'one wrong character': () => parseKey(flipped, 'rk'),
  'a stranger’s token': () => parseKey('sk_live_4eC39HqLyjWDarjtT1zdp7dc', 'rk'),
  'eight thousand characters': () => parseKey('x'.repeat(8_000), 'rk'),
};

const median = (times: number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1] ?? Number.NaN;
const times = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]));
let kept: unknown;
for (let round = -2; round < ROUNDS; round++) {
  for (const [name, call] of Object.entries(contenders)) {
    const started = performance.now();
    for (let i = 0; i < CALLS; i++) kept = call();
    // The first two rounds warm up.
    if (round >= 0) times.get(name)?.push(performance.now() - started);
  }
}
if (kept !== undefined) throw new Error('the last contender should have been refused');

const yardstick = median(times.get(Object.keys(contenders)[0]!) ?? []);
console.log(`median of ${ROUNDS} alternating rounds of ${CALLS} calls, Node ${process.version}\n`);
for (const [name, taken] of times) {
  const middle = median(taken);
  const perSecond = Math.round((CALLS / middle) * 1000);
  console.log(
    `${name.padEnd(34)} ${(middle / yardstick).toFixed(2).padStart(6)} × the yardstick  ${perSecond.toLocaleString('en').padStart(12)} a second`,
  );
}
