import { digestOf, mintKey, newKeyId, parseKey } from '../lib/key-format.ts';
import { authorizerEvent } from '../test/lib/authorizer-event.ts';
import type { Part } from './part.ts';
import { ratioOf, takeTurns } from './rounds.ts';

const CALLS = 20_000;
const PER_SECOND = 200_000;

/** What a flood of rubbish costs: refusing a malformed key, beside hashing a good one. */
export async function refuseMalformed({ rounds = 15 } = {}): Promise<Part> {
  const { extractKey } = await import('../lib/credentials.ts');
  const key = mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(Date.now()) }).key.reveal();
  const refuse = (text: string) => {
    const headers = authorizerEvent({ headers: { 'x-api-key': [text] } }).multiValueHeaders;
    return () => {
      const credential = extractKey(headers);
      return 'problem' in credential ? undefined : parseKey(credential.key, 'rk');
    };
  };
  const malformed: Record<string, () => unknown> = {
    'one wrong character': refuse(key.slice(0, 40) + (key[40] === 'a' ? 'b' : 'a') + key.slice(41)),
    'a stranger’s token': refuse('sk_live_4eC39HqLyjWDarjtT1zdp7dc'),
    'eight thousand characters': refuse('x'.repeat(8_000)),
  };
  const rate = (call: () => unknown, expected: boolean) => () => {
    let kept: unknown;
    const started = performance.now();
    for (let i = 0; i < CALLS; i++) kept = call();
    const taken = performance.now() - started;
    if ((kept !== undefined) !== expected) throw new Error('the key was not judged as it should be');
    return (CALLS / taken) * 1000;
  };
  const yardstick = 'SHA-256 of a key';
  const taken = await takeTurns(
    {
      [yardstick]: rate(() => digestOf(key), true),
      ...Object.fromEntries(Object.entries(malformed).map(([name, call]) => [name, rate(call, false)])),
    },
    { rounds, warmUp: 3 },
  );
  return {
    name: 'malformed',
    unit: 'keys a second, nothing read',
    series: Object.values(taken),
    targets: Object.keys(malformed).flatMap((name) => {
      const [series, beside] = [taken[name], taken[yardstick]];
      if (!series || !beside) return [];
      return [
        { name: `refusing ${name}, a second`, value: series.median, atLeast: PER_SECOND },
        { name: `refusing ${name} ÷ ${yardstick}`, ratio: ratioOf(name, series, beside) },
      ];
    }),
  };
}
