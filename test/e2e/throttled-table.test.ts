import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { managementOf, productOf } from './client.ts';
import { askControl } from './control.ts';
import { forget, type RunningStack, sharedAssembly, startRunningStack } from './running-stack.ts';
import { eventually } from './until.ts';

/** On a stack of its own: its faults are nobody else's. */
let stack: RunningStack;
let key: string;
const list = () => productOf(stack.apis.orders)('GET', '/orders', { key });

beforeAll(async () => {
  stack = await startRunningStack({ assembly: sharedAssembly() });
  await eventually(async () => {
    const body = { name: 'n', owner_id: 'team', scopes: ['orders:read'] };
    const made = await managementOf(stack.apis.management)('POST', '/api-keys', {
      key: stack.admin_key,
      body,
    });
    key = made.body?.key;
    return made.status === 201;
  }, 60);
  // Its first use is noted, and the routes are known.
  await eventually(async () => (await list()).status === 200, 60);
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
});
afterEach(() => askControl(stack, 'DELETE', '/faults'));

const throttle = async (times: number) => {
  for (let nth = 1; nth <= times; nth++)
    await askControl(stack, 'POST', '/faults', {
      ...{ function: 'authorizer', call: 'dynamodb:GetItem', nth, fault: 'throttle' },
    });
};

describe('a table that throttles the authorizer', () => {
  it('is not noticed when it does so once', async () => {
    await throttle(1);
    expect((await list()).status).toBe(200);
  });

  it('makes every request 503, which says when to come back, until it does no longer', async () => {
    await throttle(20);
    for (let n = 0; n < 3; n++) {
      const answer = await list();
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toBe('1');
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(answer.body).toMatchObject({ type: 'urn:rekey:problem:unavailable', status: 503 });
    }
    const management = managementOf(stack.apis.management);
    expect((await management('GET', '/api-keys/self', { key })).status).toBe(503);
    await askControl(stack, 'DELETE', '/faults');
    expect((await list()).status).toBe(200);
  });
});
