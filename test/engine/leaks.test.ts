import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { actOnLeaks } from '../../lib/act-on-leaks.ts';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { type Event, eventSchemaOf } from '../../lib/event.schema.ts';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import { getKey, updateKey } from '../../lib/key-table.ts';
import { LEAKED, leakedKey, type OnLeak } from '../../lib/leak.ts';
import { type Engine, startEngine } from './engine.ts';
import { by, DAY, everything, HOUR, instant, NOW, RETENTION_DAYS, storeKey } from './keys.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.close());

const now = NOW + 2 * HOUR;
const stored = (facts: Partial<ApiKeyRecord> = {}) => storeKey(engine.table, facts);
const from = { actor: 'anonymous', request_id: 'r-1', source_ip: '198.51.100.7', user_agent: 'curl' };
const messageOf = (texts: string[], places: string[] = []) => ({
  messageId: 'm-1',
  body: JSON.stringify({
    found_by: 'report',
    keys: texts.map((text) => leakedKey(text, 'rk', places)),
    ...from,
  }),
});
const act = (texts: string[], more: { on_leak?: OnLeak; at?: number; places?: string[] } = {}) =>
  actOnLeaks(
    { Records: [messageOf(texts, more.places)] as never },
    { now: () => more.at ?? now, on_leak: more.on_leak ?? 'revoke', retention_days: RETENTION_DAYS },
    engine.table,
  );
const trailOf = async (id: string): Promise<Event[]> =>
  (await everything(engine.table))
    .filter(({ pk }) => pk === `events_${id}`)
    .map(({ event }) => JSON.parse(String(event)) as Event)
    .sort((a, b) => (a.id < b.id ? -1 : 1));

describe('a report of a leak', () => {
  it('ends a key, and tells where it came from and where the key was found', async () => {
    const { text, record } = await stored();
    expect(await act([text], { places: ['https://forum.example/1'] })).toEqual({ batchItemFailures: [] });
    expect(await getKey(record.id, engine.table)).toMatchObject({
      revoked_at: instant(now),
      revoked_reason: LEAKED,
      leaked_at: instant(now),
    });
    const trail = await trailOf(record.id);
    expect(trail.map(({ type }) => type).toSorted()).toEqual([
      'api_key.created',
      'api_key.leaked',
      'api_key.revoked',
    ]);
    const leaked = trail.find(({ type }) => type === 'api_key.leaked');
    expect(() => eventSchemaOf('api_key.leaked').parse(leaked)).not.toThrow();
    expect(leaked).toMatchObject({
      ...from,
      data: {
        found_by: 'report',
        found_at: ['https://forum.example/1'],
        action: 'revoked',
        api_key: { status: 'revoked' },
      },
    });
  });

  it('only tells where the stack leaves it to people', async () => {
    const { text, record } = await stored();
    await act([text], { on_leak: 'report' });
    expect(await getKey(record.id, engine.table)).toMatchObject({
      revoked_at: null,
      leaked_at: instant(now),
    });
    expect((await trailOf(record.id)).at(-1)).toMatchObject({ data: { action: 'reported' } });
  });

  it('again changes nothing, also after a crash between the two writes, and is told once an hour', async () => {
    const { text, record } = await stored();
    await Promise.all(Array.from({ length: 8 }, () => act([text])));
    await act([text]);
    expect((await trailOf(record.id)).map(({ type }) => type).toSorted()).toEqual([
      'api_key.created',
      'api_key.leaked',
      'api_key.revoked',
    ]);
    await act([text], { at: now + 2 * HOUR });
    expect((await trailOf(record.id)).at(-1)).toMatchObject({
      type: 'api_key.leaked',
      data: { action: 'revoked' },
    });

    const half = await stored({ revoked_at: instant(now), revoked_reason: LEAKED });
    await act([half.text]);
    expect((await trailOf(half.record.id)).at(-1)).toMatchObject({ data: { action: 'revoked' } });
  });

  it('of a key that has ended is told, and ends nothing', async () => {
    const { text, record } = await stored({ expires_at: instant(now - DAY) });
    await act([text]);
    expect((await getKey(record.id, engine.table))?.revoked_at).toBeNull();
    expect((await trailOf(record.id)).at(-1)).toMatchObject({
      type: 'api_key.leaked',
      data: { action: 'none' },
    });
  });

  it('of a guess, a typo and an unknown key leaves no trace, and does not keep the others', async () => {
    const { text, record } = await stored();
    const victim = await stored();
    const guess = mintKey({ prefix: 'rk', environment: 'live', id: victim.record.id }).key.reveal();
    const unknown = mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(NOW) }).key.reveal();
    const before = (await everything(engine.table)).length;
    await act([guess, `${victim.text}x`, unknown, 'nonsense']);
    expect((await everything(engine.table)).length).toBe(before);
    expect(await getKey(victim.record.id, engine.table)).toEqual(victim.record);
    await act([guess, text]);
    expect((await getKey(record.id, engine.table))?.revoked_at).toBe(instant(now));
  });

  it('is told although others change the key at the same time', async () => {
    const { text, record } = await stored();
    const renaming = Array.from({ length: 5 }, (_, i) =>
      updateKey(record, () => ({ name: `n${i}` }), by(now), engine.table).catch(() => undefined),
    );
    await Promise.all([act([text], { on_leak: 'report' }), ...renaming]);
    expect((await getKey(record.id, engine.table))?.leaked_at).toBe(instant(now));
  });

  it('that cannot be read is received again, and logged without what is in it', async () => {
    const lines: string[] = [];
    jest.spyOn(console, 'error').mockImplementation((line) => void lines.push(String(line)));
    const { text } = await stored();
    const result = await actOnLeaks(
      { Records: [{ messageId: 'm-9', body: JSON.stringify({ keys: [text] }) }] as never },
      { now: () => now, on_leak: 'revoke', retention_days: RETENTION_DAYS },
      engine.table,
    );
    expect(result).toEqual({ batchItemFailures: [{ itemIdentifier: 'm-9' }] });
    expect(lines.join('')).toContain('leak_report_failed');
    expect(lines.join('')).not.toContain(text.slice(30, 50));
    jest.restoreAllMocks();
  });
});
