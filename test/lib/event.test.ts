import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Event, EventType, eventSchemaOf } from '../../lib/event.schema.ts';
import {
  changesBetween,
  earliestEventId,
  keyEvent,
  newEventId,
  requestOrigin,
  systemOrigin,
} from '../../lib/event.ts';
import { DAY_PARTS, eventItem } from '../../lib/event-item.ts';
import { mintKey } from '../../lib/key-format.ts';
import { exampleEvents } from '../../lib/operations/example-event.ts';
import { aKey, by, DAY, instant, NOW } from '../engine/keys.ts';

const told = { id: newEventId(NOW) };

describe('an event of a key', () => {
  it('says who did it, when, from where and by which request', () => {
    const key = aKey();
    expect(keyEvent('api_key.created', key, by(NOW), told)).toMatchObject({
      id: told.id,
      type: 'api_key.created',
      occurred_at: instant(NOW),
      owner_id: key.owner_id,
      api_key_id: key.id,
      webhook_endpoint_id: null,
      actor: by().actor,
      request_id: 'request-1',
      source_ip: '192.0.2.1',
      user_agent: 'test',
      reason: null,
      changes: [],
    });
  });

  it('shows the key as callers see it, without digest, version, ttl and hint', () => {
    const key = aKey();
    const event = keyEvent('api_key.created', key, by(NOW), told);
    const { digest, hint } = key;
    const inside = [
      'digest',
      'hint',
      'version',
      'ttl',
      'swept_until',
      'due_shard',
      'next_action_at',
      'before_rotation',
      'next_generation',
      // Noted beside all other writes.
      'last_used_at',
      'last_used_ip',
      'last_used_route',
      // Who gets the event is not only its owner.
      'honey',
    ];
    const shown = Object.fromEntries(Object.entries(key).filter(([name]) => !inside.includes(name)));
    expect(event.data).toEqual({ api_key: { ...shown, status: 'active' } });
    expect(JSON.stringify(event)).not.toContain(digest);
    expect(Object.keys(event.data['api_key'] as object)).not.toContain('hint');
    expect(JSON.stringify(event)).not.toContain(`"${hint}"`);
  });

  it('names each field that changed, and neither status nor what is internal', () => {
    const before = aKey();
    const after = {
      ...before,
      name: 'Renamed',
      metadata: {},
      expires_at: instant(NOW - DAY),
      digest: 'f'.repeat(64),
      hint: 'zzzz',
      version: 2,
      ttl: 1,
    };
    const event = keyEvent('api_key.updated', after, by(NOW), { ...told, before });
    expect(event.changes).toEqual([
      { field: 'name', from: before.name, to: 'Renamed' },
      { field: 'expires_at', from: before.expires_at, to: after.expires_at },
      { field: 'metadata', from: before.metadata, to: {} },
    ]);
    expect(event.data['api_key']).toMatchObject({ status: 'expired', name: 'Renamed' });
  });

  it('may say more than the key', () => {
    const event = keyEvent('api_key.expiring', aKey(), by(NOW), {
      ...told,
      data: { days_left: 13, notify_days_before: 14 },
    });
    expect(eventSchemaOf('api_key.expiring').parse(event).data).toMatchObject({ days_left: 13 });
  });

  it('is JSON that says the same once it is read again', () => {
    const event = keyEvent('api_key.created', aKey(), by(NOW), told);
    expect(JSON.parse(JSON.stringify(event))).toEqual(event);
    expect(Event.parse(event)).toEqual(event);
  });
});

describe('changes', () => {
  it('are none between equal things, in whatever order their members stand', () => {
    expect(changesBetween({ m: { a: 1, b: 2 }, s: ['x'] }, { s: ['x'], m: { b: 2, a: 1 } })).toEqual([]);
  });
  it('have null where nothing was or is', () => {
    expect(changesBetween({ a: 1 }, { a: undefined, b: 2 })).toEqual([
      { field: 'a', from: 1, to: null },
      { field: 'b', from: null, to: 2 },
    ]);
  });
});

describe('the origin of a request', () => {
  const of = (userAgent: unknown) =>
    requestOrigin('key_x', NOW, { requestId: 'r', identity: { userAgent } }).user_agent;

  it('bounds what the client says', () => {
    expect(of('x'.repeat(10_000))).toHaveLength(256);
    const long = requestOrigin('k', NOW, {
      requestId: 'r'.repeat(999),
      identity: { sourceIp: '1'.repeat(999) },
    });
    expect(long.request_id).toHaveLength(128);
    expect(long.source_ip).toHaveLength(45);
  });

  it('has no text of a key, not even one that is cut by the bound', () => {
    const { key } = mintKey({ prefix: 'rk', environment: 'live', id: aKey().id });
    for (let before = 170; before < 256; before++) {
      const text = of(`${' '.repeat(before)}${key.reveal()} more`);
      expect(text).not.toMatch(/rk_live_\w/);
      expect(key.reveal()).not.toContain(text!.slice(-12));
    }
  });

  it.each([
    undefined,
    {},
    { identity: undefined },
    { requestId: 5, identity: { sourceIp: null, userAgent: {} } },
  ])('is null where the event says nothing: %j', (context) => {
    expect(requestOrigin('k', NOW, context)).toEqual({
      actor: 'k',
      now: NOW,
      request_id: null,
      source_ip: null,
      user_agent: null,
    });
  });

  it('of a function names it', () => {
    expect(systemOrigin('sweep-keys', NOW)).toMatchObject({ actor: 'system:sweep-keys', request_id: null });
  });
});

describe('an event as it lies in the table', () => {
  const event = keyEvent('api_key.created', aKey(), by(NOW), told);

  it('is the text of the event beside what it is found by', () => {
    const { event: text, event_day, ...item } = eventItem(event, 400);
    expect(JSON.parse(text)).toEqual(event);
    expect(event_day).toMatch(/^2026-11-24\/[0-3]$/);
    expect(item).toEqual({
      pk: `events_${event.api_key_id}`,
      sk: event.id,
      event_type: 'api_key.created',
      event_owner_id: event.owner_id,
      ttl: (NOW + 400 * DAY) / 1000,
    });
  });

  it('lies with its webhook endpoint when it is about one', () => {
    const about = exampleEvents['webhook_endpoint.created'];
    expect(eventItem(about, 1).pk).toBe(`events_${about.webhook_endpoint_id}`);
    expect(() => eventItem({ ...about, webhook_endpoint_id: null }, 1)).toThrow('about nothing');
  });

  it('is in one of a few parts of its day, and all parts are used', () => {
    const days = new Set(
      Array.from({ length: 200 }, () => eventItem({ ...event, id: newEventId(NOW) }, 1).event_day),
    );
    expect([...days].sort()).toEqual(Array.from({ length: DAY_PARTS }, (_, part) => `2026-11-24/${part}`));
  });
});

describe('ids of events', () => {
  it('sort by time, and the earliest of a millisecond comes before all others of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 }), fc.integer({ min: 1, max: 2 ** 40 }), (at, later) => {
        expect(earliestEventId(at) <= newEventId(at)).toBe(true);
        expect(newEventId(at) < earliestEventId(at + later)).toBe(true);
      }),
    );
  });
});

describe('the examples', () => {
  it.each(EventType.options)('of %s have the form that is published', (type) => {
    const example = exampleEvents[type];
    // Strict: an example with a member that the schema does not know would be cut.
    expect(eventSchemaOf(type).parse(example)).toEqual(example);
    expect(eventItem(example, 400).sk).toBe(example.id);
  });
});
