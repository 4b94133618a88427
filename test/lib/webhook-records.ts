import type { DeliveryRecord } from '../../lib/delivery.schema.ts';
import { newDelivery } from '../../lib/delivery.ts';
import { newEventId } from '../../lib/event.ts';
import { newId } from '../../lib/key-format.ts';
import type { WebhookEndpointRecord } from '../../lib/webhook-endpoint.schema.ts';

export const NOW = Date.parse('2026-11-24T10:00:00.000Z');

/** An endpoint that listens to everything of one owner, and that nothing has happened to. */
export function anEndpoint(facts: Partial<WebhookEndpointRecord> = {}): WebhookEndpointRecord {
  return {
    id: newId('whe_', NOW),
    owner_id: 'team-orders',
    all_owners: false,
    webhook_owner: facts.owner_id ?? 'team-orders',
    url: 'https://hooks.example.com/rekey',
    events: ['*'],
    description: null,
    created_at: new Date(NOW).toISOString(),
    created_by: 'key_0000000000000000000001',
    disabled_at: null,
    disabled_reason: null,
    failing_since: null,
    slow_until: null,
    secret_version: 1,
    oldest_secret_version: 1,
    previous_secret_until: null,
    version: 1,
    ...facts,
  };
}

/** A delivery that begins at `now`. */
export function aDelivery(facts: Partial<DeliveryRecord> = {}, now = NOW): DeliveryRecord {
  const about = {
    id: newEventId(now),
    webhook_endpoint_id: newId('whe_', now),
    event_type: 'api_key.created',
    held: false,
  };
  return { ...newDelivery(about, { event_pk: 'events_key_0000000000000000000009' }, now), ...facts };
}
