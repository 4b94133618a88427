import type { Delivery } from '../delivery.schema.ts';
import type { WebhookEndpoint } from '../webhook-endpoint.schema.ts';
import { exampleKey } from './example-key.ts';

/** The webhook endpoint that the documentation's examples are about. */
export const exampleEndpoint: WebhookEndpoint = {
  id: 'whe_01Rk8q2dW5yTnEc7VgHsXa',
  owner_id: 'team-billing',
  all_owners: false,
  url: 'https://hooks.example.com/rekey',
  events: ['api_key.*'],
  description: 'Chat bot of the billing team',
  status: 'enabled',
  created_at: '2026-11-24T09:30:00.000Z',
  created_by: exampleKey.created_by,
  disabled_at: null,
  disabled_reason: null,
  failing_since: null,
  secret_version: 1,
  previous_secret_until: null,
};

export const exampleDelivery: Delivery = {
  id: 'evt_01Rk9t6hZ2bQmWf4KpLxDe',
  webhook_endpoint_id: exampleEndpoint.id,
  event_type: 'api_key.expiring',
  status: 'pending',
  created_at: '2027-02-08T09:00:00.412Z',
  attempts: [
    {
      at: '2027-02-08T09:00:00.530Z',
      response_code: 503,
      latency_ms: 84,
      response_excerpt: 'deploying',
      error: null,
    },
  ],
  attempt_count: 1,
  next_attempt_at: '2027-02-08T09:00:05.920Z',
};
