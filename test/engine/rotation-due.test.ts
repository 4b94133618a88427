import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ApiKey } from '../../lib/api-key.schema.ts';
import type { Event } from '../../lib/event.schema.ts';
import { createKey } from '../../lib/operations/create-key.ts';
import { listKeys } from '../../lib/operations/list-keys.ts';
import { rotateKey } from '../../lib/operations/rotate-key.ts';
import { updateKey } from '../../lib/operations/update-key.ts';
import { sweepKeys } from '../../lib/sweep.ts';
import { call } from '../lib/api-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { setEnvironment } from './environment.ts';
import { DAY, everything, HOUR, instant, NOW, SETTINGS } from './keys.ts';
import { knowScopes } from './known-scopes.ts';

let engine: Engine;
let restore: () => void;
beforeAll(async () => {
  engine = await startEngine();
  await knowScopes(engine.table, 'orders:read');
  restore = setEnvironment(
    { endpoint: engine.endpoint, tableName: engine.table.tableName },
    { REKEY_DEFAULT_LIFETIME_DAYS: '365' },
  );
});
afterAll(async () => {
  restore();
  jest.restoreAllMocks();
  await engine.close();
});

const at = (now: number) => void jest.spyOn(Date, 'now').mockReturnValue(now);
const create = async (owner_id: string, more: object = {}): Promise<ApiKey> => {
  at(NOW);
  const answer = await call(createKey, { json: { name: 'n', owner_id, scopes: ['orders:read'], ...more } });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.body.api_key;
};
const sweep = (now: number) => sweepKeys({ hasTime: () => true, now: () => now }, SETTINGS, engine.table);
const reminders = async ({ id }: ApiKey) =>
  (await everything(engine.table))
    .filter(({ pk, event_type }) => pk === `events_${id}` && event_type === 'api_key.rotation_due')
    .map(({ event }) => (JSON.parse(String(event)) as Event).data['urgency']);
const overdue = async (owner_id: string, now: number): Promise<string[]> => {
  at(now);
  const { body } = await call(listKeys, { query: { owner_id, overdue: 'true' } });
  return body.data.map(({ id }: ApiKey) => id);
};

describe('a key that is to be rotated every 30 days', () => {
  it('is reminded by the sweep, until it is rotated; its successor has the same plan', async () => {
    const key = await create('due', { rotation: { every_days: 30, grace_period_hours: 5 } });
    const due = Date.parse(String(key.rotation_due_at));
    expect(due).toBeGreaterThan(NOW + 27 * DAY - 1);
    expect(due).toBeLessThanOrEqual(NOW + 30 * DAY);
    await sweep(due - 1);
    expect(await reminders(key)).toEqual([]);
    for (const now of [due, due, due + 7 * DAY, due + 14 * DAY]) await sweep(now);
    expect(await reminders(key)).toEqual(['notice', 'warning', 'critical']);

    at(due + 15 * DAY);
    const { body } = await call(rotateKey, { id: key.id, json: {} });
    expect(body.previous.expires_at).toBe(instant(due + 15 * DAY + 5 * HOUR));
    expect(body.api_key).toMatchObject({ rotation: key.rotation });
    expect(Date.parse(body.api_key.rotation_due_at)).toBeGreaterThan(due + 42 * DAY - 1);
    await sweep(due + 21 * DAY);
    expect(await reminders(key)).toEqual(['notice', 'warning', 'critical']);
  });

  it('is overdue after 30 days, until it is rotated', async () => {
    const key = await create('overdue', { rotation: { every_days: 30 } });
    await create('overdue');
    expect(await overdue('overdue', NOW + 30 * DAY - 1)).toEqual([]);
    expect(await overdue('overdue', NOW + 30 * DAY)).toEqual([key.id]);
    await call(rotateKey, { id: key.id, json: {} });
    expect(await overdue('overdue', NOW + 30 * DAY)).toEqual([]);
  });

  it('begins its reminders anew, from now on, when a PATCH finds it overdue', async () => {
    const key = await create('patched');
    expect(key).toMatchObject({ rotation: null, rotation_due_at: null });
    const now = NOW + 100 * DAY;
    at(now);
    const { body } = await call(updateKey, { id: key.id, json: { rotation: { every_days: 30 } } });
    expect(body.api_key.rotation_due_at).toBe(instant(now));
    await sweep(now);
    expect(await reminders(key)).toEqual(['notice']);
    await call(updateKey, { id: key.id, json: { rotation: null } });
    await sweep(now + 60 * DAY);
    expect(await reminders(key)).toEqual(['notice']);
  });
});

describe('the stack', () => {
  it('gives new keys a plan, which null refuses', async () => {
    process.env['REKEY_ROTATE_EVERY_DAYS'] = '60';
    expect((await create('planned')).rotation).toEqual({ every_days: 60 });
    expect((await create('planned', { rotation: null })).rotation).toBeNull();
    delete process.env['REKEY_ROTATE_EVERY_DAYS'];
  });

  it('says how old any key may become', async () => {
    process.env['REKEY_MAX_AGE_DAYS'] = '90';
    const key = await create('old');
    expect(await overdue('old', NOW + 90 * DAY - 1)).toEqual([]);
    expect(await overdue('old', NOW + 90 * DAY)).toEqual([key.id]);
    delete process.env['REKEY_MAX_AGE_DAYS'];
  });
});
