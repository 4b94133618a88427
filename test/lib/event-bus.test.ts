import { EventBridgeClient, PutEventsCommand, type PutEventsRequestEntry } from '@aws-sdk/client-eventbridge';
import { afterEach, describe, expect, it } from '@jest/globals';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { type BusEntry, busEntryOf, nextRequest, sendToBus } from '../../lib/event-bus.ts';

const mock = mockClient(EventBridgeClient);
const bus = { client: new EventBridgeClient({ region: 'eu-central-1' }), name: 'Rekey-events' };
afterEach(() => void mock.reset());

const event = (id: string, subject: string, more: Record<string, unknown> = {}) => ({
  id,
  type: 'api_key.updated',
  occurred_at: '2026-11-24T20:00:00Z',
  api_key_id: subject,
  webhook_endpoint_id: null,
  changes: [],
  data: {},
  ...more,
});
const entry = (id: string, subject: string, more: Record<string, unknown> = {}): BusEntry =>
  busEntryOf(JSON.stringify(event(id, subject, more)));
const noPause = { pause: async () => undefined };
const idsOf = (Entries: PutEventsRequestEntry[] = []) => Entries.map(({ Detail }) => JSON.parse(Detail!).id);

/** Answers each request with what `fails` says of each entry (an error code, or nothing); keeps what arrived. */
function answer(fails: (id: string, attempt: number) => string | undefined): {
  requests: string[][];
  arrived: string[];
} {
  const requests: string[][] = [];
  const arrived: string[] = [];
  const attempts = new Map<string, number>();
  mock.on(PutEventsCommand).callsFake(({ Entries }: { Entries: PutEventsRequestEntry[] }) => {
    const ids = idsOf(Entries);
    requests.push(ids);
    return {
      Entries: ids.map((id) => {
        attempts.set(id, (attempts.get(id) ?? 0) + 1);
        const ErrorCode = fails(id, attempts.get(id)!);
        if (ErrorCode !== undefined) return { ErrorCode };
        arrived.push(id);
        return { EventId: `e-${id}` };
      }),
    };
  });
  return { requests, arrived };
}

describe('an entry', () => {
  it('has the recorded text of the event as its detail, to the byte', () => {
    const text =
      '{"id":"evt_1", "type":"api_key.created","occurred_at":"2026-11-24T20:00:00Z","api_key_id":"key_1","é":1e2}';
    expect(busEntryOf(text)).toMatchObject({ detail: text, subject: 'key_1', cut: false });
  });

  it('is cut when the event is larger than the bus takes, and says so', () => {
    const cut = entry('evt_1', 'key_1', { data: { api_key: { name: 'é'.repeat(131_072) } } });
    expect(cut.cut).toBe(true);
    expect(JSON.parse(cut.detail)).toEqual({ ...event('evt_1', 'key_1'), data_omitted: true });
  });

  it.each([
    ['{', 'it is not JSON'],
    ['[]', 'it is no JSON object'],
    ['{"id":"evt_1"}', 'it lacks id, type or occurred_at'],
    ['{"id":"evt_1","type":"t","occurred_at":"soon"}', 'its occurred_at is no time'],
  ])('cannot be made of %s', (text, sentence) => {
    expect(() => busEntryOf(text)).toThrow(sentence);
  });
});

