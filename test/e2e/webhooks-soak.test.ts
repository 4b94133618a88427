import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Answer } from '../lib/webhook-receiver.ts';
import { hang, reset, startReceiver, status } from '../lib/webhook-receiver.ts';
import { managementOf, newOwner } from './client.ts';
import { advance, type RunningStack, startRunningStack } from './running-stack.ts';
import { type Asked, keyIn, makeKeys, type Registered, recorded, register } from './webhook-endpoints.ts';

/** `npm run test:soak` sets 10000. */
const EVENTS = Number(process.env['REKEY_SOAK_EVENTS'] ?? 60);
const ENDPOINTS = 3;
/** No attempt of the schedule waits so long but the later ones. */
const STEP_SECONDS = 330;
/** Half a second for each on an idle machine; a busy one takes longer, and loses nothing. */
const LONGEST_MS = 60_000 + EVENTS * 2_000;

jest.setTimeout(2 * LONGEST_MS + 120_000);

/** A fifth fails: 503, a reset, or no answer at all. */
const failing: Answer = (response, socket, received) => {
  const dice = Math.random();
  if (dice < 0.1) status(503, { 'retry-after': '1' })(response, socket, received);
  else if (dice < 0.18) reset(response, socket, received);
  else if (dice < 0.2) hang(response, socket, received);
  else status(200)(response, socket, received);
};

const progress = (line: string): void => {
  if (process.env['REKEY_SOAK_EVENTS']) process.stderr.write(`\r${line}   `);
};

// It moves the clock, so it has a stack of its own.
let stack: RunningStack;
let at: Asked;
beforeAll(async () => {
  stack = await startRunningStack();
  at = { management: managementOf(stack.apis.management), admin: stack.admin_key };
});
afterAll(() => stack.stop());

describe(`${EVENTS} events to ${ENDPOINTS} endpoints, of which a fifth of the attempts fail`, () => {
  it('all arrive everywhere, each is verified, and each body is the one that was recorded', async () => {
    const owner_id = newOwner('soak');
    const endpoints: Registered[] = [];
    for (let i = 0; i < ENDPOINTS; i++) endpoints.push(await register(owner_id, failing, at));
    const arrived = endpoints.map(() => new Map<string, string>());
    const read = endpoints.map(() => 0);
    const collect = (): number => {
      endpoints.forEach(({ secret, receiver }, i) => {
        for (const one of receiver.received.slice(read[i])) {
          keyIn(secret, one);
          arrived[i]!.set(one.headers['webhook-id']!, one.body);
        }
        read[i] = receiver.received.length;
      });
      return arrived.reduce((sum, ids) => sum + ids.size, 0);
    };
    /** The last one is away for a while, and comes back at the same port. */
    const restart = async (): Promise<void> => {
      const last = endpoints.at(-1)!;
      collect();
      const { port } = new URL(last.receiver.url);
      await last.receiver.close();
      await new Promise((later) => setTimeout(later, 1_500));
      last.receiver = await startReceiver(failing, Number(port));
      read[ENDPOINTS - 1] = 0;
    };

    let restarts = 0;
    let restarting = Promise.resolve();
    const told = (made: number): void => {
      progress(`${made} events made, ${collect()} of ${EVENTS * ENDPOINTS} arrived`);
      if (made >= (EVENTS * (restarts + 1)) / 3 && restarts < 2) {
        restarts += 1;
        restarting = restarting.then(restart);
      }
    };
    await makeKeys(owner_id, EVENTS, told, at);
    await restarting;
    const end = Date.now() + LONGEST_MS;
    let before = -1;
    let idle = 0;
    while (collect() < EVENTS * ENDPOINTS && Date.now() < end) {
      await new Promise((later) => setTimeout(later, 1_000));
      const now = collect();
      progress(`${now} of ${EVENTS * ENDPOINTS} arrived`);
      // Nothing came for a while: what is left waits for its next attempt.
      idle = now === before ? idle + 1 : 0;
      before = now;
      if (idle >= 8) {
        await advance(stack, STEP_SECONDS);
        idle = 0;
      }
    }

    const texts = await recorded(owner_id, at);
    const created = [...texts].filter(([, text]) => text.includes('"type":"api_key.created"'));
    expect(created).toHaveLength(EVENTS);
    for (const ids of arrived)
      for (const [id, text] of created) expect([id, ids.get(id)]).toEqual([id, text]);
    for (const { receiver } of endpoints) await receiver.close();
  });
});
