import { z } from 'zod';
import { Instant } from './api-key.schema.ts';
import { EventType } from './event.schema.ts';

export const WebhookEndpointId = z
  .string()
  .regex(/^whe_[0-9A-Za-z]{22}$/, 'must look like whe_ and 22 letters or digits');

/** Groups of event types that an endpoint can listen to as a whole: `api_key.*`. */
const groups = [...new Set(EventType.options.map((type) => `${type.split('.')[0]}.*`))];

/** What an endpoint listens to: one type, a group of types, or everything. */
export const EventPattern = z.enum(['*', ...groups, ...EventType.options]).meta({
  description: 'A type of event, all types of a group (`api_key.*`), or every event (`*`).',
});

export const EndpointStatus = z.enum(['enabled', 'disabled']);

/**
 * The endpoint as it lies in the table (`pk` = `id`, `sk` = `webhook_endpoint`). Nothing secret is in it: its secret
 * is derived from its id and `secret_version` (lib/webhook-secret.ts).
 */
export const WebhookEndpointRecord = z.object({
  id: WebhookEndpointId,
  owner_id: z.string(),
  all_owners: z.boolean().meta({ description: 'Whether it listens to the events of every owner.' }),
  /** The partition of the index that fan-out asks: the owner whose events it gets, or `*`. */
  webhook_owner: z.string(),
  url: z.string(),
  events: z.array(EventPattern),
  description: z.string().nullable(),
  created_at: Instant,
  created_by: z.string().meta({ description: 'The id of the key that made it.' }),
  disabled_at: Instant.nullable(),
  disabled_reason: z.string().nullable().meta({
    description:
      '`by request`; `gone` when it answered 410; `failing` when nothing got through for five days.',
  }),
  failing_since: Instant.nullable().meta({
    description: 'Since when no delivery has got through; null: the last one did.',
  }),
  /** Until then it is served apart from the others, because it answered slowly. */
  slow_until: Instant.nullable(),
  secret_version: z.int().min(1).meta({ description: 'How many secrets it has had.' }),
  previous_secret_until: Instant.nullable().meta({
    description: 'Until then earlier secrets sign as well.',
  }),
  /** The first of the secrets that sign during the grace. */
  oldest_secret_version: z.int().min(1),
  /** Grows with every decided write, which is conditional on the version it was decided from (version.ts). */
  version: z.int().min(1),
});
export type WebhookEndpointRecord = z.infer<typeof WebhookEndpointRecord>;

/** What callers see. */
export const WebhookEndpoint = WebhookEndpointRecord.omit({
  webhook_owner: true,
  slow_until: true,
  oldest_secret_version: true,
  version: true,
})
  .extend({ status: EndpointStatus })
  .meta({ id: 'WebhookEndpoint' });
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;
