import { describe, expect, it } from '@jest/globals';
import { EventType } from '../../lib/event.schema.ts';
import { EventPattern } from '../../lib/webhook-endpoint.schema.ts';
import {
  decideAfterAttempt,
  decideSecretRotation,
  decideUpdate,
  laneOf,
  listensTo,
  publicEndpoint,
  signingVersions,
} from '../../lib/webhook-endpoint.ts';
import { anEndpoint, NOW } from './webhook-records.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (ms: number) => new Date(ms).toISOString();
const failed = { outcome: 'failed', slow: false } as const;

describe('an endpoint listens', () => {
  it.each([
    [['*'], 'api_key.created', true],
    [['*'], 'webhook_endpoint.disabled', true],
    [['api_key.*'], 'api_key.expiring', true],
    [['api_key.*'], 'webhook_endpoint.created', false],
    [['api_key.*'], 'api_keys.created', false],
    [['api_key.*'], 'api_key', false],
    [['api_key.created'], 'api_key.created', true],
    [['api_key.created'], 'api_key.created_too', false],
    [['api_key.created', 'webhook_endpoint.*'], 'webhook_endpoint.updated', true],
    [[], 'api_key.created', false],
  ])('with %j to %s: %s', (events, type, listens) => {
    expect(listensTo(events, type)).toBe(listens);
  });

  it('with the groups of its types to every type there is', () => {
    const groups = EventPattern.options.filter((pattern) => pattern.endsWith('.*'));
    expect(groups).toEqual(expect.arrayContaining(['api_key.*', 'webhook_endpoint.*', 'events.*']));
    for (const type of EventType.options) expect(listensTo(groups, type)).toBe(true);
  });
});

describe('what is shown of an endpoint', () => {
  it('has its status, and nothing of how it is kept', () => {
    const shown = publicEndpoint(anEndpoint({ disabled_at: at(NOW) }));
    expect(shown.status).toBe('disabled');
    for (const name of ['webhook_owner', 'slow_until', 'version', 'oldest_secret_version'])
      expect(shown).not.toHaveProperty(name);
    expect(publicEndpoint(anEndpoint()).status).toBe('enabled');
  });
});

describe('a failed attempt', () => {
  it('says since when the endpoint fails, once', () => {
    expect(decideAfterAttempt(anEndpoint(), failed, NOW)).toEqual({ noted: { failing_since: at(NOW) } });
    const failing = anEndpoint({ failing_since: at(NOW) });
    expect(decideAfterAttempt(failing, failed, NOW + DAY)).toEqual({ noted: {} });
  });

  it('disables an endpoint that has failed for five days, and not a moment sooner', () => {
    const failing = anEndpoint({ failing_since: at(NOW) });
    expect(decideAfterAttempt(failing, failed, NOW + 5 * DAY - 1).disable).toBeUndefined();
    expect(decideAfterAttempt(failing, failed, NOW + 5 * DAY).disable).toBe('failing');
  });

  it('disables at once with 410', () => {
    expect(decideAfterAttempt(anEndpoint(), { outcome: 'gone', slow: false }, NOW).disable).toBe('gone');
  });
});

describe('an attempt that got through', () => {
  const succeeded = { outcome: 'succeeded', slow: false } as const;
  it('ends the failing, and else changes nothing', () => {
    expect(decideAfterAttempt(anEndpoint({ failing_since: at(NOW) }), succeeded, NOW + 6 * DAY)).toEqual({
      noted: { failing_since: null },
    });
    expect(decideAfterAttempt(anEndpoint(), succeeded, NOW)).toEqual({ noted: {} });
  });
});

