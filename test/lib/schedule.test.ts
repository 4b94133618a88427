import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { newKeyId } from '../../lib/key-format.ts';
import {
  type Action,
  actionsOf,
  daysLeft,
  decideDue,
  dueOf,
  isEndRecorded,
  keyShards,
  nextAction,
  type Scheduled,
  type ScheduleSettings,
} from '../../lib/schedule.ts';

const NOW = Date.parse('2027-01-01T00:00:00.000Z');
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (ms: number) => new Date(NOW + ms).toISOString();
const SETTINGS = { notify_days_before: [14] };

/** Of 90 days, made at NOW. */
const aKey = (facts: Partial<Scheduled> = {}): Scheduled => ({
  id: 'key_035OVLf5NbCkftOoCXHY41',
  created_at: at(0),
  expires_at: at(90 * DAY),
  rotated_at: null,
  revoked_at: null,
  notify_days_before: null,
  swept_until: null,
  pending_until: null,
  rotation: null,
  rotation_due_at: null,
  ...facts,
});

/** `14@76` is the notice of 14 days on day 76. */
const inWords = (actions: Action[]): string[] =>
  actions.map((action) => {
    const day = (Date.parse(action.at) - NOW) / DAY;
    return action.type === 'notice' ? `${action.step}@${day}` : `${action.type}@${day}`;
  });
const scheduleOf = (facts: Partial<Scheduled> = {}, settings: ScheduleSettings = SETTINGS) =>
  inWords(actionsOf(aKey(facts), settings));

describe('a key in a stack that limits how old keys become', () => {
  const LIMITED = { ...SETTINGS, max_age_days: 30 };

  it('is counted on the day it is too old, and each day after that', () => {
    expect(scheduleOf({}, LIMITED)).toEqual(['overdue@30', '14@76', 'expire@90']);
    expect(scheduleOf({ overdue_counted_at: at(30 * DAY) }, LIMITED)[0]).toBe('overdue@31');
    // Late by hours, or by weeks without a sweep: the days stay the same, and none is counted twice.
    expect(scheduleOf({ overdue_counted_at: at(30 * DAY + 5 * HOUR) }, LIMITED)[0]).toBe('overdue@31');
    expect(scheduleOf({ overdue_counted_at: at(50.5 * DAY) }, LIMITED)[0]).toBe('overdue@51');
  });

  it('is counted by the limit that holds now, whatever it was counted by', () => {
    expect(scheduleOf({ overdue_counted_at: at(31 * DAY) }, { ...SETTINGS, max_age_days: 60 })[0]).toBe(
      'overdue@60',
    );
    expect(scheduleOf({ overdue_counted_at: at(31 * DAY) })).toEqual(['14@76', 'expire@90']);
  });

  it('is not counted once it is rotated or revoked, or has ended before', () => {
    expect(scheduleOf({ rotated_at: at(2 * DAY), expires_at: at(40 * DAY) }, LIMITED)).toEqual(['expire@40']);
    expect(scheduleOf({ revoked_at: at(2 * DAY) }, LIMITED)).toEqual([]);
    expect(scheduleOf({ expires_at: at(30 * DAY) }, LIMITED)).not.toContain('overdue@30');
    expect(scheduleOf({ expires_at: null }, LIMITED)).toEqual(['overdue@30']);
  });
});

describe('the schedule of a key', () => {
  it('is a notice 14 days ahead, and its end', () => {
    expect(scheduleOf()).toEqual(['14@76', 'expire@90']);
  });

  it('has a notice for each day of the stack, in the order of time', () => {
    expect(scheduleOf({}, { notify_days_before: [3, 30, 14] })).toEqual([
      '30@60',
      '14@76',
      '3@87',
      'expire@90',
    ]);
  });

  it('goes by the key’s own list before the stack’s', () => {
    expect(scheduleOf({ notify_days_before: [7] }, { notify_days_before: [30, 14] })).toEqual([
      '7@83',
      'expire@90',
    ]);
  });

  it('has no notice where the stack has none', () => {
    expect(scheduleOf({}, { notify_days_before: [] })).toEqual(['expire@90']);
  });

  it('gives a key that lives shorter than the notice its notice at half of its life', () => {
    expect(scheduleOf({ expires_at: at(10 * DAY) })).toEqual(['14@5', 'expire@10']);
    expect(scheduleOf({ expires_at: at(14 * DAY - 1) })[0]).not.toBe('14@0');
    expect(scheduleOf({ expires_at: at(14 * DAY) })).toEqual(['14@0', 'expire@14']);
  });

  it('makes one notice of all that a life is too short for, and keeps the others', () => {
    expect(scheduleOf({ expires_at: at(10 * DAY), notify_days_before: [30, 14, 9, 3] })).toEqual([
      '9@1',
      '14@5',
      '3@7',
      'expire@10',
    ]);
  });

  it('makes one notice of two that fall together', () => {
    expect(scheduleOf({ expires_at: at(10 * DAY), notify_days_before: [14, 5] })).toEqual([
      '5@5',
      'expire@10',
    ]);
  });

  it('goes by the end the key has now, however early that has come', () => {
    const moved = { created_at: at(-88 * DAY), expires_at: at(2 * DAY) };
    expect(scheduleOf(moved)).toEqual(['14@-12', 'expire@2']);
  });

  it('of a rotated key is its end only', () => {
    expect(scheduleOf({ rotated_at: at(80 * DAY), expires_at: at(81 * DAY) })).toEqual(['expire@81']);
  });

  it('of a revoked key is empty', () => {
    expect(scheduleOf({ revoked_at: at(DAY) })).toEqual([]);
  });

  it('of a key that never ends is empty', () => {
    expect(scheduleOf({ expires_at: null })).toEqual([]);
  });
});