describe('sending to the bus', () => {
  it('names source, type, time and bus', async () => {
    answer(() => undefined);
    expect(await sendToBus([entry('evt_1', 'key_1')], bus, noPause)).toEqual([]);
    expect(mock.commandCalls(PutEventsCommand)[0]!.args[0].input.Entries).toEqual([
      {
        EventBusName: 'Rekey-events',
        Source: 'rekey',
        DetailType: 'api_key.updated',
        Detail: JSON.stringify(event('evt_1', 'key_1')),
        Time: new Date('2026-11-24T20:00:00Z'),
      },
    ]);
  });

  it('puts ten entries and less than 256 KB into a request', () => {
    const big = { data: { text: 'x'.repeat(100_000) } };
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(30), fc.boolean()), { maxLength: 40 }), (given) => {
        const waiting = given.map(([key, isBig], n) => entry(`evt_${n}`, `key_${key}`, isBig ? big : {}));
        const request = nextRequest(waiting);
        expect(request.length).toBeLessThanOrEqual(10);
        const bytes = request.reduce(
          (sum, one) => sum + Buffer.byteLength(one.detail) + one.type.length + 19,
          0,
        );
        expect(bytes).toBeLessThan(256 * 1024);
        if (waiting.length > 0) expect(request[0]).toBe(waiting[0]);
        expect(new Set(request.map(({ subject }) => subject)).size).toBe(request.length);
      }),
    );
  });

  it('sends again what failed, and nothing else', async () => {
    const { requests } = answer((id, attempt) =>
      id === 'evt_b' && attempt < 3 ? 'InternalFailure' : undefined,
    );
    const entries = ['evt_a', 'evt_b', 'evt_c'].map((id) => entry(id, `key_${id}`));
    expect(await sendToBus(entries, bus, noPause)).toEqual([]);
    expect(requests).toEqual([['evt_a', 'evt_b', 'evt_c'], ['evt_b'], ['evt_b']]);
  });

  it('keeps the order of a subject, whatever fails how often, and loses nothing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ key: fc.nat(3), failures: fc.nat(7), permanent: fc.boolean() }), {
          maxLength: 25,
        }),
        async (plan) => {
          const entries = plan.map(({ key }, n) => entry(`evt_${n}`, `key_${key}`));
          const { arrived } = answer((id, attempt) => {
            const { failures, permanent } = plan[Number(id.slice(4))]!;
            if (attempt > failures) return undefined;
            return permanent ? 'MalformedDetail' : 'ThrottlingException';
          });
          const unsent = await sendToBus(entries, bus, noPause);
          const told = unsent.map(({ entry: { id } }) => id);
          expect([...arrived, ...told].toSorted()).toEqual(entries.map(({ id }) => id).toSorted());
          for (const key of [0, 1, 2, 3]) {
            const sent = arrived.map((id) => Number(id.slice(4))).filter((n) => plan[n]!.key === key);
            expect(sent).toEqual(sent.toSorted((a, b) => a - b));
            // Behind one that may still be sent, nothing of the same subject is there.
            const waits = unsent.find((one) => !one.permanent && one.entry.subject === `key_${key}`);
            if (waits) expect(Math.max(-1, ...sent)).toBeLessThan(Number(waits.entry.id.slice(4)));
          }
        },
      ),
    );
  });

  it('finds the one entry for which a whole request is refused', async () => {
    mock.on(PutEventsCommand).callsFake(({ Entries }: { Entries: PutEventsRequestEntry[] }) => {
      if (idsOf(Entries).includes('evt_b'))
        throw Object.assign(new Error('no'), { name: 'ValidationException' });
      return { Entries: Entries.map(() => ({ EventId: 'x' })) };
    });
    const entries = ['evt_a', 'evt_b', 'evt_c'].map((id) => entry(id, `key_${id}`));
    const unsent = await sendToBus(entries, bus, noPause);
    expect(unsent.map(({ entry: { id }, error, permanent }) => [id, error, permanent])).toEqual([
      ['evt_b', 'ValidationException', true],
    ]);
  });

  it('gives an outage back as what may be tried again', async () => {
    mock.on(PutEventsCommand).rejects(Object.assign(new Error('down'), { name: 'InternalException' }));
    const unsent = await sendToBus([entry('evt_a', 'key_1'), entry('evt_b', 'key_1')], bus, noPause);
    expect(unsent.map(({ entry: { id }, error, permanent }) => [id, error, permanent])).toEqual([
      ['evt_a', 'InternalException', false],
      ['evt_b', 'NotSent', false],
    ]);
    expect(mock.commandCalls(PutEventsCommand)).toHaveLength(5);
  });

  it('begins nothing after forty seconds', async () => {
    let time = 0;
    mock.on(PutEventsCommand).callsFake(() => {
      time += 30_000;
      return { Entries: [{ EventId: 'x' }] };
    });
    const entries = ['a', 'b', 'c', 'd'].map((id) => entry(`evt_${id}`, 'key_1'));
    const unsent = await sendToBus(entries, bus, { ...noPause, now: () => time });
    expect(unsent.map(({ entry: { id } }) => id)).toEqual(['evt_c', 'evt_d']);
  });
});