describe('a slow endpoint', () => {
  it('is in the slow lane for ten minutes, and longer while it stays slow', () => {
    const { noted } = decideAfterAttempt(anEndpoint(), { outcome: 'moved', slow: true }, NOW);
    expect(noted).toEqual({ slow_until: at(NOW + HOUR / 6) });
    const slow = anEndpoint(noted);
    expect(laneOf(slow, NOW + HOUR / 6 - 1)).toBe('slow');
    expect(laneOf(slow, NOW + HOUR / 6)).toBe('fast');
    const soon = decideAfterAttempt(slow, { outcome: 'succeeded', slow: true }, NOW + 60_000);
    expect(soon.noted).toEqual({});
    const later = decideAfterAttempt(slow, { outcome: 'succeeded', slow: true }, NOW + 400_000);
    expect(later.noted).toEqual({ slow_until: at(NOW + 400_000 + HOUR / 6) });
  });

  it('that answers in time again is in the fast lane again', () => {
    const slow = anEndpoint({ slow_until: at(NOW + HOUR) });
    expect(decideAfterAttempt(slow, { outcome: 'succeeded', slow: false }, NOW).noted).toEqual({
      slow_until: null,
    });
    expect(decideAfterAttempt(slow, { outcome: 'failed', slow: false }, NOW).noted).toMatchObject({
      slow_until: null,
    });
  });

  it('is not a failing one', () => {
    const { noted, disable } = decideAfterAttempt(
      anEndpoint({ failing_since: at(NOW - 9 * DAY) }),
      { outcome: 'moved', slow: true },
      NOW,
    );
    expect(noted).not.toHaveProperty('failing_since');
    expect(disable).toBeUndefined();
  });
});

describe('a change', () => {
  it('that changes nothing is none', () => {
    const endpoint = anEndpoint({ description: 'd' });
    const { url, events, description } = endpoint;
    expect(
      decideUpdate(endpoint, { url, events: [...events], description, status: 'enabled' }, NOW),
    ).toBeUndefined();
    expect(decideUpdate(anEndpoint({ disabled_at: at(NOW) }), { status: 'disabled' }, NOW)).toBeUndefined();
  });

  it('to another URL forgets how the old one answered', () => {
    const endpoint = anEndpoint({ failing_since: at(NOW), slow_until: at(NOW) });
    expect(decideUpdate(endpoint, { url: 'https://b.example/' }, NOW)).toEqual({
      changes: { url: 'https://b.example/', failing_since: null, slow_until: null },
      type: 'webhook_endpoint.updated',
    });
  });

  it('disables by request, and enables with a new start', () => {
    expect(decideUpdate(anEndpoint(), { status: 'disabled' }, NOW)).toEqual({
      changes: { disabled_at: at(NOW), disabled_reason: 'by request' },
      type: 'webhook_endpoint.disabled',
      reason: 'by request',
    });
    const disabled = anEndpoint({
      disabled_at: at(NOW),
      disabled_reason: 'failing',
      failing_since: at(NOW - DAY),
    });
    expect(decideUpdate(disabled, { status: 'enabled' }, NOW)).toEqual({
      changes: { disabled_at: null, disabled_reason: null, failing_since: null, slow_until: null },
      type: 'webhook_endpoint.updated',
    });
  });
});

describe('a rotation of the secret', () => {
  const rotated = (endpoint = anEndpoint(), hours = 24, now = NOW) => ({
    ...endpoint,
    ...decideSecretRotation(endpoint, hours, now).changes,
  });

  it('lets the old one sign until the grace ends', () => {
    const endpoint = rotated();
    expect(signingVersions(endpoint, NOW)).toEqual([2, 1]);
    expect(signingVersions(endpoint, NOW + DAY - 1)).toEqual([2, 1]);
    expect(signingVersions(endpoint, NOW + DAY)).toEqual([2]);
  });

  it('without a grace ends all others at once', () => {
    expect(signingVersions(rotated(rotated(), 0), NOW)).toEqual([3]);
  });

  it('during a grace takes nothing from the one that receivers have', () => {
    const twice = rotated(rotated(anEndpoint(), 48), 1, NOW + HOUR);
    expect(signingVersions(twice, NOW + 2 * HOUR)).toEqual([3, 2, 1]);
    expect(signingVersions(twice, NOW + 48 * HOUR - 1)).toEqual([3, 2, 1]);
    expect(signingVersions(twice, NOW + 48 * HOUR)).toEqual([3]);
    // After the grace the first one does not come back.
    expect(signingVersions(rotated(twice, 1, NOW + 50 * HOUR), NOW + 50 * HOUR)).toEqual([4, 3]);
  });

  it('lets at most three earlier ones sign', () => {
    let endpoint = anEndpoint();
    for (let i = 0; i < 8; i++) endpoint = rotated(endpoint);
    expect(signingVersions(endpoint, NOW)).toEqual([9, 8, 7, 6]);
  });
});
