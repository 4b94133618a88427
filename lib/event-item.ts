import { crc32 } from 'node:zlib';
import type { Event } from './event.schema.ts';

const MS_PER_DAY = 86_400_000;

/** Parts of a day, so that no partition of the index by day takes the writes of all owners. */
export const DAY_PARTS = 4;

/** An event as it lies in the table. */
export interface EventItem {
  pk: string;
  sk: string;
  /** The JSON text of the event: what is published and delivered is this, to the byte. */
  event: string;
  event_type: string;
  event_owner_id: string;
  event_day: string;
  /** Epoch seconds. */
  ttl: number;
}

/** The partition of the table that holds all events of a key, of a webhook endpoint or of an API. */
export const trailOf = (subjectId: string): string => `events_${subjectId}`;

/** The partition of the index by day: `2026-11-24/3`. */
export const eventDay = (ms: number, part: number): string =>
  `${new Date(ms).toISOString().slice(0, 10)}/${part}`;

/** What an event is about, by its id. */
export function subjectOf(
  event: Pick<Event, 'id' | 'api_key_id' | 'webhook_endpoint_id' | 'api_id'>,
): string {
  const subjectId = event.api_key_id ?? event.webhook_endpoint_id ?? event.api_id;
  if (!subjectId) throw new Error(`the event ${event.id} is about nothing`);
  return subjectId;
}

/** @param retentionDays days after which DynamoDB may tidy the event away */
export function eventItem(event: Event, retentionDays: number): EventItem {
  const occurred = Date.parse(event.occurred_at);
  return {
    pk: trailOf(subjectOf(event)),
    sk: event.id,
    event: JSON.stringify(event),
    event_type: event.type,
    event_owner_id: event.owner_id,
    event_day: eventDay(occurred, crc32(event.id) % DAY_PARTS),
    ttl: Math.ceil((occurred + retentionDays * MS_PER_DAY) / 1000),
  };
}
