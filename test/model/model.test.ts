import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cases } from './cases.ts';
import { type Command, DAY, HOUR, type Step } from './model.ts';
import { play } from './play.ts';
import { startWorld, type World } from './world.ts';

/** `npm run test:model` plays more. */
const STEPS = Number(process.env['REKEY_MODEL_STEPS'] ?? 3_000);
const SEED = Number(process.env['REKEY_MODEL_SEED'] ?? Math.floor(performance.timeOrigin % 1e9));
const RUNS_OF_A_ROUND = 10;

/** The arrows of the life of a key, in docs/rotation.md. */
const drawn = [
  ...readFileSync(new URL('../../docs/rotation.md', import.meta.url), 'utf8').matchAll(
    /^ {4}(\S+ --> \w+): /gm,
  ),
].map(([, arrow]) => arrow!);
const seen = new Set<string>();

let world: World;
let runs = 0;
beforeAll(async () => {
  world = await startWorld();
}, 60_000);
afterAll(() => world?.close(), 60_000);

const scope = fc.constantFrom('a:read', 'a:write', 'a:*', 'b:read', '*:read', '*:*');
const scopes = fc.uniqueArray(scope, { minLength: 1, maxLength: 3 });
const caller = fc.constantFrom('admin' as const, 'admin', 'admin', 'manager', 'reader', 'stranger');
const starts = fc.constantFrom('now' as const, 'first_use' as const);
/** The younger keys are talked about most. */
const key = fc.oneof(
  { weight: 3, arbitrary: fc.nat({ max: 2 }) },
  { weight: 1, arbitrary: fc.nat({ max: 12 }) },
);
const secret = fc.nat({ max: 7 });
const retry = fc.option(fc.nat({ max: 2 }), { nil: undefined, freq: 2 });
const wanted = fc.constantFrom('a:read', 'a:write', 'b:read', 'other:other');

const request = fc.record(
  {
    grace_period_hours: fc.constantFrom(0, 1, 24, 24, 48, 720),
    grace_starts: starts,
    replace_pending: fc.boolean(),
    scopes,
  },
  { requiredKeys: [] },
);
const create = fc.record({
  do: fc.constant('create' as const),
  caller,
  owner: fc.nat({ max: 1 }),
  scopes,
  days: fc.constantFrom(1, 7, 8, 30, 90, 365),
  grace_starts: fc.option(starts, { nil: null }),
  retry,
});
const rotate = fc.record({ do: fc.constant('rotate' as const), caller, key, request, retry });
const rotateSelf = fc.record({ do: fc.constant('rotate-self' as const), key, secret, request, retry });
const cancel = fc.record({ do: fc.constant('cancel' as const), caller, key });
const revoke = fc.record({ do: fc.constant('revoke' as const), caller, key });
const update = fc
  .record({
    do: fc.constant('update' as const),
    caller,
    key,
    scopes: fc.option(scopes, { nil: undefined }),
    expires_in_hours: fc.option(fc.constantFrom(1, 24, 30 * 24, 364 * 24, 366 * 24), { nil: undefined }),
  })
  .filter(({ scopes, expires_in_hours }) => scopes !== undefined || expires_in_hours !== undefined);
const use = fc.record({ do: fc.constant('use' as const), key, secret, scope: wanted });
const verify = fc.record({ do: fc.constant('verify' as const), caller, key, secret, scope: wanted });

const weighted = <T>(...parts: [number, fc.Arbitrary<T>][]) =>
  fc.oneof(...parts.map(([weight, arbitrary]) => ({ weight, arbitrary })));
const command = weighted<Command>(
  [3, create],
  [8, rotate],
  [4, rotateSelf],
  [2, cancel],
  [1, revoke],
  [2, update],
  [6, use],
  [2, verify],
);
/** One request at a time lets a key in and then rotates it, so its two halves are not one in between others. */
const simultaneous = weighted<Command>(
  [6, rotate],
  [2, cancel],
  [1, revoke],
  [1, update],
  [4, use],
  [1, verify],
);

const step = weighted<Step>(
  [30, command],
  [3, fc.record({ do: fc.constant('sweep' as const) })],
  [
    6,
    fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1, HOUR - 1, HOUR, DAY, 2 * DAY, 7 * DAY - 1, 7 * DAY, 20 * DAY),
    }),
  ],
  [
    3,
    fc.record({
      do: fc.constant('together' as const),
      commands: fc.array(simultaneous, { minLength: 2, maxLength: 4 }),
    }),
  ],
  [
    1,
    fc.record({
      do: fc.constant('crash' as const),
      command,
      at: fc.integer({ min: 1, max: 6 }),
      how: fc.constantFrom('before' as const, 'after', 'once', 'once'),
    }),
  ],
);
const steps = fc.array(step, { minLength: 30, maxLength: 60, size: 'max' });

describe('the model and the product', () => {
  it.each(cases)('agree where they once did not: $about', async ({ steps, settings }) => {
    await play(world, `case-${runs++}`, steps, settings, seen);
  });

  it(
    `answer alike in ${STEPS} steps, with time jumps, simultaneous requests and crashes`,
    async () => {
      let played = 0;
      for (let round = 0; played < STEPS; round++) {
        const seed = SEED + round;
        await fc.assert(
          fc.asyncProperty(steps, starts, async (steps, stackStarts) => {
            played += await play(world, `run-${runs++}`, steps, { stackStarts }, seen);
          }),
          { seed, numRuns: RUNS_OF_A_ROUND, endOnFailure: process.env['REKEY_MODEL_SHRINK'] === undefined },
        );
        process.stdout.write(`model: ${played} steps, seed ${seed}, no difference\n`);
      }
      expect(played).toBeGreaterThanOrEqual(STEPS);
    },
    60 * 60_000,
  );

  it('went every way from one status to another that docs/rotation.md draws, and no other', () => {
    expect([...seen].toSorted()).toEqual(drawn.toSorted());
  });
});
