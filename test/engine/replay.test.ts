import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Event } from '../../lib/event.schema.ts';
import { keyEvent, newEventId } from '../../lib/event.ts';
import type { BusEntry, Unsent } from '../../lib/event-bus.ts';
import { type ReplayRequest, replayEvents } from '../../lib/event-replay.ts';
import { putEvent } from '../../lib/event-table.ts';
import { transact } from '../../lib/table-client.ts';
import { type Engine, startEngine } from './engine.ts';
import { aKey, by, DAY, NOW } from './keys.ts';

const MIDNIGHT = Math.floor(NOW / DAY) * DAY;
const KEYS = Array.from({ length: 5 }, (_, index) => aKey({ owner_id: `owner-${index}` }));

let engine: Engine;
/** By time: 400 events within minutes of one day, and one on each of the days around it. */
let recorded: Event[];
beforeAll(async () => {
  engine = await startEngine();
  const at = [
    MIDNIGHT - DAY,
    MIDNIGHT - 1,
    MIDNIGHT,
    ...Array.from({ length: 400 }, (_, index) => MIDNIGHT + 1000 + index * 100),
    MIDNIGHT + DAY - 1,
    MIDNIGHT + DAY,
    MIDNIGHT + 3 * DAY,
  ];
  recorded = at.map((ms, index) =>
    keyEvent(index % 2 ? 'api_key.updated' : 'api_key.revoked', KEYS[index % 5]!, by(ms), {
      id: newEventId(ms),
    }),
  );
  for (let from = 0; from < recorded.length; from += 100)
    await transact(
      engine.table,
      recorded.slice(from, from + 100).map((event) => putEvent(event, engine.table)),
    );
});
afterAll(() => engine?.close());

const all = { from: MIDNIGHT - 5 * DAY, to: MIDNIGHT + 5 * DAY, filter: () => true };

/** Calls until the end, over a bus that takes all but what `refuses` says. */
const replay = async (
  request: ReplayRequest,
  refuses: (entry: BusEntry) => 'passing' | 'permanent' | undefined = () => undefined,
  now?: () => number,
) => {
  const sent: BusEntry[] = [];
  const send = async (entries: readonly BusEntry[]): Promise<Unsent[]> =>
    entries.flatMap((entry) => {
      const refusal = refuses(entry);
      if (!refusal) sent.push(entry);
      return refusal ? [{ entry, error: refusal, permanent: refusal === 'permanent' }] : [];
    });
  const calls: Awaited<ReturnType<typeof replayEvents>>[] = [];
  let after: string | undefined;
  do {
    calls.push(await replayEvents({ ...request, after }, { table: engine.table, send, ...(now && { now }) }));
    after = calls.at(-1)!.last;
  } while (after !== undefined && calls.length < 1_000);
  const replayed = calls.reduce((sum, call) => sum + call.replayed, 0);
  return { sent, calls, replayed, not_replayed: calls.flatMap((call) => call.not_replayed) };
};
const idsOf = (events: { id: string }[]) => events.map(({ id }) => id);

describe('a replay', () => {
  it('sends each stored event once, as it was recorded, in the order of time', async () => {
    const { sent, replayed } = await replay(all);
    expect(idsOf(sent)).toEqual(idsOf(recorded));
    expect(replayed).toBe(recorded.length);
    expect(sent.map(({ detail }) => detail)).toEqual(recorded.map((event) => JSON.stringify(event)));
  });

  it('sends those from a time on and before another, and no others', async () => {
    const between = (from: number, to: number) =>
      idsOf(
        recorded.filter(({ occurred_at }) => Date.parse(occurred_at) >= from && Date.parse(occurred_at) < to),
      );
    for (const [from, to] of [
      [MIDNIGHT, MIDNIGHT + DAY],
      [MIDNIGHT - 1, MIDNIGHT + 1],
      [MIDNIGHT + 5_000, MIDNIGHT + 20_000],
      [MIDNIGHT + 5_050, MIDNIGHT + 3 * DAY + 1],
      [MIDNIGHT - 5 * DAY, MIDNIGHT - 4 * DAY],
    ] as const) {
      const { sent } = await replay({ ...all, from, to });
      expect(idsOf(sent)).toEqual(between(from, to));
    }
  });

  it('sends those only that were asked for', async () => {
    const filter = ({ type, owner_id }: Event) => type === 'api_key.updated' && owner_id === 'owner-3';
    const { sent } = await replay({ ...all, filter });
    expect(idsOf(sent)).toEqual(idsOf(recorded.filter(filter)));
  });

  it('does a part in each call, and loses and repeats nothing between them', async () => {
    // Every look at the clock takes two seconds.
    let clock = 0;
    const { sent, calls } = await replay(all, undefined, () => (clock += 2_000));
    expect(calls.length).toBeGreaterThan(3);
    expect(idsOf(sent)).toEqual(idsOf(recorded));
  });

  it('names what can never be sent, and goes on behind it', async () => {
    const bad = recorded[150]!.id;
    const { sent, not_replayed, replayed } = await replay(all, ({ id }) =>
      id === bad ? 'permanent' : undefined,
    );
    expect(not_replayed).toEqual([{ id: bad, error: 'permanent' }]);
    expect(replayed).toBe(recorded.length - 1);
    expect(idsOf(sent)).toEqual(idsOf(recorded).filter((id) => id !== bad));
  });

  it('ends a call where the bus takes no more, and the next one goes on from there', async () => {
    let refusals = 3;
    const hard = recorded[130]!.id;
    const { sent, calls, replayed } = await replay(all, ({ id }) =>
      id === hard && refusals-- > 2 ? 'passing' : undefined,
    );
    expect(calls.length).toBe(2);
    // What was behind it in the first call is sent again: at least once.
    expect(new Set(idsOf(sent))).toEqual(new Set(idsOf(recorded)));
    expect(replayed).toBe(recorded.length);
  });

  it('is unavailable when the bus takes nothing', async () => {
    await expect(replay(all, () => 'passing')).rejects.toMatchObject({ code: 'unavailable' });
  });
});
