import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { managementOf, productOf } from './client.ts';
import { advance, everyItem, forget, type RunningStack, startRunningStack } from './running-stack.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;

/** On a stack of its own: its clock jumps by months. */
describe('as time passes', () => {
  let stack: RunningStack;
  let management: ReturnType<typeof managementOf>;
  let orders: ReturnType<typeof productOf>;

  beforeAll(async () => {
    stack = await startRunningStack();
    management = managementOf(stack.apis.management);
    orders = productOf(stack.apis.orders);
  });

  afterAll(async () => {
    await stack?.stop();
    if (stack) forget(stack.stateDir);
  });

  const create = async (more: object = {}) => {
    const { body } = await management('POST', '/api-keys', {
      key: stack.admin_key,
      body: { name: 'n', owner_id: 'team', scopes: ['orders:read'], ...more },
    });
    return { key: body.key as string, id: body.api_key.id as string };
  };
  const works = async (key: string) => (await orders('GET', '/orders', { key })).status === 200;
  const statusOf = async (id: string) =>
    (await management('GET', `/api-keys/${id}`, { key: stack.admin_key })).body.api_key.status;

  it('a rotated key works until its grace ends, and its successor goes on', async () => {
    const old = await create();
    const rotated = await management('POST', `/api-keys/${old.id}/rotate`, {
      key: stack.admin_key,
      body: { grace_period_hours: 24 },
    });
    const { key } = rotated.body;
    expect([await works(old.key), await works(key)]).toEqual([true, true]);
    expect(await statusOf(old.id)).toBe('rotated');
    await advance(stack, 23 * HOUR);
    expect([await works(old.key), await works(key)]).toEqual([true, true]);
    await advance(stack, HOUR + 60);
    expect([await works(old.key), await works(key)]).toEqual([false, true]);
    expect(await statusOf(old.id)).toBe('expired');
    const late = await management('POST', `/api-keys/${old.id}/rotate`, { key: stack.admin_key, body: {} });
    expect(late.status).toBe(409);
    const revived = await management('PATCH', `/api-keys/${old.id}`, {
      key: stack.admin_key,
      body: { expires_at: new Date(Date.now() + 60 * DAY * 1000).toISOString() },
    });
    expect(revived.status).toBe(409);
  });

  it('an expired key is 401, says expired when verified, and is neither rotated nor changed', async () => {
    const { key, id } = await create({ expires_in_days: 2 });
    await advance(stack, 2 * DAY + 1);
    expect(await works(key)).toBe(false);
    const verified = await management('POST', '/api-keys/verify', { key: stack.admin_key, body: { key } });
    expect(verified.body).toMatchObject({ valid: false, code: 'expired' });
    for (const [method, rest, body] of [
      ['POST', '/rotate', {}],
      ['PATCH', '', { name: 'again' }],
    ] as const) {
      const answer = await management(method, `/api-keys/${id}${rest}`, { key: stack.admin_key, body });
      expect(answer.body.type).toBe('urn:rekey:problem:key_expired');
    }
    const listed = await management('GET', '/api-keys?owner_id=team&status=expired', {
      key: stack.admin_key,
    });
    expect(listed.body.data.map((item: { id: string }) => item.id)).toContain(id);
  });

  it('an Idempotency-Key is forgotten after a day', async () => {
    const create = () =>
      management('POST', '/api-keys', {
        key: stack.admin_key,
        body: { name: 'n', owner_id: 'team', scopes: ['orders:read'] },
        headers: { 'idempotency-key': 'tomorrow' },
      });
    const first = await create();
    await advance(stack, DAY + 60);
    const second = await create();
    expect(second.status).toBe(201);
    expect(second.body.api_key.id).not.toBe(first.body.api_key.id);
  });

  it('DynamoDB tidies a key away 90 days after its end, and not before', async () => {
    // The administrator's own key ends on the way, so the table is read directly.
    const { id } = await create({ expires_in_days: 1 });
    // Its events stay longer.
    const inTable = async () =>
      ((await everyItem(stack)) as { pk: { S: string } }[]).some(({ pk }) => pk.S === id);
    await advance(stack, 90 * DAY);
    expect(await inTable()).toBe(true);
    await advance(stack, DAY + 60);
    expect(await inTable()).toBe(false);
  });
});
