import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { managementOf } from './client.ts';
import { askControl } from './control.ts';
import { rawRequest } from './raw-request.ts';
import { forget, type RunningStack, startRunningStack } from './running-stack.ts';
import { eventually } from './until.ts';

/** On a stack of its own, with the canary: its faults and its calls are nobody else's. */
let stack: RunningStack;
beforeAll(async () => {
  stack = await startRunningStack({ assembly: null, args: ['--canary'] });
  // The first start of a function takes longer than a request may.
  await eventually(async () => (await manage('GET', '/api-keys')).status === 200, 60);
  await eventually(async () => (await newKey().catch(() => undefined)) !== undefined, 60);
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
});
afterEach(() => control('DELETE', '/faults'));

const control = (method: string, path: string, body?: unknown) => askControl(stack, method, path, body);
const manage = (method: string, path: string, body?: unknown, key = stack.admin_key) =>
  managementOf(stack.apis.management)(method, path, { key, body });
let owners = 0;
const newKey = async (scopes = ['catalog:read', 'catalog:write']) => {
  const owner_id = `team-${owners++}`;
  const { status, body } = await manage('POST', '/api-keys', { name: 'n', owner_id, scopes });
  if (status !== 201) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return { key: body.key as string, id: body.api_key.id as string };
};
const call = async (api: 'catalogRest' | 'catalogHttp', key: string, path = '/products', method = 'GET') =>
  (await rawRequest(stack.apis[api], path, ['x-api-key', key], method)).status;

type Caches = { api_id: string; stage: string; cache: string }[];
/** How many stages there are of each state. */
const counted = (caches: Caches) => {
  const count = (state: string) => caches.filter(({ cache }) => cache === state).length;
  return { flushed: count('flushed'), pending: count('pending'), none: count('none') };
};
const flushes = async (): Promise<number> => {
  const { calls } = (await control('GET', '/calls')) as { calls: { call: string; status?: number }[] };
  return calls.filter(
    ({ call, status }) => call.startsWith('apigateway:') && status !== undefined && status < 300,
  ).length;
};
/** Until what came before is done with: its second flush is 15 s after it. */
const quiet = async () => {
  let seen = await flushes();
  for (let still = 0; still < 19; still++) {
    await new Promise((soon) => setTimeout(soon, 1_000));
    const now = await flushes();
    if (now !== seen) still = 0;
    seen = now;
  }
};

describe.each(['catalogRest', 'catalogHttp'] as const)('a key that %s keeps an answer of', (api) => {
  it('is refused as soon as its revocation says flushed', async () => {
    const { key, id } = await newKey();
    expect(await call(api, key)).toBe(200);
    const { status, body } = await manage('POST', `/api-keys/${id}/revoke`);
    expect(status).toBe(200);
    // The Catalog's two APIs and the canary's one keep answers; all others keep none.
    expect(counted(body.caches)).toMatchObject({ flushed: 3, pending: 0 });
    expect(counted(body.caches).none).toBeGreaterThanOrEqual(4);
    expect(await call(api, key)).toBe(401);
  });

  it('is refused as soon as it has revoked itself', async () => {
    const { key } = await newKey();
    expect(await call(api, key)).toBe(200);
    const { body } = await manage('POST', '/api-keys/self/revoke', {}, key);
    expect(counted(body.caches)).toMatchObject({ flushed: 3, pending: 0 });
    expect(await call(api, key)).toBe(401);
  });

  it('may do no more than it has left as soon as the change says flushed', async () => {
    const { key, id } = await newKey();
    expect(await call(api, key, '/products/1', 'PUT')).toBe(200);
    const { body } = await manage('PATCH', `/api-keys/${id}`, { scopes: ['catalog:read'] });
    expect(counted(body.caches)).toMatchObject({ flushed: 3, pending: 0 });
    expect(await call(api, key, '/products/1', 'PUT')).toBe(403);
    expect(await call(api, key)).toBe(200);
  });
});

