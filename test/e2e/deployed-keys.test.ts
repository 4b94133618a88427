import { cpSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { askControl, invokeFunction } from './control.ts';
import {
  advance,
  everyFile,
  everyItem,
  forget,
  type RunningStack,
  sharedAssembly,
  startRunningStack,
} from './running-stack.ts';
import { type Held, heldBy, type Secret, secretOf as secretIn } from './secret.ts';

const DAY = 86_400;
const ROTATED_WITHIN_MS = 120_000;

let stack: RunningStack;
beforeAll(async () => {
  stack = await startRunningStack();
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
});

const secretOf = (name: string): Secret => secretIn(stack, name);
const valueIn = (name: string, stage?: string): Held => heldBy(secretOf(name), stage);
const invoke = async (name: string): Promise<unknown> => (await invokeFunction(stack, name)).payload;
const control = (method: string, path: string, body?: object) => askControl(stack, method, path, body);
const getOrders = async (key: string): Promise<number> =>
  (await fetch(`${stack.apis.orders}/orders`, { headers: { 'x-api-key': key } })).status;
const self = async (key: string) =>
  (await fetch(`${stack.apis.management}/api-keys/self`, { headers: { 'x-api-key': key } })).json();

/** Why attempts failed. */
const reasons = (): string => {
  const file = join(stack.stateDir, 'logs', 'secrets-manager.log');
  return existsSync(file) ? readFileSync(file, 'utf8') : 'no attempt has ended';
};

/** Waits for the end of a rotation. When an attempt fails, its wait is passed by the clock. */
async function untilRotated(name: string, before: string): Promise<void> {
  const deadline = Date.now() + ROTATED_WITHIN_MS;
  for (let looks = 1; ; looks++) {
    if (valueIn(name).key_id !== before && secretOf(name).rotation?.run === undefined) return;
    if (Date.now() > deadline) throw new Error(`${name} was not rotated: ${reasons()}`);
    await sleep(100);
    if (looks % 50 === 0) await advance(stack, 60);
  }
}

describe('a key in Secrets Manager', () => {
  it('is there with the stack, works, and is read by the function that may read it', async () => {
    expect(valueIn('OrdersKey')).toEqual({
      key: expect.stringMatching(/^rk_live_/),
      key_id: expect.stringMatching(/^key_/),
      expires_at: expect.any(String),
    });
    // The first decision of a stack that is just starting, on a machine that may be busy.
    let status = 0;
    for (let tries = 1; status !== 200 && tries <= 5; tries++)
      status = await getOrders(valueIn('OrdersKey').key);
    expect(status).toBe(200);
    expect(await invoke('CountOrders')).toEqual({ orders: expect.any(Number) });
  });

  it('of the administrator may do everything', async () => {
    const { api_key } = (await self(valueIn('AdminKey').key)) as { api_key: object };
    expect(api_key).toMatchObject({ scopes: ['*:*'], owner_access: 'any', owner_id: 'administrator' });
  });

  it('is nowhere as text but in the secret', async () => {
    const { key } = valueIn('OrdersKey');
    expect(JSON.stringify(await everyItem(stack))).not.toContain(key);
    const found = everyFile(stack.stateDir)
      .filter(({ bytes }) => bytes.includes(key))
      .map(({ path }) => path);
    expect(found).toEqual([join(stack.stateDir, 'secrets.json')]);
  });

  it('is rotated when its time has come, and whoever reads AWSCURRENT has a key that works at any moment', async () => {
    const first = valueIn('OrdersKey');
    const statuses: number[] = [];
    let going = true;
    const traffic = async () => {
      while (going) statuses.push(await getOrders(valueIn('OrdersKey').key));
    };
    // What is signed before the clock moves and comes after it is refused, as by AWS: that is not the rotation's doing.
    await advance(stack, 30 * DAY);
    const consumers = [traffic(), traffic()];
    await untilRotated('OrdersKey', first.key_id);
    await sleep(500);
    going = false;
    await Promise.all(consumers);

    expect(statuses.length).toBeGreaterThan(20);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(valueIn('OrdersKey', 'AWSPREVIOUS')).toEqual(first);
    // Whoever read it just before the rotation has a week.
    expect(await getOrders(first.key)).toBe(200);
    expect(await invoke('CountOrders')).toEqual({ orders: expect.any(Number) });
    await untilRotated('AdminKey', '');
  });

  it('ends after the grace of its rotation, and its successor goes on', async () => {
    const previous = valueIn('OrdersKey', 'AWSPREVIOUS');
    await advance(stack, 8 * DAY);
    expect(await getOrders(previous.key)).toBe(401);
    expect(await getOrders(valueIn('OrdersKey').key)).toBe(200);
    // It had the old key in its memory, and reads the new one.
    expect(await invoke('CountOrders')).toEqual({ orders: expect.any(Number) });
  });
});

describe('a crash of the rotation', () => {
  it('at any call leaves AWSCURRENT working, and the next attempt goes through', async () => {
    const name = 'rotate-secret';
    const rotateBroken = async (fault?: { call: string; nth: number; fault: string }): Promise<string[]> => {
      await control('DELETE', '/faults');
      await control('DELETE', '/calls');
      if (fault) await control('POST', '/faults', { function: name, ...fault });
      const { key_id } = valueIn('OrdersKey');
      await advance(stack, 31 * DAY);
      let going = true;
      const broken: number[] = [];
      const traffic = (async () => {
        while (going) {
          const status = await getOrders(valueIn('OrdersKey').key);
          if (status !== 200) broken.push(status);
          await sleep(50);
        }
      })();
      await untilRotated('OrdersKey', key_id);
      await untilRotated('AdminKey', '');
      going = false;
      await traffic;
      expect([fault, ...broken]).toEqual([fault]);
      if (fault) {
        const { faults } = (await control('GET', '/faults')) as { faults: { hit: unknown }[] };
        expect([fault, faults[0]?.hit !== null]).toEqual([fault, true]);
      }
      const { calls } = (await control('GET', `/calls?function=${name}`)) as { calls: { call: string }[] };
      return calls.map(({ call }) => call.replace('secretsmanager:', ''));
    };

    const calls = await rotateBroken();
    // Two secrets are rotated at the same time.
    expect(calls.filter((call) => call === 'PutSecretValue')).toHaveLength(2);
    expect(calls.filter((call) => call === 'UpdateSecretVersionStage')).toHaveLength(2);
    // Every call in every way: test/lib/rotate-secret.test.ts. Here those that change the secret, by a real process.
    for (const call of ['PutSecretValue', 'UpdateSecretVersionStage'])
      for (const fault of ['crash_before', 'crash_after'])
        await rotateBroken({ call: `secretsmanager:${call}`, nth: 1, fault });
  }, 600_000);
});

describe('a stack without its key', () => {
  it('has had it revoked, with everything that came of it', async () => {
    const { key } = valueIn('OrdersKey');
    const { stateDir } = stack;
    expect(await getOrders(key)).toBe(200);
    await stack.stop();

    const assembly = mkdtempSync(join(tmpdir(), 'rekey-assembly-'));
    cpSync(sharedAssembly() ?? '', assembly, { recursive: true });
    const file = join(assembly, 'OrdersWorker.template.json');
    const template = JSON.parse(readFileSync(file, 'utf8')) as {
      Resources: Record<string, { Type: string }>;
      Outputs: object;
    };
    const logs = Object.entries(template.Resources).filter(([, { Type }]) => Type === 'AWS::Logs::LogGroup');
    writeFileSync(file, JSON.stringify({ ...template, Resources: Object.fromEntries(logs), Outputs: {} }));
    stack = await startRunningStack({ stateDir, assembly });

    expect(await getOrders(key)).toBe(401);
    const items = (await everyItem(stack)) as Record<string, { S?: string; NULL?: boolean }>[];
    const keys = items.filter(({ owner_id, sk }) => owner_id?.S === 'team-fulfilment' && sk?.S === 'api_key');
    expect(keys.length).toBeGreaterThan(1);
    const reasons = keys
      .map(({ revoked_reason }) => revoked_reason?.S)
      .filter((reason) => reason !== undefined);
    expect(reasons.length).toBeGreaterThan(0);
    expect(new Set(reasons)).toEqual(new Set(['deleted from its CloudFormation stack']));
    // Of the administrator's key alone.
    expect(items.filter(({ pk }) => pk?.S?.startsWith('deployment_'))).toHaveLength(1);
    forget(assembly);
  }, 180_000);
});
