import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { isValid } from '../../lib/api-key.ts';
import { decideFirstUse } from '../../lib/first-use.ts';
import { aKey, DAY, HOUR, instant, NOW, SETTINGS } from '../engine/keys.ts';

const PARENT = aKey({ first_used_at: instant(NOW) });
const PENDING = aKey({
  parent_key_id: PARENT.id,
  pending_until: instant(NOW + 7 * DAY),
  pending_grace_hours: 24,
});
const waiting = { ...PARENT, successor_key_id: PENDING.id };
const use = (parent: ApiKeyRecord = waiting, now = NOW + HOUR, pending = PENDING) =>
  decideFirstUse(pending, parent, now, SETTINGS);

describe('the first use of a pending key', () => {
  it('begins the grace of its parent, and the key is pending no more', () => {
    expect(use()).toEqual({
      used: {
        first_used_at: instant(NOW + HOUR),
        pending_until: null,
        pending_grace_hours: undefined,
      },
      parent: {
        rotated_at: instant(NOW + HOUR),
        expires_at: instant(NOW + HOUR + DAY),
        ttl: (NOW + HOUR + 91 * DAY) / 1000,
        swept_until: null,
        due_shard: expect.stringMatching(/^key_\d$/),
        next_action_at: instant(NOW + HOUR + DAY),
      },
    });
  });

  it('leaves an own end of the parent that is nearer', () => {
    const near = { ...waiting, expires_at: instant(NOW + 2 * HOUR) };
    expect(use(near).parent).toMatchObject({
      rotated_at: instant(NOW + HOUR),
      expires_at: near.expires_at,
    });
  });

  it('gives an end to a parent that had none', () => {
    expect(use({ ...waiting, expires_at: null }).parent?.expires_at).toBe(instant(NOW + HOUR + DAY));
  });

  it.each([
    ['is revoked', { revoked_at: instant(NOW) }],
    ['has expired', { expires_at: instant(NOW + HOUR) }],
    ['has its end in the trail', { swept_until: PARENT.expires_at }],
    ['has another successor', { successor_key_id: null }],
    ['is in its grace already', { rotated_at: instant(NOW) }],
  ])('leaves a parent that %s', (_, facts) => {
    expect(use({ ...waiting, ...facts }).parent).toBeUndefined();
  });

  it('never lets a parent be valid when it was not before', () => {
    const moment = fc.integer({ min: -DAY, max: 40 * DAY });
    fc.assert(
      fc.property(fc.option(moment), fc.nat({ max: 720 }), moment, (end, hours, later) => {
        const parent = { ...waiting, expires_at: end === null ? null : instant(NOW + end) };
        const decided = use(parent, NOW, { ...PENDING, pending_grace_hours: hours });
        const after = { ...parent, ...decided.parent };
        if (isValid(after, NOW + later)) expect(isValid(parent, NOW + later)).toBe(true);
      }),
    );
  });
});

describe('the first use of any other key', () => {
  it('changes nothing but its time', () => {
    expect(decideFirstUse(aKey(), undefined, NOW + HOUR, SETTINGS)).toEqual({
      used: { first_used_at: instant(NOW + HOUR) },
    });
  });
});
