import type { DynamoDBBatchResponse, DynamoDBRecord } from 'aws-lambda';
import { type BusEntry, busEntryOf, type Unsent } from './event-bus.ts';

/** What TTL deletes is deleted by DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html */
const TTL_PRINCIPAL = 'dynamodb.amazonaws.com';

/** What a record of the table's stream says of the trail. */
export type Finding =
  | { kind: 'event'; entry: BusEntry }
  /** A recorded event was changed, or deleted before its time. */
  | { kind: 'tampered'; id: string; by: string }
  /** It will never be publishable as it is. */
  | { kind: 'unreadable'; id: string; error: string }
  | { kind: 'nothing' };

export function readRecord({ eventName, dynamodb, userIdentity }: DynamoDBRecord): Finding {
  const id = dynamodb?.Keys?.['sk']?.S ?? '';
  if (!id.startsWith('evt_')) return { kind: 'nothing' };
  if (eventName === 'REMOVE' && userIdentity?.principalId === TTL_PRINCIPAL) return { kind: 'nothing' };
  if (eventName !== 'INSERT') return { kind: 'tampered', id, by: String(eventName) };
  try {
    const text = dynamodb?.NewImage?.['event']?.S;
    if (text === undefined) throw new Error('it has no text');
    const entry = busEntryOf(text);
    if (entry.id !== id) throw new Error('its id is not that of its record');
    return { kind: 'event', entry };
  } catch (error) {
    return { kind: 'unreadable', id, error: (error as Error).message };
  }
}

/** An event that waits for a person, in a queue. */
export interface SetAside {
  event_id: string;
  /** Where it lies in the table. */
  pk: string;
  error: string;
  /** Of the request that it is the event of, where that can be read. */
  request_id?: string | null;
}

export interface PublisherDependencies {
  send(entries: BusEntry[]): Promise<Unsent[]>;
  /** Puts what can't be published where a person finds it. */
  setAside(events: SetAside[]): Promise<void>;
  /** Epoch milliseconds. */
  now(): number;
  count(name: 'events_published' | 'event_tampered' | 'events_set_aside' | 'events_cut', value: number): void;
  lag(seconds: number): void;
  log(line: Record<string, unknown>): void;
}

/**
 * Publishes what one batch of a shard has recorded. Each event is on the bus, or set aside because it can never be,
 * or the batch is tried again from the first one that is neither: at least once, and a key's events in their order.
 *
 * @returns the first record to begin with again, if any
 */
export async function publishBatch(
  records: DynamoDBRecord[],
  { send, setAside, now, count, lag, log }: PublisherDependencies,
): Promise<DynamoDBBatchResponse> {
  const found = records.map((record) => ({ record, finding: readRecord(record) }));
  for (const { finding } of found) {
    if (finding.kind !== 'tampered') continue;
    count('event_tampered', 1);
    log({ level: 'error', event: 'event_tampered', event_id: finding.id, by: finding.by });
  }

  const entries = found.flatMap(({ finding }) => (finding.kind === 'event' ? [finding.entry] : []));
  const unsent = new Map((await send(entries)).map((one) => [one.entry.id, one]));
  const pkOf = (id: string): string =>
    found.find(({ record }) => record.dynamodb?.Keys?.['sk']?.S === id)?.record.dynamodb?.Keys?.['pk']?.S ??
    '';
  const hopeless = [
    ...found.flatMap(({ finding }) =>
      finding.kind === 'unreadable' ? [{ id: finding.id, error: finding.error }] : [],
    ),
    ...[...unsent.values()].flatMap(({ entry, error, permanent }) =>
      permanent ? [{ id: entry.id, request_id: entry.request_id, error }] : [],
    ),
  ].map(({ id, error, ...more }) => ({ event_id: id, pk: pkOf(id), error, ...more }));
  if (hopeless.length > 0) {
    for (const one of hopeless) log({ level: 'error', event: 'event_set_aside', ...one });
    await setAside(hopeless);
    count('events_set_aside', hopeless.length);
  }

  let published = 0;
  for (const { id, occurred_at, request_id, cut } of entries) {
    if (unsent.has(id)) continue;
    published += 1;
    lag(Math.max(0, now() - Date.parse(occurred_at)) / 1000);
    log({ level: 'info', event: 'event_published', event_id: id, request_id });
    if (!cut) continue;
    count('events_cut', 1);
    log({
      level: 'warn',
      event: 'event_cut',
      event_id: id,
      request_id,
      detail: 'published without its data: too large',
    });
  }
  if (published > 0) count('events_published', published);

  const first = found.find(({ finding }) => {
    const failed = finding.kind === 'event' ? unsent.get(finding.entry.id) : undefined;
    return failed !== undefined && !failed.permanent;
  });
  if (!first) return { batchItemFailures: [] };
  for (const { entry, error, permanent } of unsent.values()) {
    if (permanent) continue;
    log({ level: 'error', event: 'event_unsent', event_id: entry.id, request_id: entry.request_id, error });
  }
  return { batchItemFailures: [{ itemIdentifier: first.record.dynamodb!.SequenceNumber! }] };
}
