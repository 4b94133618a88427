import { describe, expect, it } from '@jest/globals';
import { newKeyId } from '../../lib/key-format.ts';
import { isOverdue, planSteps, rotationDueAt } from '../../lib/rotation-due.ts';
import { decideDue } from '../../lib/schedule.ts';
import { aKey, DAY, HOUR, instant, NOW, SETTINGS } from '../engine/keys.ts';

const planned = (facts: Parameters<typeof aKey>[0] = {}) => {
  const key = aKey({ expires_at: instant(NOW + 365 * DAY), rotation: { every_days: 90 }, ...facts });
  return { ...key, rotation_due_at: rotationDueAt(key) };
};
const dueOf = (key: { rotation_due_at: string | null }) => Date.parse(String(key.rotation_due_at));

describe('a key with a plan of rotation', () => {
  it('is due in the last tenth of its days, never later', () => {
    for (let i = 0; i < 200; i++) {
      const days = (dueOf(planned()) - NOW) / DAY;
      expect(days).toBeGreaterThan(80.99);
      expect(days).toBeLessThanOrEqual(90);
    }
  });

  it('is due at its own time among keys that were made at once, and always at the same', () => {
    const ids = Array.from({ length: 1_000 }, () => newKeyId(NOW));
    const dues = ids.map((id) =>
      rotationDueAt({ id, created_at: instant(NOW), rotation: { every_days: 90 } }),
    );
    expect(
      ids.map((id) => rotationDueAt({ id, created_at: instant(NOW), rotation: { every_days: 90 } })),
    ).toEqual(dues);
    const byDay = Map.groupBy(dues, (due) => due?.slice(0, 10));
    expect(Math.max(...[...byDay.values()].map(({ length }) => length))).toBeLessThan(200);
  });

  it('is reminded five times at most, a week apart, with rising urgency', () => {
    let key = planned();
    const told: unknown[] = [];
    for (let day = 0; day < 300; day++) {
      const now = NOW + day * DAY;
      for (
        let step = decideDue(key, SETTINGS, now);
        step && !('drop' in step);
        step = decideDue(key, SETTINGS, now)
      ) {
        if (step.event) told.push(step.event.data);
        key = { ...key, ...step.changes };
      }
    }
    expect(told).toEqual(
      ['notice', 'warning', 'critical', 'critical', 'critical'].map((urgency, reminder) => ({
        urgency,
        reminder,
      })),
    );
  });

  it('and a delivery is asked for first, once, and reminded of from the day after on', () => {
    const deliver = { secrets_manager: { secret_id: 'orders/rekey' } };
    let key = planned({ rotation: { every_days: 90, deliver } });
    const due = dueOf(key);
    const told: unknown[] = [];
    for (let hour = -1; hour < 24 * 40; hour++) {
      const step = decideDue(key, SETTINGS, due + hour * HOUR);
      if (!step || 'drop' in step) continue;
      if (step.event) told.push([hour, step.event.type.slice(8), step.event.data]);
      key = { ...key, ...step.changes };
    }
    const reminders = ['notice', 'warning', 'critical', 'critical', 'critical'].map((urgency, reminder) => [
      24 + reminder * 24 * 7,
      'rotation_due',
      { urgency, reminder },
    ]);
    expect(told).toEqual([[0, 'rotation_requested', {}], ...reminders]);
    expect(key.rotation_due_at).toBe(instant(due));
  });

  it('has a day for a delivery that was asked for late, before anybody is told', () => {
    const deliver = { secrets_manager: { secret_id: 'orders/rekey' } };
    const key = planned({ rotation: { every_days: 90, deliver } });
    const late = dueOf(key) + 15 * DAY;
    const step = decideDue(key, SETTINGS, late);
    expect(step).toMatchObject({
      event: { type: 'api_key.rotation_requested' },
      changes: { rotation_due_at: instant(late), next_action_at: instant(late + DAY) },
    });
    const asked = { ...key, ...(step as { changes: object }).changes };
    expect(decideDue(asked, SETTINGS, late + DAY - 1)).toBeUndefined();
    expect(decideDue(asked, SETTINGS, late + DAY)).toMatchObject({
      event: { type: 'api_key.rotation_due', data: { urgency: 'notice', reminder: 0 } },
    });
  });

  it('gets one reminder, the most urgent, after a time without sweeps', () => {
    const key = planned();
    const step = decideDue(key, SETTINGS, dueOf(key) + 15 * DAY);
    expect(step?.event).toMatchObject({
      type: 'api_key.rotation_due',
      data: { urgency: 'critical', reminder: 2 },
    });
    expect(step).toMatchObject({
      changes: { rotation_told: 3, next_action_at: instant(dueOf(key) + 21 * DAY) },
    });
  });

  it.each([
    ['was rotated', { rotated_at: instant(NOW) }],
    ['is revoked', { revoked_at: instant(NOW) }],
    ['ends before', { expires_at: instant(NOW + 80 * DAY) }],
  ])('is not reminded when it %s', (_, facts) => {
    const key = planned(facts);
    expect(decideDue(key, SETTINGS, dueOf(key))?.event?.type).not.toBe('api_key.rotation_due');
  });

  it('has no reminders without a plan', () => {
    expect(planSteps({ rotation: null, rotation_due_at: rotationDueAt(aKey()) })).toEqual([]);
  });
});

describe('an overdue key', () => {
  it.each([
    [{ rotation: { every_days: 90 } }, undefined, 90],
    [{ rotation: null }, 60, 60],
    [{ rotation: { every_days: 90 } }, 60, 60],
    [{ rotation: { every_days: 30 } }, 60, 30],
  ])('is older than its plan or its stack allows: %j and %s after %d days', (facts, most, days) => {
    const key = planned(facts);
    expect(isOverdue(key, most, NOW + days * DAY - 1)).toBe(false);
    expect(isOverdue(key, most, NOW + days * DAY)).toBe(true);
    expect(isOverdue({ ...key, rotated_at: instant(NOW) }, most, NOW + days * DAY)).toBe(false);
    expect(isOverdue({ ...key, revoked_at: instant(NOW) }, most, NOW + days * DAY)).toBe(false);
  });

  it('is none where nobody says how old keys may become', () => {
    expect(isOverdue(planned({ rotation: null }), undefined, NOW + 364 * DAY)).toBe(false);
  });
});
