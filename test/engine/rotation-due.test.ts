import { ScanCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ApiKey } from '../../lib/api-key.schema.ts';
import type { Event } from '../../lib/event.schema.ts';
import { createKey } from '../../lib/operations/create-key.ts';
import { listKeys } from '../../lib/operations/list-keys.ts';
import { rotateKey } from '../../lib/operations/rotate-key.ts';
import { updateKey } from '../../lib/operations/update-key.ts';
import { sweep, sweepKeys } from '../../lib/sweep.ts';
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
const sweepAt = (now: number) => sweepKeys({ hasTime: () => true, now: () => now }, SETTINGS, engine.table);
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
    await sweepAt(due - 1);
    expect(await reminders(key)).toEqual([]);
    for (const now of [due, due, due + 7 * DAY, due + 14 * DAY]) await sweepAt(now);
    expect(await reminders(key)).toEqual(['notice', 'warning', 'critical']);

    at(due + 15 * DAY);
    const { body } = await call(rotateKey, { id: key.id, json: {} });
    expect(body.previous.expires_at).toBe(instant(due + 15 * DAY + 5 * HOUR));
    expect(body.api_key).toMatchObject({ rotation: key.rotation });
    expect(Date.parse(body.api_key.rotation_due_at)).toBeGreaterThan(due + 42 * DAY - 1);
    await sweepAt(due + 21 * DAY);
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
    await sweepAt(now);
    expect(await reminders(key)).toEqual(['notice']);
    await call(updateKey, { id: key.id, json: { rotation: null } });
    await sweepAt(now + 60 * DAY);
    expect(await reminders(key)).toEqual(['notice']);
  });
});

