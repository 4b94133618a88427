import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Event } from '../../lib/event.schema.ts';
import { managementOf } from './client.ts';
import { advance, everyItem, forget, type RunningStack, startRunningStack } from './running-stack.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;
/** What is due is done within a second or two of the clock's jump; these machines are busy. */
const SWEPT_WITHIN_MS = 60_000;

/** On a stack of its own: its clock jumps by weeks, and its schedule starts the sweep. */
describe('notices and ends', () => {
  let stack: RunningStack;
  let management: ReturnType<typeof managementOf>;

  beforeAll(async () => {
    stack = await startRunningStack();
    management = managementOf(stack.apis.management);
  });

  afterAll(async () => {
    await stack?.stop();
    if (stack) forget(stack.stateDir);
  });

  const create = async (more: object = {}): Promise<string> => {
    const { body } = await management('POST', '/api-keys', {
      key: stack.admin_key,
      body: { name: 'n', owner_id: 'team', scopes: ['orders:read'], ...more },
    });
    return body.api_key.id;
  };
  const sweep = async (): Promise<Record<string, unknown>> => {
    const [, name] = Object.entries(stack.functions).find(([id]) => id.startsWith('Rekey/SweepKeys'))!;
    const answer = await fetch(`${stack.control}/2015-03-31/functions/${name}/invocations`, {
      method: 'POST',
      body: '{}',
    });
    return (await answer.json()) as Record<string, unknown>;
  };
  /** Read past the API: the administrator's own key ends on the way. `14` is a notice, `expired` and `rotated` are ends. */
  const told = async (id: string): Promise<string[]> => {
    const items = (await everyItem(stack)) as Record<string, { S: string }>[];
    return items
      .filter(({ pk }) => pk?.S === `events_${id}`)
      .map(({ event }) => JSON.parse(event!.S) as Event)
      .filter(({ actor }) => actor === 'system:sweep-keys')
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ type, reason, data }) =>
        type === 'api_key.expiring' ? String(data['notify_days_before']) : (reason ?? type.slice(8)),
      );
  };
  const toldWithin = async (id: string, words: string[]): Promise<void> => {
    const deadline = Date.now() + SWEPT_WITHIN_MS;
    while ((await told(id)).length < words.length && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await told(id)).toEqual(words);
  };

  it('come by themselves as time passes, each once, however often and at once the sweep runs', async () => {
    const [key, soon, rotated, revoked] = await Promise.all([
      create({ expires_in_days: 60 }),
      create({ expires_in_days: 40, notify_days_before: [3, 30] }),
      create({ expires_in_days: 40 }),
      create({ expires_in_days: 40 }),
    ]);
    expect(
      (await management('GET', `/api-keys/${soon}`, { key: stack.admin_key })).body.api_key
        .notify_days_before,
    ).toEqual([30, 3]);
    const patched = await management('PATCH', `/api-keys/${key}`, {
      key: stack.admin_key,
      body: { notify_days_before: [7] },
    });
    expect(patched.body.api_key.notify_days_before).toEqual([7]);
    await management('POST', `/api-keys/${revoked}/revoke`, { key: stack.admin_key, body: {} });

    await advance(stack, 10 * DAY + HOUR);
    await toldWithin(soon!, ['30']);
    const answer = await management('POST', `/api-keys/${rotated}/rotate`, {
      key: stack.admin_key,
      body: { grace_period_hours: 48 },
    });
    const successor = answer.body.api_key.id as string;

    await advance(stack, 30 * DAY);
    await toldWithin(soon!, ['30', '3', 'expired']);
    await toldWithin(rotated!, ['rotated']);
    await toldWithin(successor, ['14']);
    await advance(stack, 90 * DAY);
    await toldWithin(key!, ['7', 'expired']);
    await toldWithin(successor, ['14', 'expired']);

    await Promise.all(Array.from({ length: 20 }, sweep));
    expect(await told(key!)).toEqual(['7', 'expired']);
    expect(await told(soon!)).toEqual(['30', '3', 'expired']);
    expect(await told(rotated!)).toEqual(['rotated']);
    expect(await told(revoked!)).toEqual([]);
  });

  it('are nothing to do once they are done', async () => {
    expect(await sweep()).toEqual({
      keys: 0,
      events: 0,
      overdue: 0,
      failed: 0,
      oldest_due_age_seconds: 0,
      finished: true,
    });
  });
});
