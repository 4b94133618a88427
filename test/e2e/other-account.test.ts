import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { managementOf } from './client.ts';
import { askControl } from './control.ts';
import { rawRequest } from './raw-request.ts';
import {
  advance,
  everyItem,
  forget,
  type RunningStack,
  sharedStack,
  startRunningStack,
} from './running-stack.ts';
import { synthesizeExample } from './synthesize-example.ts';
import { eventually } from './until.ts';

/** Of lib/authorizer-cache.ts, in seconds. */
const SESSION = 900;
/** Of infra/flush.ts, in seconds: a message that could not be done comes again after it. */
const VISIBILITY = 180;
/** Of lib/stage-table.ts: a stage that was given up is flushed so much longer. */
const DAY = 86_400;

const APIS = ['returnsRest', 'returnsHttp'] as const;

/** On a stack of its own, which has the stack of another account beside it: its clock moves and its calls are counted. */
let stack: RunningStack;
let example: string;
/** Of APIs that are in the other account. */
let theirs: string[];
beforeAll(async () => {
  const arnOf = (name: string) =>
    `arn:aws:lambda:us-east-1:000000000000:function:${
      Object.entries(sharedStack().functions).find(([id]) => id.startsWith(`Rekey/${name}`))![1]
    }`;
  example = synthesizeExample('returns-other-account', {
    ...{ account: '111111111111', region: 'us-east-1' },
    ...{ authorizer: arnOf('Authorizer'), registerRoutes: arnOf('RegisterRoutes') },
  });
  stack = await startRunningStack({ args: ['--with', example] });
  const { body } = await manage('GET', '/apis?limit=100');
  theirs = (body.data as { id: string; owner_id: string }[])
    .filter(({ owner_id }) => owner_id === 'stack:111111111111/Returns')
    .map(({ id }) => id);
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
  if (example) forget(example);
});
afterEach(() => control('DELETE', '/faults'));

const control = (method: string, path: string, body?: unknown) => askControl(stack, method, path, body);
const manage = (method: string, path: string, body?: unknown) =>
  managementOf(stack.apis.management)(method, path, { key: stack.admin_key, body });
const newKey = async () => {
  const asked = { name: 'n', owner_id: 'team-returns', scopes: ['returns:read', 'returns:write'] };
  const { body } = await manage('POST', '/api-keys', asked);
  return { key: body.key as string, id: body.api_key.id as string };
};
const call = async (api: (typeof APIS)[number], key: string, method = 'GET') => {
  const url = (stack.apis as Record<string, string>)[api]!;
  return (await rawRequest(url, '/returns', ['x-api-key', key], method)).status;
};

type Caches = { api_id: string; stage: string; cache: 'flushed' | 'pending' | 'none' }[];
/** Revokes, and gives what became of the caches that there are, of the other account and of the product's own. */
const revoke = async (id: string) => {
  const { status, body } = await manage('POST', `/api-keys/${id}/revoke`, {});
  expect(status).toBe(200);
  const cached = (body.caches as Caches).filter(({ cache }) => cache !== 'none');
  const states = (wanted: boolean) =>
    cached.filter(({ api_id }) => theirs.includes(api_id) === wanted).map(({ cache }) => cache);
  return { theirs: states(true), ours: states(false), cached };
};
const calls = async (name: string, of: string) => {
  const { calls } = (await control('GET', '/calls')) as {
    calls: { function: string; call: string; status?: number }[];
  };
  return calls.filter((one) => one.call === name && one.function.includes(of)).map(({ status }) => status);
};