describe('a key that is to be delivered', () => {
  const deliver = { secrets_manager: { secret_id: 'orders/rekey' } };
  const steps = async ({ id }: ApiKey) =>
    (await everything(engine.table))
      .filter(({ pk, event_type }) => pk === `events_${id}` && /rotation_/.test(String(event_type)))
      .map(({ event }) => JSON.parse(String(event)) as Event)
      .map(({ type, data }) => data['urgency'] ?? type);

  it('is asked for once when it is due, and told of a day later only if it was not rotated', async () => {
    const rotation = { every_days: 30, grace_period_hours: 12, deliver };
    const [done, left] = [await create('sent', { rotation }), await create('sent', { rotation })];
    expect(done.rotation).toEqual(rotation);
    const due = Math.max(...[done, left].map(({ rotation_due_at }) => Date.parse(String(rotation_due_at))));
    for (const now of [due, due]) await sweepAt(now);
    for (const key of [done, left]) expect(await steps(key)).toEqual(['api_key.rotation_requested']);

    at(due + 2 * HOUR);
    const { body } = await call(rotateKey, { id: done.id, json: {} });
    expect(body.api_key.rotation).toEqual(rotation);
    // Whichever of them was due some days before has its day from then on.
    for (const now of [due + DAY, due + DAY + HOUR]) await sweepAt(now);
    expect(await steps(done)).toEqual(['api_key.rotation_requested']);
    expect(await steps(left)).toEqual(['api_key.rotation_requested', 'notice']);
    expect(await steps(body.api_key)).toEqual([]);
  });

  it('is asked for anew with another place', async () => {
    const key = await create('moved', { rotation: { every_days: 30, deliver } });
    const due = Date.parse(String(key.rotation_due_at));
    await sweepAt(due);
    at(due + HOUR);
    const elsewhere = {
      secrets_manager: { secret_id: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-b1C2d3' },
    };
    const { status } = await call(updateKey, {
      id: key.id,
      json: { rotation: { every_days: 30, deliver: elsewhere } },
    });
    expect(status).toBe(200);
    await sweepAt(due + 2 * HOUR);
    expect(await steps(key)).toEqual(['api_key.rotation_requested', 'api_key.rotation_requested']);
  });

  it.each([
    [{ secrets_manager: { secret_id: '' } }, '/rotation/deliver/secrets_manager/secret_id'],
    [{ secrets_manager: { secret_id: 'a'.repeat(520) } }, '/rotation/deliver/secrets_manager/secret_id'],
    [{ secrets_manager: { secret_id: 'with space' } }, '/rotation/deliver/secrets_manager/secret_id'],
    [
      { secrets_manager: { secret_id: 'arn:aws:s3:::bucket' } },
      '/rotation/deliver/secrets_manager/secret_id',
    ],
    [{ secrets_manager: {} }, '/rotation/deliver/secrets_manager/secret_id'],
    [{ secrets_manager: { secret_id: 'a', region: 'b' } }, '/rotation/deliver/secrets_manager/region'],
    [{}, '/rotation/deliver/secrets_manager'],
    [{ sns: { topic: 'a' } }, '/rotation/deliver/secrets_manager'],
  ])('is refused with deliver %j', async (deliver, pointer) => {
    at(NOW);
    const json = {
      name: 'n',
      owner_id: 'team',
      scopes: ['orders:read'],
      rotation: { every_days: 30, deliver },
    };
    const answer = await call(createKey, { json });
    expect(answer.status).toBe(400);
    expect(answer.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
  });

  it('is refused with a grace in which the new key might not have arrived', async () => {
    at(NOW);
    const rotation = { every_days: 30, grace_period_hours: 11, deliver };
    const json = { name: 'n', owner_id: 'team', scopes: ['orders:read'], rotation };
    const answer = await call(createKey, { json });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toEqual([
      { pointer: '/rotation/grace_period_hours', detail: 'must be at least 12 hours together with deliver' },
    ]);
  });
});

describe('a stack that begins to limit how old keys become', () => {
  const limited = { ...SETTINGS, max_age_days: 100 };
  const run = (now: number, settings: typeof SETTINGS & { max_age_days?: number } = limited, keys = 1e9) => {
    let left = keys;
    return sweep({ hasTime: () => left-- > 0, now: () => now }, settings, engine.table);
  };
  const counted = (): string[] =>
    jest
      .mocked(console.info)
      .mock.calls.map(([line]) => JSON.parse(String(line)))
      .filter(({ event, owner_id }) => event === 'key_overdue' && owner_id === 'aging')
      .map(({ api_key_id }) => api_key_id);
  const logs = () => jest.spyOn(console, 'info').mockImplementation(() => undefined);

  it('counts each key that is older every day, also those of before, until they are rotated', async () => {
    const [first, second, young] = [await create('aging'), await create('aging'), await create('aging')];
    at(NOW + 60 * DAY);
    const { body } = await call(rotateKey, { id: young.id, json: { grace_period_hours: 1 } });
    expect(body.api_key.owner_id).toBe('aging');
    const info = logs();
    const day = NOW + 110 * DAY;
    await run(day - HOUR, SETTINGS);
    expect(counted()).toEqual([]);
    // They stand where their end comes next.
    const result = await run(day);
    expect(counted().toSorted()).toEqual([first.id, second.id].toSorted());
    expect(result.overdue).toBeGreaterThanOrEqual(2);

    for (let hour = 1; hour < 24; hour++) await run(day + hour * HOUR);
    expect(counted()).toHaveLength(2);
    await run(day + DAY);
    expect(counted()).toHaveLength(4);
    at(day + DAY);
    await call(rotateKey, { id: first.id, json: {} });
    info.mockClear();
    await run(day + 2 * DAY);
    expect(counted()).toEqual([second.id]);
    info.mockClear();
    // Nobody is limited any more.
    await run(day + 3 * DAY, SETTINGS);
    await run(day + 4 * DAY, SETTINGS);
    expect(counted()).toEqual([]);
    info.mockRestore();
  });

  it('goes through all keys once, however often it runs out of time', async () => {
    const keys = await Promise.all(Array.from({ length: 12 }, () => create('aging')));
    const info = logs();
    const now = NOW + 105 * DAY;
    const stricter = { ...SETTINGS, max_age_days: 101 };
    const finished: boolean[] = [];
    while (finished.at(-1) !== true && finished.length < 100)
      finished.push((await run(now, stricter, 5)).finished);
    expect(finished.length).toBeGreaterThan(2);
    expect(finished.at(-1)).toBe(true);
    const ids = counted();
    for (const { id } of keys) expect(ids.filter((one) => one === id)).toEqual([id]);

    const scans = jest.spyOn(engine.table.client, 'send');
    await run(now, stricter);
    expect(scans.mock.calls.filter(([command]) => command instanceof ScanCommand)).toEqual([]);
    scans.mockRestore();
    info.mockRestore();
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
