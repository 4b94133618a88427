import type { z } from 'zod';
import type { TellableKey } from './api-key.schema.ts';
import { publicKey } from './api-key.ts';
import { canonicalJson } from './canonical-json.ts';
import type { Change, Event, EventReplay, EventType } from './event.schema.ts';
import { earliestId, newId } from './key-format.ts';
import { withoutKeys } from './secret-text.ts';

const ID_PREFIX = 'evt_';
const LONGEST_USER_AGENT = 256;
/** An IPv6 address has at most 45 characters. */
const LONGEST_ADDRESS = 45;
const LONGEST_REQUEST_ID = 128;

/** Who asks, when, and from where: what an event says of its cause. */
export interface Origin {
  /** The id of the key that asks, or `system:<function>`. */
  actor: string;
  /** Epoch milliseconds: the one clock of all that the request decides. */
  now: number;
  request_id: string | null;
  source_ip: string | null;
  user_agent: string | null;
}

const bounded = (text: unknown, longest: number): string | null =>
  typeof text === 'string' ? withoutKeys(text).slice(0, longest) : null;

/** The origin of a request to an API, of which the caller says what it likes in the user agent. */
export function requestOrigin(
  actor: string,
  now: number,
  context:
    | { requestId?: unknown; identity?: { sourceIp?: unknown; userAgent?: unknown } | undefined }
    | undefined,
): Origin {
  return {
    actor,
    now,
    request_id: bounded(context?.requestId, LONGEST_REQUEST_ID),
    source_ip: bounded(context?.identity?.sourceIp, LONGEST_ADDRESS),
    user_agent: bounded(context?.identity?.userAgent, LONGEST_USER_AGENT),
  };
}

/**
 * The origin of what a function does that nobody asked for over the API.
 *
 * @param functionName as its file in functions/
 * @param request_id of its invocation, where there is one
 */
export function systemOrigin(functionName: string, now: number, request_id: unknown = null): Origin {
  return {
    actor: `system:${functionName}`,
    now,
    request_id: bounded(request_id, LONGEST_REQUEST_ID),
    source_ip: null,
    user_agent: null,
  };
}

/** A new id of an event, `evt_…`, which sorts by `now`. */
export const newEventId = (now: number): string => newId(ID_PREFIX, now);

/** The smallest id that an event of this millisecond can have. */
export const earliestEventId = (ms: number): string => earliestId(ID_PREFIX, ms);

/** What an event shows of a key: what callers see, but for the hint, which is made from the secret. */
function shownKey(record: TellableKey, now: number) {
  const {
    hint: _hint,
    last_used_at: _at,
    last_used_ip: _ip,
    last_used_route: _route,
    ...shown
  } = publicKey(record, now);
  return shown;
}

/** What differs between two objects, field by field. */
export function changesBetween(before: object, after: object): Change[] {
  const [from, to] = [before, after] as Record<string, unknown>[];
  return Object.keys(after)
    .filter((field) => canonicalJson(from![field]) !== canonicalJson(to![field]))
    .map((field) => ({ field, from: from![field] ?? null, to: to![field] ?? null }));
}

/**
 * The event of a replay that begins.
 *
 * @param caller the key that asks for it: the event is in that key's trail
 * @param replay which events are asked for
 */
export function replayEvent(
  caller: { key_id: string; owner_id: string },
  replay: z.infer<typeof EventReplay>,
  { now, ...cause }: Origin,
): Event {
  return {
    id: newEventId(now),
    type: 'events.replayed',
    occurred_at: new Date(now).toISOString(),
    owner_id: caller.owner_id,
    api_key_id: caller.key_id,
    webhook_endpoint_id: null,
    api_id: null,
    ...cause,
    reason: null,
    changes: [],
    data: { replay },
  };
}

/**
 * The event of something that happened to a key.
 *
 * @param record the key as it is afterwards
 * @param told `id` from `newEventId(origin.now)`; `before`: the key as it was, to show what changed; `data`: what the
 *   event says beside the key
 */
export function keyEvent(
  type: Extract<EventType, `api_key.${string}`>,
  record: TellableKey,
  origin: Origin,
  told: { id: string; before?: TellableKey; reason?: string | null; data?: Record<string, unknown> },
): Event {
  const { actor, now, request_id, source_ip, user_agent } = origin;
  const api_key = shownKey(record, now);
  return {
    id: told.id,
    type,
    occurred_at: new Date(now).toISOString(),
    owner_id: record.owner_id,
    api_key_id: record.id,
    webhook_endpoint_id: null,
    api_id: null,
    actor,
    request_id,
    source_ip,
    user_agent,
    reason: told.reason ?? null,
    // The status follows from the other facts.
    changes: told.before
      ? changesBetween(shownKey(told.before, now), api_key).filter(({ field }) => field !== 'status')
      : [],
    data: { api_key, ...told.data },
  };
}