describe('the next action', () => {
  it('is the first that has not been done', () => {
    const done = (day: number) => nextAction(aKey({ swept_until: at(day * DAY) }), SETTINGS);
    expect(nextAction(aKey(), SETTINGS)).toEqual({ at: at(76 * DAY), type: 'notice', step: 14 });
    expect(done(75)).toEqual({ at: at(76 * DAY), type: 'notice', step: 14 });
    expect(done(76)).toEqual({ at: at(90 * DAY), type: 'expire' });
    expect(done(90)).toBeUndefined();
  });

  it('puts the key into a shard of the index, and takes it out when there is none', () => {
    expect(dueOf(aKey(), SETTINGS, NOW)).toEqual({
      due_shard: expect.stringMatching(/^key_[0-7]$/),
      next_action_at: at(76 * DAY),
    });
    const nothing = { due_shard: undefined, next_action_at: undefined };
    expect(dueOf(aKey({ swept_until: at(90 * DAY) }), SETTINGS, NOW)).toEqual(nothing);
    expect(dueOf(aKey({ revoked_at: at(0) }), SETTINGS, NOW)).toEqual(nothing);
    expect(dueOf(aKey({ expires_at: null }), SETTINGS, NOW)).toEqual(nothing);
  });

  it('is due from now on when its time has passed before anybody could know', () => {
    expect(dueOf(aKey(), SETTINGS, NOW + 80 * DAY).next_action_at).toBe(at(80 * DAY));
  });

  it('spreads keys that were made together over all shards, and keeps each in its own', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 4_000; i++) {
      const key = aKey({ id: newKeyId(NOW) });
      const { due_shard } = dueOf(key, SETTINGS, NOW);
      expect(dueOf({ ...key, expires_at: at(50 * DAY) }, SETTINGS, NOW).due_shard).toBe(due_shard);
      counts.set(due_shard!, (counts.get(due_shard!) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(keyShards);
    expect(Math.min(...counts.values())).toBeGreaterThan(350);
  });
});

describe('an end', () => {
  it('is recorded once the sweep has come that far', () => {
    expect(isEndRecorded(aKey())).toBe(false);
    expect(isEndRecorded(aKey({ swept_until: at(76 * DAY) }))).toBe(false);
    expect(isEndRecorded(aKey({ swept_until: at(90 * DAY) }))).toBe(true);
    expect(isEndRecorded(aKey({ expires_at: null, swept_until: at(90 * DAY) }))).toBe(false);
  });

  it('is whole days away, rounded down, and 0 once it has passed', () => {
    const left = (ms: number) => daysLeft(at(14 * DAY), NOW + ms);
    expect([left(0), left(1), left(DAY), left(13 * DAY), left(13 * DAY + 1)]).toEqual([14, 13, 13, 1, 0]);
    expect([left(14 * DAY), left(90 * DAY)]).toEqual([0, 0]);
  });
});

describe('what a sweep does next', () => {
  const record = (facts: Partial<ApiKeyRecord> = {}): ApiKeyRecord => {
    const key = { ...aKey(facts), ...facts } as ApiKeyRecord;
    return { ...key, ...dueOf(key, SETTINGS, NOW), ...facts };
  };
  const decide = (facts: Partial<ApiKeyRecord>, day: number, settings = SETTINGS) =>
    decideDue(record(facts), settings, NOW + day * DAY);

  it('is the notice, with the days that are left', () => {
    expect(decide({}, 76)).toEqual({
      changes: { swept_until: at(76 * DAY), due_shard: expect.any(String), next_action_at: at(90 * DAY) },
      event: { type: 'api_key.expiring', reason: null, data: { days_left: 14, notify_days_before: 14 } },
    });
    expect(decide({}, 80.5)?.event?.data).toEqual({ days_left: 9, notify_days_before: 14 });
    expect(decide({}, 200)?.event?.data).toEqual({ days_left: 0, notify_days_before: 14 });
  });

  it('is the end, after the notice, and then nothing', () => {
    expect(decide({ swept_until: at(76 * DAY) }, 90)).toEqual({
      changes: { swept_until: at(90 * DAY), due_shard: undefined, next_action_at: undefined },
      event: { type: 'api_key.expired', reason: null, data: {} },
    });
    expect(decide({ swept_until: at(90 * DAY) }, 91)).toBeUndefined();
  });

  it('is the end of a grace, and says so', () => {
    const rotated = { rotated_at: at(80 * DAY), expires_at: at(81 * DAY) };
    expect(decide(rotated, 81)?.event).toEqual({ type: 'api_key.expired', reason: 'rotated', data: {} });
  });

  it('is nothing before its time, or for a key that was revoked or prolonged meanwhile', () => {
    expect(decide({}, 75)).toBeUndefined();
    expect(decide({ expires_at: at(120 * DAY) }, 76)).toBeUndefined();
    expect(decide({ revoked_at: at(0) }, 90)).toBeUndefined();
  });

  it('is to put a key where it belongs in the index, without an event, when its place is wrong', () => {
    expect(decide({}, 76, { notify_days_before: [3] })).toEqual({
      changes: { due_shard: expect.any(String), next_action_at: at(87 * DAY) },
    });
    const wrong = { revoked_at: at(0), due_shard: 'key_0', next_action_at: at(0) };
    expect(decide(wrong, 1)).toEqual({ changes: { due_shard: undefined, next_action_at: undefined } });
  });
});

describe('for any key', () => {
  const notifyDays = fc.uniqueArray(fc.integer({ min: 1, max: 365 }), { minLength: 1, maxLength: 5 });
  const life = fc.oneof(
    fc.integer({ min: 1, max: 400 * DAY }),
    fc.integer({ min: 1, max: 400 }).map((d) => d * DAY),
  );
  const anyKey = fc
    .record({
      life,
      days: fc.option(notifyDays),
      rotated: fc.boolean(),
    })
    .map(({ life, days, rotated }) =>
      aKey({
        expires_at: at(life),
        notify_days_before: days,
        rotated_at: rotated ? at(Math.floor(life / 3)) : null,
      }),
    );
  const anySettings = fc.record({ notify_days_before: fc.oneof(fc.constant([]), notifyDays) });

  it('every action has its own instant within its life, and the end comes last', () => {
    fc.assert(
      fc.property(anyKey, anySettings, (key, settings) => {
        const actions = actionsOf(key, settings);
        const times = actions.map(({ at }) => at);
        expect(times).toEqual([...new Set(times)].sort());
        expect(actions.at(-1)).toEqual({ at: key.expires_at, type: 'expire' });
        expect(actions.filter(({ type }) => type === 'expire')).toHaveLength(1);
        for (const { at } of actions) {
          expect(at >= key.created_at && at <= key.expires_at!).toBe(true);
        }
      }),
    );
  });

  it('every step that its life has room for is told on its day, the others once at its half', () => {
    fc.assert(
      fc.property(anyKey, anySettings, (key, settings) => {
        const days: readonly number[] = key.rotated_at
          ? []
          : (key.notify_days_before ?? settings.notify_days_before);
        const end = Date.parse(key.expires_at!);
        const told = actionsOf(key, settings).flatMap((action) =>
          action.type === 'notice' ? [Date.parse(action.at)] : [],
        );
        const roomy = days.filter((day) => end - day * DAY >= NOW).map((day) => end - day * DAY);
        const half = days.length > roomy.length ? [NOW + Math.floor((end - NOW) / 2)] : [];
        expect(new Set(told)).toEqual(new Set([...roomy, ...half]));
      }),
    );
  });

  it('does each action once and in order, whenever the sweep comes', () => {
    fc.assert(
      fc.property(
        anyKey,
        anySettings,
        fc.array(fc.integer({ min: 0, max: 500 * DAY }), { maxLength: 20 }),
        (made, settings, visits) => {
          let key = made;
          const done: Action[] = [];
          for (const visit of [...visits, 500 * DAY].sort((a, b) => a - b)) {
            for (;;) {
              const next = nextAction(key, settings);
              expect(dueOf(key, settings, NOW).next_action_at).toBe(next?.at);
              if (!next || next.at > at(visit)) break;
              done.push(next);
              key = { ...key, swept_until: next.at };
            }
          }
          expect(done).toEqual(actionsOf(made, settings));
          expect(isEndRecorded(key)).toBe(true);
        },
      ),
    );
  });
});