it('a change that takes nothing away flushes nothing, and says nothing of caches', async () => {
  const { id } = await newKey();
  const { body } = await manage('PATCH', `/api-keys/${id}`, { name: 'another' });
  expect(body).not.toHaveProperty('caches');
});

it('a control plane that throttles leaves it pending, and the queue flushes it', async () => {
  await quiet();
  const { key, id } = await newKey();
  expect(await call('catalogRest', key)).toBe(200);
  // The queue's function too: it is quick enough to flush what the request is still waiting for.
  for (const name of ['revoke-key', 'flush-caches']) {
    for (const call of ['apigateway:FlushStageAuthorizersCache', 'apigateway:ResetAuthorizersCache']) {
      for (let nth = 1; nth <= 12; nth++)
        await control('POST', '/faults', { function: name, call, nth, fault: 'throttle' });
    }
  }
  const { status, body } = await manage('POST', `/api-keys/${id}/revoke`);
  expect(status).toBe(200);
  expect(counted(body.caches)).toMatchObject({ flushed: 0, pending: 3 });
  await control('DELETE', '/faults');
  await eventually(async () => (await call('catalogRest', key)) === 401, 60);
}, 120_000);

it('many revocations at once are few flushes', async () => {
  // Four functions run at a time here, so these are as many as one second has.
  const keys: { key: string; id: string }[] = [];
  for (let i = 0; i < 20; i++) keys.push(await newKey());
  for (const { key } of keys) expect(await call('catalogRest', key)).toBe(200);
  await quiet();
  const before = await flushes();
  const began = Date.now();
  const answers = await Promise.all(keys.map(({ id }) => manage('POST', `/api-keys/${id}/revoke`)));
  const seconds = Math.ceil((Date.now() - began) / 1000);
  expect(answers.map(({ status }) => status)).toEqual(keys.map(() => 200));
  await eventually(async () => {
    for (const { key } of keys) if ((await call('catalogRest', key)) !== 401) return false;
    return true;
  }, 20);
  await quiet();
  // Of three stages at most one a second while revocations and their messages come, and their second flushes.
  const made = (await flushes()) - before;
  expect(made).toBeGreaterThanOrEqual(6);
  expect(made).toBeLessThanOrEqual(3 * (2 * seconds + 6));
}, 180_000);

describe('GET /status', () => {
  it('has no sample at first, and those of the canary when it has run', async () => {
    const name = Object.entries(stack.functions).find(([id]) => id.startsWith('Rekey/RunCanary'))?.[1];
    for (let run = 0; run < 2; run++) {
      const answer = await fetch(`${stack.control}/2015-03-31/functions/${name}/invocations`, {
        method: 'POST',
        body: '{}',
      });
      const samples = (await answer.json()) as { canary_stage: string; gave_up: boolean }[];
      expect(samples.map(({ canary_stage, gave_up }) => [canary_stage, gave_up])).toEqual([
        ['cached', false],
        ['uncached', false],
      ]);
    }
    const { status, body } = await manage('GET', '/status');
    expect(status).toBe(200);
    for (const stage of ['cached', 'uncached']) {
      const { samples, p50_ms, p95_ms, p99_ms, max_ms } = body.revocation[stage];
      expect(samples).toBeGreaterThanOrEqual(2);
      expect(p50_ms).toBeGreaterThan(0);
      expect([p50_ms, p95_ms, p99_ms, max_ms]).toEqual(
        [p50_ms, p95_ms, p99_ms, max_ms].toSorted((a, b) => a - b),
      );
      expect(max_ms).toBeLessThan(30_000);
    }
    expect(body.publishing.healthy).toBe(true);
  }, 120_000);

  it('is for whoever has status:read', async () => {
    const { key } = await newKey(['catalog:read']);
    expect((await manage('GET', '/status', undefined, key)).status).toBe(403);
  });

  it('leaves the canary’s keys out of other owners’ lists', async () => {
    const { body } = await manage('GET', '/api-keys?owner_id=admin');
    expect(JSON.stringify(body)).not.toContain('rekey-canary');
  });
});
