import { setTimeout as sleep } from 'node:timers/promises';
import {
  EventBridgeClient,
  PutEventsCommand,
  type PutEventsRequestEntry,
  type PutEventsResultEntry,
} from '@aws-sdk/client-eventbridge';
import { eventBusName } from './environment.ts';

/** `source` of everything that Rekey puts on its bus. */
export const SOURCE = 'rekey';

/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html */
const MOST_ENTRIES = 10;
/** The limit that holds on every kind of bus: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html */
const MOST_BYTES = 256 * 1024;
/** What a `Time` counts, by the same page. */
const TIME_BYTES = 14;

const MOST_ATTEMPTS = 5;
/** Milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 3_000;
/** Nothing is begun after this time; the function that calls has its own limit above it. */
const LONGEST_SENDING = 40_000;

/** Errors of one entry that another attempt would not mend. Any other one may pass. */
const PERMANENT = new Set([
  'MalformedDetail',
  'InvalidArgument',
  'InvalidParameter',
  'ValidationException',
  'NotAuthorizedForSourceException',
  'NotAuthorizedForDetailTypeException',
]);
/** Errors of a request that are about its entries. */
const ABOUT_ENTRIES = new Set([
  'ValidationException',
  'RequestEntityTooLarge',
  'RequestEntityTooLargeException',
]);

/** An event on its way to the bus. */
export interface BusEntry {
  id: string;
  type: string;
  occurred_at: string;
  /** Of the request that it is the event of, for the logs. */
  request_id: string | null;
  /** Entries of the same subject are sent one after the other. */
  subject: string;
  /** What rules and targets see as `detail`: the JSON text of the event, as recorded. */
  detail: string;
  /** Whether `detail` lacks `data` and `changes`, because the event is larger than the bus takes. */
  cut: boolean;
}

/** An entry that is not on the bus. */
export interface Unsent {
  entry: BusEntry;
  error: string;
  /** Whether another attempt could not help: it belongs to whoever can mend it. */
  permanent: boolean;
}

export interface EventBus {
  client: EventBridgeClient;
  name: string;
}

let opened: EventBus | undefined;

/** The bus of the environment, opened once in a process. */
export function environmentBus(): EventBus {
  opened ??= {
    client: new EventBridgeClient({
      maxAttempts: 3,
      requestHandler: { connectionTimeout: 1_000, requestTimeout: 5_000, throwOnRequestTimeout: true },
    }),
    name: eventBusName(),
  };
  return opened;
}

/** What an entry counts: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html */
const bytesOf = ({ type, detail }: Pick<BusEntry, 'type' | 'detail'>): number =>
  TIME_BYTES + Buffer.byteLength(SOURCE) + Buffer.byteLength(type) + Buffer.byteLength(detail);

/**
 * An event as it goes on the bus: its recorded text. One that is too large alone goes without `data` and `changes`,
 * with `data_omitted: true`; `GET /events` has the whole.
 *
 * @param text the JSON text of the event
 * @throws Error that says what is wrong, and nothing of what is in it
 */
export function busEntryOf(text: string): BusEntry {
  const event = parseEvent(text);
  const { id, type, occurred_at, request_id, api_key_id, webhook_endpoint_id } = event;
  if (typeof id !== 'string' || typeof type !== 'string' || typeof occurred_at !== 'string')
    throw new Error('it lacks id, type or occurred_at');
  if (Number.isNaN(Date.parse(occurred_at))) throw new Error('its occurred_at is no time');
  const subject = String(api_key_id ?? webhook_endpoint_id ?? id);
  const request = typeof request_id === 'string' ? request_id : null;
  const whole = { id, type, occurred_at, request_id: request, subject, detail: text, cut: false };
  if (bytesOf(whole) < MOST_BYTES) return whole;
  const detail = JSON.stringify({ ...event, changes: [], data: {}, data_omitted: true });
  if (bytesOf({ type, detail }) >= MOST_BYTES) throw new Error('it is too large even without its data');
  return { ...whole, detail, cut: true };
}

function parseEvent(text: string): Record<string, unknown> {
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event))
    throw new Error('it is no JSON object');
  return event as Record<string, unknown>;
}

