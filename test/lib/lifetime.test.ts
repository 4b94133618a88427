import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decideExpiry, decideNewExpiry, inheritExpiry, type LifetimeSettings } from '../../lib/lifetime.ts';
import { InvalidRequest } from '../../lib/problem.ts';

const NOW = Date.parse('2027-01-01T00:00:00.000Z');
const DAY = 86_400_000;
const after = (days: number, ms = 0) => new Date(NOW + days * DAY + ms).toISOString();
const settings: LifetimeSettings = {
  default_lifetime_days: 90,
  max_lifetime_days: 365,
  allow_never_expiring: false,
};
const allowing = { ...settings, allow_never_expiring: true };

/** The fields that an InvalidRequest names. */
const pointersOf = (decide: () => unknown): string[] => {
  try {
    decide();
  } catch (error) {
    if (error instanceof InvalidRequest) {
      return (error.extensions['errors'] as { pointer: string }[]).map(({ pointer }) => pointer);
    }
    throw error;
  }
  return [];
};

describe('a new key', () => {
  it('lives as long as the stack says, if nobody says otherwise', () => {
    expect(decideExpiry({}, NOW, settings)).toBe(after(90));
  });

  it.each([1, 30, 365])('lives %d days if asked', (expires_in_days) => {
    expect(decideExpiry({ expires_in_days }, NOW, settings)).toBe(after(expires_in_days));
  });

  it.each([0, -1, 366, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '30', null, true])(
    'cannot live %j days',
    (days) => {
      const request = { expires_in_days: days as number };
      expect(pointersOf(() => decideExpiry(request, NOW, settings))).toEqual(['/expires_in_days']);
    },
  );

  it.each([after(0, 1), after(1), after(365)])('may end at %s', (expires_at) => {
    expect(decideExpiry({ expires_at }, NOW, settings)).toBe(expires_at);
  });

  it('gets its end in one form, however many digits the second was given with', () => {
    expect(decideExpiry({ expires_at: '2027-02-01T12:00:00Z' }, NOW, settings)).toBe(
      '2027-02-01T12:00:00.000Z',
    );
    expect(decideExpiry({ expires_at: '2027-02-01T12:00:00.5Z' }, NOW, settings)).toBe(
      '2027-02-01T12:00:00.500Z',
    );
  });

  it.each([
    ['now', after(0)],
    ['the past', after(-1)],
    ['past the maximum', after(365, 1)],
    ['a day that does not exist', '2027-02-30T00:00:00.000Z'],
    ['the hour 24', '2027-02-01T24:00:00.000Z'],
    ['another zone', '2027-02-01T00:00:00.000+01:00'],
    ['no zone', '2027-02-01T00:00:00.000'],
    ['a date', '2027-02-01'],
    ['a far year', '+010000-01-01T00:00:00.000Z'],
    ['text', 'tomorrow'],
    ['nothing', ''],
    ['a line break', `${after(1)}\n`],
  ])('cannot end in %s', (_, expires_at) => {
    expect(pointersOf(() => decideExpiry({ expires_at }, NOW, settings))).toEqual(['/expires_at']);
  });

  it('expires, unless it is asked to live for ever and the stack allows it', () => {
    expect(pointersOf(() => decideExpiry({ expires_at: null }, NOW, settings))).toEqual(['/expires_at']);
    expect(decideExpiry({ expires_at: null }, NOW, allowing)).toBeNull();
    expect(decideExpiry({}, NOW, allowing)).toBe(after(90));
  });

  it.each([after(1), null])('cannot be given both a number of days and an end (%s)', (expires_at) => {
    expect(pointersOf(() => decideExpiry({ expires_in_days: 1, expires_at }, NOW, allowing))).toEqual([
      '/expires_at',
    ]);
  });
});

describe('the end of an existing key', () => {
  const record = { created_at: after(-100), expires_at: after(10) };
  const decide = (expires_at: string | null, facts = {}, more = settings) =>
    decideNewExpiry({ ...record, ...facts }, expires_at, NOW, more);

  it('can be moved nearer and further', () => {
    expect(decide(after(1))).toBe(after(1));
    expect(decide(after(200))).toBe(after(200));
  });

  it('is never further than its creation and the maximum', () => {
    expect(decide(after(265))).toBe(after(265));
    expect(pointersOf(() => decide(after(265, 1)))).toEqual(['/expires_at']);
  });

  it('is not now and not past', () => {
    for (const end of [after(0), after(-1)]) expect(pointersOf(() => decide(end))).toEqual(['/expires_at']);
    expect(pointersOf(() => decide(after(-1), { expires_at: after(-1) }))).toEqual(['/expires_at']);
  });

  it('can be taken away only where the stack allows it', () => {
    expect(pointersOf(() => decide(null))).toEqual(['/expires_at']);
    expect(decide(null, {}, allowing)).toBeNull();
  });

  it('may stay what it is after the maximum was lowered', () => {
    expect(decide(after(300), { expires_at: after(300) })).toBe(after(300));
    expect(decide(null, { expires_at: null })).toBeNull();
  });
});

describe('the life of a successor', () => {
  it('is as long as the old one had from its start', () => {
    expect(inheritExpiry({ created_at: after(-20), expires_at: after(10) }, NOW, settings)).toBe(after(30));
  });

  it('is at most the maximum', () => {
    expect(inheritExpiry({ created_at: after(-400), expires_at: after(10) }, NOW, settings)).toBe(after(365));
  });

  it('is for ever only if the old one was and the stack still allows it', () => {
    const endless = { created_at: after(-400), expires_at: null };
    expect(inheritExpiry(endless, NOW, allowing)).toBeNull();
    expect(inheritExpiry(endless, NOW, settings)).toBe(after(365));
  });
});

it('whatever is asked for, a decided end is in the future and within the maximum', () => {
  const request = fc.record(
    {
      expires_in_days: fc.double(),
      expires_at: fc.option(fc.integer({ min: -500, max: 500 }).map((days) => after(days))),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(request, fc.integer({ min: -400, max: 0 }), (asked, age) => {
      const decisions = [
        [() => decideExpiry(asked, NOW, settings), NOW] as const,
        [
          () =>
            decideNewExpiry(
              { created_at: after(age), expires_at: after(5) },
              asked.expires_at ?? null,
              NOW,
              settings,
            ),
          // The end it has already is allowed whatever the maximum.
          NOW + Math.max(age * DAY, -360 * DAY),
        ] as const,
      ];
      for (const [decide, start] of decisions) {
        let end: string | null;
        try {
          end = decide();
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidRequest);
          continue;
        }
        expect(Date.parse(end!)).toBeGreaterThan(NOW);
        expect(Date.parse(end!)).toBeLessThanOrEqual(start + 365 * DAY);
      }
    }),
  );
});
