import { describe, expect, it } from '@jest/globals';
import type { DynamoDBRecord } from 'aws-lambda';
import type { BusEntry, Unsent } from '../../lib/event-bus.ts';
import { publishBatch, readRecord, type SetAside } from '../../lib/publish.ts';

const OCCURRED = '2026-11-24T20:00:00Z';
const textOf = (id: string, more: Record<string, unknown> = {}) =>
  JSON.stringify({
    id,
    type: 'api_key.created',
    occurred_at: OCCURRED,
    api_key_id: `key_${id}`,
    request_id: 'req-1',
    ...more,
  });

function record(
  id: string,
  more: Partial<DynamoDBRecord> = {},
  text: string | undefined = textOf(id),
): DynamoDBRecord {
  return {
    eventName: 'INSERT',
    dynamodb: {
      SequenceNumber: `seq-${id}`,
      Keys: { pk: { S: `events_key_${id}` }, sk: { S: id } },
      ...(text !== undefined && { NewImage: { event: { S: text } } }),
    },
    ...more,
  } as DynamoDBRecord;
}
const byTtl = { type: 'Service', principalId: 'dynamodb.amazonaws.com' };

/** Publishes with a bus on which some events fail. */
async function publish(records: DynamoDBRecord[], failing: Record<string, 'for now' | 'for good'> = {}) {
  const sent: string[] = [];
  const aside: SetAside[] = [];
  const counts: Record<string, number> = {};
  const lags: number[] = [];
  const lines: Record<string, unknown>[] = [];
  const response = await publishBatch(records, {
    async send(entries: BusEntry[]): Promise<Unsent[]> {
      const unsent = entries.flatMap((entry) =>
        failing[entry.id] === undefined
          ? []
          : [{ entry, error: 'SomeError', permanent: failing[entry.id] === 'for good' }],
      );
      sent.push(...entries.filter(({ id }) => failing[id] === undefined).map(({ id }) => id));
      return unsent;
    },
    setAside: async (events) => void aside.push(...events),
    now: () => Date.parse(OCCURRED) + 2_500,
    count: (name, value) => (counts[name] = (counts[name] ?? 0) + value),
    lag: (seconds) => lags.push(seconds),
    log: (line) => lines.push(line),
  });
  return { response, sent, aside, counts, lags, lines };
}

describe('a record of the stream', () => {
  it('is an event when one was inserted', () => {
    expect(readRecord(record('evt_1'))).toMatchObject({ kind: 'event', entry: { detail: textOf('evt_1') } });
  });

  it('is nothing when it is no event, or the end of one by its retention', () => {
    const key = record('key_1');
    expect(readRecord(key)).toEqual({ kind: 'nothing' });
    expect(readRecord(record('evt_1', { eventName: 'REMOVE', userIdentity: byTtl }))).toEqual({
      kind: 'nothing',
    });
  });

  it.each([
    ['MODIFY', undefined],
    ['MODIFY', byTtl],
    ['REMOVE', undefined],
    ['REMOVE', { type: 'Service', principalId: 'somebody.amazonaws.com' }],
  ] as const)('is tampering when it is a %s by %j', (eventName, userIdentity) => {
    expect(readRecord(record('evt_1', { eventName, userIdentity }))).toEqual({
      kind: 'tampered',
      id: 'evt_1',
      by: eventName,
    });
  });

  it.each([
    ['no text', record('evt_1', { dynamodb: { Keys: { sk: { S: 'evt_1' } } } }), 'it has no text'],
    ['no JSON', record('evt_1', {}, 'x'), 'it is not JSON'],
    ['the id of another', record('evt_1', {}, textOf('evt_2')), 'its id is not that of its record'],
  ])('is unreadable with %s', (_, given, error) => {
    expect(readRecord(given)).toEqual({ kind: 'unreadable', id: 'evt_1', error });
  });
});

describe('a batch', () => {
  const records = ['evt_1', 'evt_2', 'evt_3', 'evt_4'].map((id) => record(id));

  it('is published, counted, and its lag measured', async () => {
    const { response, sent, counts, lags } = await publish(records);
    expect(response).toEqual({ batchItemFailures: [] });
    expect(sent).toEqual(['evt_1', 'evt_2', 'evt_3', 'evt_4']);
    expect(counts).toEqual({ events_published: 4 });
    expect(lags).toEqual([2.5, 2.5, 2.5, 2.5]);
  });

  it('leaves a line for each event, by which its request is found', async () => {
    const { lines } = await publish(records, { evt_2: 'for now' });
    expect(lines).toEqual([
      ...['evt_1', 'evt_3', 'evt_4'].map((event_id) => ({
        level: 'info',
        event: 'event_published',
        event_id,
        request_id: 'req-1',
      })),
      { level: 'error', event: 'event_unsent', event_id: 'evt_2', request_id: 'req-1', error: 'SomeError' },
    ]);
  });

  it('is begun again at the first event that failed for now', async () => {
    const { response, counts } = await publish(records, { evt_2: 'for now', evt_4: 'for now' });
    expect(response).toEqual({ batchItemFailures: [{ itemIdentifier: 'seq-evt_2' }] });
    expect(counts).toEqual({ events_published: 2 });
  });

  it('is not held up by an event that fails for good: that one is set aside', async () => {
    const { response, sent, aside, counts } = await publish(records, { evt_2: 'for good' });
    expect(response).toEqual({ batchItemFailures: [] });
    expect(sent).toEqual(['evt_1', 'evt_3', 'evt_4']);
    expect(aside).toEqual([
      { event_id: 'evt_2', pk: 'events_key_evt_2', error: 'SomeError', request_id: 'req-1' },
    ]);
    expect(counts).toEqual({ events_published: 3, events_set_aside: 1 });
  });

  it('is not held up by a record that is unreadable, and tells nothing of what is in it', async () => {
    const { response, sent, aside, lines } = await publish([record('evt_0', {}, 'secret text'), ...records]);
    expect(response).toEqual({ batchItemFailures: [] });
    expect(sent).toHaveLength(4);
    expect(aside).toEqual([{ event_id: 'evt_0', pk: 'events_key_evt_0', error: 'it is not JSON' }]);
    expect(JSON.stringify(lines)).not.toContain('secret text');
  });

  it('tells of tampering, and publishes nothing of it', async () => {
    const { sent, counts, lines } = await publish([record('evt_0', { eventName: 'MODIFY' }), ...records]);
    expect(sent).toHaveLength(4);
    expect(counts['event_tampered']).toBe(1);
    expect(lines).toContainEqual({
      level: 'error',
      event: 'event_tampered',
      event_id: 'evt_0',
      by: 'MODIFY',
    });
  });

  it('fails as a whole when an event could not be set aside', async () => {
    await expect(
      publishBatch([record('evt_0', {}, 'x')], {
        send: async () => [],
        setAside: async () => {
          throw new Error('no queue');
        },
        now: Date.now,
        count: () => undefined,
        lag: () => undefined,
        log: () => undefined,
      }),
    ).rejects.toThrow('no queue');
  });

  it('counts an event that had to be cut', async () => {
    const large = record('evt_0', {}, textOf('evt_0', { data: { text: 'x'.repeat(300_000) } }));
    const { counts, lines } = await publish([large]);
    expect(counts).toEqual({ events_published: 1, events_cut: 1 });
    expect(lines).toContainEqual(expect.objectContaining({ event: 'event_cut', event_id: 'evt_0' }));
  });
});