/**
 * The entries of the next request: the first waiting ones, no two of one subject, since a request's entries fail one
 * by one and the later one must not be there before the earlier.
 */
export function nextRequest(waiting: readonly BusEntry[], mostEntries = MOST_ENTRIES): BusEntry[] {
  const request: BusEntry[] = [];
  const subjects = new Set<string>();
  let bytes = 0;
  for (const entry of waiting) {
    if (request.length === mostEntries) break;
    if (subjects.has(entry.subject)) continue;
    // Also of one that has no room: what comes after it of the same subject has to wait with it.
    subjects.add(entry.subject);
    if (bytes + bytesOf(entry) >= MOST_BYTES) continue;
    bytes += bytesOf(entry);
    request.push(entry);
  }
  return request;
}

type Result = { sent: true } | { sent: false; error: string; permanent: boolean };

async function put(bus: EventBus, entries: BusEntry[]): Promise<Result[] | 'one of them is refused'> {
  const Entries: PutEventsRequestEntry[] = entries.map(({ type, detail, occurred_at }) => ({
    EventBusName: bus.name,
    Source: SOURCE,
    DetailType: type,
    Detail: detail,
    Time: new Date(occurred_at),
  }));
  try {
    const { Entries: answers = [] } = await bus.client.send(new PutEventsCommand({ Entries }));
    return entries.map((_, index) => resultOf(answers[index]));
  } catch (error) {
    const { name = 'Error' } = error as Error;
    const permanent = ABOUT_ENTRIES.has(name);
    if (permanent && entries.length > 1) return 'one of them is refused';
    return entries.map(() => ({ sent: false, error: name, permanent }));
  }
}

function resultOf(answer: PutEventsResultEntry | undefined): Result {
  if (answer?.EventId !== undefined) return { sent: true };
  const error = answer?.ErrorCode ?? 'NoAnswer';
  return { sent: false, error, permanent: PERMANENT.has(error) };
}

/**
 * Puts entries on the bus, within the limits of a request. What failed is sent again, alone what failed, with growing
 * pauses; entries of one subject arrive in their order, so after one that can't be sent those behind it are not sent.
 *
 * @returns what is not on the bus, in the order given
 */
export async function sendToBus(
  entries: readonly BusEntry[],
  bus: EventBus = environmentBus(),
  {
    longest = LONGEST_SENDING,
    pause = (ms: number): Promise<unknown> => sleep(ms),
    now = () => performance.now(),
  } = {},
): Promise<Unsent[]> {
  const until = now() + longest;
  const unsent = new Map<BusEntry, Unsent>();
  const attempts = new Map<BusEntry, number>();
  let waiting = [...entries];
  let mostEntries = MOST_ENTRIES;

  const giveUp = (entry: BusEntry, error: string, permanent: boolean): void => {
    unsent.set(entry, { entry, error, permanent });
    if (permanent) return;
    for (const behind of waiting.filter(({ subject }) => subject === entry.subject)) {
      if (!unsent.has(behind)) unsent.set(behind, { entry: behind, error: 'NotSent', permanent: false });
    }
  };

  while (waiting.length > 0 && now() < until) {
    const request = nextRequest(waiting, mostEntries);
    const results = await put(bus, request);
    if (results === 'one of them is refused') {
      mostEntries = 1;
      continue;
    }
    let mostTries = 0;
    const done = new Set<BusEntry>();
    for (const [index, entry] of request.entries()) {
      const result = results[index]!;
      if (result.sent) {
        done.add(entry);
        continue;
      }
      const tries = (attempts.get(entry) ?? 0) + 1;
      attempts.set(entry, tries);
      if (result.permanent || tries === MOST_ATTEMPTS) giveUp(entry, result.error, result.permanent);
      else mostTries = Math.max(mostTries, tries);
    }
    waiting = waiting.filter((entry) => !done.has(entry) && !unsent.has(entry));
    // Full jitter: AWS Architecture Blog, "Exponential backoff and jitter".
    if (mostTries > 0)
      await pause(Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (mostTries - 1)));
  }
  for (const entry of waiting) unsent.set(entry, { entry, error: 'NotSent', permanent: false });
  return entries.flatMap((entry) => unsent.get(entry) ?? []);
}
