import { type Event, type EventType, EventWebhookEndpoint } from './event.schema.ts';
import { changesBetween, newEventId, type Origin } from './event.ts';
import { eventTime } from './version.ts';
import type { WebhookEndpointRecord } from './webhook-endpoint.schema.ts';
import { publicEndpoint } from './webhook-endpoint.ts';

const shown = (record: WebhookEndpointRecord) => EventWebhookEndpoint.parse(publicEndpoint(record));

/**
 * The event of something that happened to a webhook endpoint.
 *
 * @param record the endpoint as it is afterwards
 * @param told `before`: the endpoint as it was, to show what changed
 */
export function endpointEvent(
  type: Extract<EventType, `webhook_endpoint.${string}`>,
  record: WebhookEndpointRecord,
  { now: asked, ...cause }: Origin,
  told: { before?: WebhookEndpointRecord; reason?: string | null } = {},
): Event {
  const webhook_endpoint = shown(record);
  const now = eventTime(record, asked);
  return {
    id: newEventId(now),
    type,
    occurred_at: new Date(now).toISOString(),
    owner_id: record.owner_id,
    api_key_id: null,
    webhook_endpoint_id: record.id,
    api_id: null,
    ...cause,
    reason: told.reason ?? null,
    changes: told.before ? changesBetween(shown(told.before), webhook_endpoint) : [],
    data: { webhook_endpoint },
  };
}

/** An event that says nothing happened. It is sent to one endpoint and recorded nowhere. */
export function testEvent(record: WebhookEndpointRecord, origin: Origin) {
  return { ...endpointEvent('webhook_endpoint.updated', record, origin), type: 'webhook_endpoint.test' };
}
