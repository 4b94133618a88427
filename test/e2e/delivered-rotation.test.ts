import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKey } from '../../lib/api-key.schema.ts';
import type { Event } from '../../lib/event.schema.ts';
import { managementOf } from './client.ts';
import { askControl } from './control.ts';
import { advance, everyFile, forget, type RunningStack, startRunningStack } from './running-stack.ts';
import { heldBy, secretOf as secretIn } from './secret.ts';
import { eventually, until } from './until.ts';

const DAY = 86_400;

let stack: RunningStack;
let management: ReturnType<typeof managementOf>;
beforeAll(async () => {
  stack = await startRunningStack();
  management = managementOf(stack.apis.management);
  // The first decisions of a stack that is just starting, on a machine that may be busy.
  const keys = () => management('GET', '/api-keys', { key: stack.admin_key });
  await eventually(async () => (await keys()).status === 200, 60);
  await eventually(async () => (await getOrders(secretOf('OrdersKey').held.key)) === 200, 60);
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
});

/** A secret of the templates, by a part of its name, and what it holds now. */
const secretOf = (name: string) => {
  const secret = secretIn(stack, name);
  return { arn: secret.arn, held: heldBy(secret) };
};
const getOrders = async (key: string): Promise<number> =>
  (await fetch(`${stack.apis.orders}/orders`, { headers: { 'x-api-key': key } })).status;
const keyOf = async (id: string): Promise<ApiKey> =>
  (await management('GET', `/api-keys/${id}`, { key: stack.admin_key })).body.api_key;
/** What the sweep did about the rotation of a key, the first first. */
const told = async (id: string): Promise<string[]> => {
  const { body } = await management('GET', `/api-keys/${id}/events`, { key: stack.admin_key });
  return (body.data as Event[])
    .filter(({ type }) => type.startsWith('api_key.rotation_'))
    .map(({ type, data }) => String(data['urgency'] ?? type.replace('api_key.rotation_', '')))
    .toReversed();
};
const planned = async (secret_id: string): Promise<string> => {
  const rotation = { every_days: 10, deliver: { secrets_manager: { secret_id } } };
  const { status, body } = await management('POST', '/api-keys', {
    key: stack.admin_key,
    body: { name: 'n', owner_id: 'team', scopes: ['orders:read'], rotation },
  });
  expect([status, body]).toEqual([201, expect.any(Object)]);
  return body.api_key.id;
};
const logs = (): string =>
  everyFile(join(stack.stateDir, 'logs'))
    .map(({ bytes }) => bytes.toString('utf8'))
    .join('\n');

describe('a key that is to be delivered', () => {
  it('is rotated by the system when it is due, into its secret; nobody has to act, and nobody notices', async () => {
    const { arn, held } = secretOf('OrdersKey');
    const nowhere = await planned('there/is/no/such/secret');
    const thief = await planned(secretOf('AdminKey').arn);
    const admin = secretOf('AdminKey').held;
    const rotation = {
      every_days: 10,
      grace_period_hours: 48,
      deliver: { secrets_manager: { secret_id: arn } },
    };
    const patched = await management('PATCH', `/api-keys/${held.key_id}`, {
      key: stack.admin_key,
      body: { rotation },
    });
    expect(patched.status).toBe(200);

    await advance(stack, 10 * DAY);
    const statuses: number[] = [];
    let going = true;
    const traffic = async () => {
      while (going) statuses.push(await getOrders(secretOf('OrdersKey').held.key));
    };
    const consumers = [traffic(), traffic()];
    await eventually(() => secretOf('OrdersKey').held.key_id !== held.key_id, 120);
    await sleep(500);
    going = false;
    await Promise.all(consumers);
    expect(statuses.length).toBeGreaterThan(20);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);

    const now = Date.parse(((await (await fetch(`${stack.control}/clock`)).json()) as { now: string }).now);
    const before = await keyOf(held.key_id);
    const after = await keyOf(secretOf('OrdersKey').held.key_id);
    expect(after).toMatchObject({ status: 'active', parent_key_id: held.key_id, rotation });
    expect(Date.parse(String(after.rotation_due_at))).toBeGreaterThan(now + 8 * DAY * 1000);
    expect(before).toMatchObject({ status: 'rotated', successor_key_id: after.id });
    const grace = Date.parse(String(before.expires_at)) - now;
    expect(grace).toBeGreaterThan(46 * 3_600_000);
    expect(grace).toBeLessThanOrEqual(48 * 3_600_000);
    // Whoever has it in memory.
    expect(await getOrders(held.key)).toBe(200);

    // Two keys have nowhere to go: one names a secret that is not there, and one that of somebody else.
    await eventually(
      () => [nowhere, thief].every((id) => logs().includes(`"api_key_id":"${id}","cause"`)),
      60,
    );
    expect(logs()).toContain('there is no such secret here, or it is not rotated by rotate-secret');
    expect(logs()).toContain('the secret holds another key');
    expect(secretOf('AdminKey').held).toEqual(admin);
    for (const id of [nowhere, thief]) expect(await told(id)).toEqual(['requested']);

    await advance(stack, DAY);
    await eventually(async () => (await told(thief)).length === 2 && (await told(nowhere)).length === 2, 60);
    for (const id of [nowhere, thief]) {
      expect(await told(id)).toEqual(['requested', 'notice']);
      expect(await keyOf(id)).toMatchObject({ status: 'active', rotated_at: null, successor_key_id: null });
    }
    expect(await told(held.key_id)).toEqual(['requested']);
    expect(await told(after.id)).toEqual([]);
    expect(secretOf('AdminKey').held).toEqual(admin);
    expect(secretOf('OrdersKey').held.key_id).toBe(after.id);
  });

  it.each(['crash_before', 'crash_after'])(
    'is rotated once, and nobody is told, when the process that asks for it ends: %s',
    async (fault) => {
      const call = { function: 'rotate-secret', call: 'secretsmanager:RotateSecret', nth: 1, fault };
      await askControl(stack, 'POST', '/faults', call);
      const { held } = secretOf('OrdersKey');
      await advance(stack, 10 * DAY);
      const isRotated = () => secretOf('OrdersKey').held.key_id !== held.key_id;
      // Lambda tries again after a minute or two.
      for (let minutes = 0; !(await until(isRotated, 10)); minutes++) {
        expect(minutes).toBeLessThan(30);
        expect(await getOrders(held.key)).toBe(200);
        await advance(stack, 60);
      }
      const { faults } = (await askControl(stack, 'GET', '/faults')) as { faults: { hit: unknown }[] };
      expect(faults.map(({ hit }) => hit !== null)).toEqual([true]);
      await askControl(stack, 'DELETE', '/faults');

      const after = await keyOf(secretOf('OrdersKey').held.key_id);
      expect(after).toMatchObject({ status: 'active', parent_key_id: held.key_id });
      for (const { key } of [held, secretOf('OrdersKey').held]) expect(await getOrders(key)).toBe(200);
      expect(await told(held.key_id)).toEqual(['requested']);
    },
    180_000,
  );
});
