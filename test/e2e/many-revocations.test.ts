import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { managementOf } from './client.ts';
import { askControl } from './control.ts';
import { rawRequest } from './raw-request.ts';
import { forget, type RunningStack, startRunningStack } from './running-stack.ts';
import { eventually } from './until.ts';

/** `npm run test:revocations` has 1,000. */
const REVOCATIONS = Number(process.env['REKEY_REVOCATIONS'] ?? 150);
const AT_ONCE = 50;
/** A revocation waits for the flush: AWS would have a process for each request. */
const PROCESSES = 12;
/** Of infra/flush.ts, in seconds: the second flush comes so much later, and a batch waits for one more. */
const SETTLED = 15;
const WINDOW = 1;
/** Of lib/flush-state.ts: one stage is flushed once a second at most. */
const FLUSHES_PER_SECOND = 1;

/** On a stack of its own: its calls are counted. */
let stack: RunningStack;
beforeAll(async () => {
  stack = await startRunningStack();
  await askControl(stack, 'PUT', '/processes?function=revoke-key', { most: PROCESSES });
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
});

const manage = (method: string, path: string, body?: unknown) =>
  managementOf(stack.apis.management)(method, path, { key: stack.admin_key, body });
/** Again when a machine that is busy with other things did not answer in time. */
const insist = async (...asked: Parameters<typeof manage>) => {
  for (let tries = 1; ; tries++) {
    const answer = await manage(...asked);
    if (answer.status < 500) return answer;
    if (tries === 10) throw new Error(`${asked.slice(0, 2).join(' ')}: ${answer.text}`);
    retried += 1;
    await sleep(200 * tries);
  }
};
let retried = 0;
const call = async (api: 'catalogRest' | 'catalogHttp', key: string) =>
  (await rawRequest(stack.apis[api], '/products', ['x-api-key', key])).status;

/** Does it for all of them, some at once. */
async function forAll<From, To>(all: readonly From[], what: (one: From) => Promise<To>): Promise<To[]> {
  const results: To[] = [];
  const queue = all.entries();
  const work = async () => {
    for (const [index, one] of queue) results[index] = await what(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

/** How often the control plane was asked to empty each kind of cache, and did. */
const flushes = () => {
  const lines = readFileSync(join(stack.stateDir, 'logs/aws-requests.log'), 'utf8').split('\n');
  const of = (operation: string) =>
    lines.filter((line) => line.includes(`"operation":"${operation}"`) && /"status":20[24]\b/.test(line))
      .length;
  return { rest: of('FlushStageAuthorizersCache'), http: of('ResetAuthorizersCache') };
};

it(`${REVOCATIONS} revocations by request are few flushes, and no revoked key is let in`, async () => {
  const keys = await forAll(Array.from({ length: REVOCATIONS }), async () => {
    const asked = { name: 'n', owner_id: 'team-many', scopes: ['catalog:read'] };
    const { status, body } = await insist('POST', '/api-keys', asked);
    expect(status).toBe(201);
    return { key: body.key as string, id: body.api_key.id as string };
  });
  const both = ({ key }: { key: string }) =>
    Promise.all([call('catalogRest', key), call('catalogHttp', key)]);
  await eventually(async () => (await both(keys[0]!)).every((status) => status === 200), 60);
  expect(new Set((await forAll(keys, both)).flat())).toEqual(new Set([200]));

  const before = flushes();
  const began = performance.now();
  const answers = await forAll(keys, ({ id }) => insist('POST', `/api-keys/${id}/revoke`, {}));
  const seconds = (performance.now() - began) / 1000;
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  const caches = answers.flatMap(({ body }) => body.caches as { cache: string }[] | null);
  const told = { flushed: 0, pending: 0, none: 0, unknown: 0 };
  for (const one of caches) told[(one?.cache ?? 'unknown') as keyof typeof told] += 1;
  expect(told.flushed).toBeGreaterThan(0);

  // The answers that said so for both stages hold at once; the others' as soon as the queue has flushed.
  const done = keys.filter((_, index) =>
    (answers[index]!.body.caches as { cache: string }[] | null)?.every(({ cache }) => cache !== 'pending'),
  );
  expect(new Set((await forAll(done, both)).flat())).toEqual(new Set([401]));
  await eventually(
    async () => (await forAll(keys, both)).flat().every((status) => status === 401),
    SETTLED + 45,
  );
  await sleep((SETTLED + 2 * WINDOW + 5) * 1000);
  expect(new Set((await forAll(keys, both)).flat())).toEqual(new Set([401]));

  const after = flushes();
  const made = { rest: after.rest - before.rest, http: after.http - before.http };
  console.info(
    `${REVOCATIONS} revocations in ${seconds.toFixed(1)} s: ${made.rest} and ${made.http} flushes; answers ${JSON.stringify(told)}; ${retried} asked again`,
  );
  // One a second while they came, and again for their second flushes; some more for what came a moment later.
  const most = 2 * FLUSHES_PER_SECOND * Math.ceil(seconds) + 8;
  for (const count of [made.rest, made.http]) {
    expect(count).toBeGreaterThanOrEqual(2);
    expect(count).toBeLessThanOrEqual(most);
  }
}, 900_000);