describe('a stage in another account', () => {
  it('is known with its two APIs', () => {
    expect(theirs).toHaveLength(2);
  });

  it.each(APIS)(
    '%s refuses the very next requests of a revoked key, though it kept an answer',
    async (api) => {
      const { key, id } = await newKey();
      expect([await call(api, key), await call(api, key, 'POST')]).toEqual([200, 200]);
      expect(await revoke(id)).toMatchObject({
        theirs: ['flushed', 'flushed'],
        ours: ['flushed', 'flushed'],
      });
      expect([await call(api, key), await call(api, key, 'POST')]).toEqual([401, 401]);
    },
  );

  it('is flushed by a session of its own role, which is made anew before it ends', async () => {
    await control('DELETE', '/processes?function=revoke-key');
    await control('DELETE', '/calls');
    for (let i = 0; i < 2; i++) await revoke((await newKey()).id);
    // One for each API, for both revocations.
    expect(await calls('sts:AssumeRole', 'RevokeKey')).toEqual([200, 200]);
    // Of the product's own account there are others, which its own role flushes.
    expect(await calls('apigateway:FlushStageAuthorizersCache', 'rekey-flush')).toEqual(
      expect.arrayContaining([202, 202]),
    );
    expect(await calls('apigateway:ResetAuthorizersCache', 'rekey-flush')).toEqual(
      expect.arrayContaining([204, 204]),
    );
    await advance(stack, SESSION);
    const { key, id } = await newKey();
    expect(await call('returnsRest', key)).toBe(200);
    expect(await revoke(id)).toMatchObject({ theirs: ['flushed', 'flushed'] });
    expect(await call('returnsRest', key)).toBe(401);
    expect(await calls('sts:AssumeRole', 'RevokeKey')).toEqual([200, 200, 200, 200]);
  });

  it('is pending while STS throttles, holds up no other, and is flushed by the queue', async () => {
    const { key, id } = await newKey();
    expect(await call('returnsRest', key)).toBe(200);
    for (const name of ['revoke-key', 'flush-caches']) {
      await control('DELETE', `/processes?function=${name}`);
      for (let nth = 1; nth <= 30; nth++)
        await control('POST', '/faults', { function: name, call: 'sts:AssumeRole', nth, fault: 'throttle' });
    }
    expect(await revoke(id)).toMatchObject({ theirs: ['pending', 'pending'], ours: ['flushed', 'flushed'] });
    expect(await call('returnsRest', key)).toBe(200);
    await control('DELETE', '/faults');
    await eventually(async () => (await call('returnsRest', key)) === 401, 60);
  }, 90_000);
});

describe('a stage whose role does not trust the product for it', () => {
  it('is pending, is tried again and again, and is told of, while all others are flushed', async () => {
    // The role of the Returns API, by whom another API is registered: its external id names that API.
    const items = (await everyItem(stack)) as { pk: { S: string }; role_arn?: { S?: string } }[];
    const borrowed = items.find(({ pk, role_arn }) => pk.S === 'stages' && role_arn?.S)!.role_arn!.S;
    const stage = { name: 'v1', cache_header: 'x-api-key', kind: 'rest', flush_role_arn: borrowed };
    expect((await manage('PUT', '/apis/borrower', { routes: {}, stages: [stage] })).status).toBe(200);

    const { key, id } = await newKey();
    expect(await call('returnsHttp', key)).toBe(200);
    const { cached } = await revoke(id);
    expect(cached.filter(({ cache }) => cache === 'pending')).toEqual([
      { api_id: 'borrower', stage: 'v1', cache: 'pending' },
    ]);
    expect(cached.filter(({ cache }) => cache === 'flushed')).toHaveLength(4);
    expect(await call('returnsHttp', key)).toBe(401);

    const refused = (by: string) =>
      readFileSync(join(stack.stateDir, 'logs/aws-requests.log'), 'utf8')
        .split('\n')
        .filter(
          (line) => /"service":"sts".*"error":"AccessDenied/.test(line) && line.includes(`/Rekey-${by}`),
        ).length;
    expect(refused('RevokeKey')).toBeGreaterThanOrEqual(1);
    await eventually(() => refused('FlushCaches') >= 3, 40);
    const [, name] = Object.entries(stack.functions).find(([id]) => id.startsWith('Rekey/FlushCaches'))!;
    const log = () => readFileSync(join(stack.stateDir, 'logs', `${name}.log`), 'utf8');
    await eventually(() => /"flushes_pending":1\b/.test(log()), 40);
    expect(log()).toMatch(/"event":"flush_failed"[^\n]*borrower|borrower[^\n]*"event":"flush_failed"/);
    expect(log()).not.toMatch(/SecretAccessKey|ASIA/);

    // What could not be done comes again.
    const before = refused('FlushCaches');
    await advance(stack, VISIBILITY + 1);
    await eventually(() => refused('FlushCaches') > before, 40);

    // Nobody waits for it any more when it was given up: then nothing is left to do.
    await manage('DELETE', '/apis/borrower');
    await advance(stack, DAY + VISIBILITY);
    await eventually(async () => {
      const queues = (await control('GET', '/queues')) as Record<string, Record<string, number>>;
      const flushing = Object.entries(queues).filter(([queue]) => /Flush/.test(queue));
      expect(flushing.length).toBeGreaterThanOrEqual(4);
      return flushing.every(([, { visible, in_flight, delayed }]) => !visible && !in_flight && !delayed);
    }, 60);
    expect((await revoke((await newKey()).id)).cached.map(({ cache }) => cache)).toEqual(
      Array(4).fill('flushed'),
    );
  }, 240_000);
});
