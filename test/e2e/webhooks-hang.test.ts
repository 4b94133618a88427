import { afterEach, describe, expect, it } from '@jest/globals';
import { hang } from '../lib/webhook-receiver.ts';
import { admin, management, newOwner } from './client.ts';
import { keyIn, makeKeys, type Registered, register, until } from './webhook-endpoints.ts';

const open: Registered[] = [];
afterEach(async () => {
  for (const { id, receiver } of open.splice(0)) {
    await management('DELETE', `/webhook-endpoints/${id}`, { key: admin });
    await receiver.close();
  }
});
const registered = async (...parameters: Parameters<typeof register>): Promise<Registered> => {
  const one = await register(...parameters);
  open.push(one);
  return one;
};

describe('an endpoint that hangs', () => {
  it('for each of 500 events does not delay another one’s 500', async () => {
    const owner_id = newOwner();
    const hanging = await registered(owner_id, hang);
    const healthy = await registered(owner_id);
    const ids = await makeKeys(owner_id, 500);
    const arrived = () => new Set(healthy.receiver.received.map((one) => keyIn(healthy.secret, one)));
    // Less than a single attempt at the other one takes.
    expect(await until(() => arrived().size >= 500, 14)).toBe(true);
    expect(arrived()).toEqual(new Set(ids));
    expect(hanging.receiver.received.length).toBeGreaterThan(0);
  });
});
