import { z } from 'zod';
import { Instant } from './api-key.schema.ts';
import { EventId } from './event.schema.ts';
import { WebhookEndpointId } from './webhook-endpoint.schema.ts';

export const DeliveryStatus = z.enum(['pending', 'succeeded', 'failed', 'held']).meta({
  description:
    '`pending`: an attempt is ahead. `failed`: there will be no other by itself. `held`: the endpoint was disabled; redeliver it when it is enabled again.',
});

export const Attempt = z.object({
  at: Instant,
  response_code: z.int().nullable().meta({ description: 'The HTTP status; null: there was no answer.' }),
  latency_ms: z.int().min(0),
  response_excerpt: z
    .string()
    .nullable()
    .meta({ description: 'The first kilobyte of the answer; what looks like a key is masked.' }),
  error: z.string().nullable().meta({
    description:
      'Why there was no answer: `timeout`, `refused: <rule>`, or the code of the error (`ECONNREFUSED`). `slow`: no answer came within 3 s, so the attempt was given up and repeated with 15 s.',
  }),
});
export type Attempt = z.infer<typeof Attempt>;

/** The delivery of one event to one endpoint, as it lies in the table (`pk` = `deliveries_` + endpoint, `sk` = `delivery_` + event). */
export const DeliveryRecord = z.object({
  id: EventId.meta({ description: 'The id of the event, which is the `webhook-id` of every attempt.' }),
  webhook_endpoint_id: WebhookEndpointId,
  event_type: z.string(),
  /** The partition of the trail that has the event; null: the text is `event`, as a test's is nowhere else. */
  event_pk: z.string().nullable(),
  event: z.string().nullable(),
  status: DeliveryStatus,
  created_at: Instant,
  attempts: z.array(Attempt).meta({ description: 'The last ten, oldest first.' }),
  attempt_count: z.int().min(0).meta({ description: 'All there were.' }),
  /** Attempts of the schedule that are over; a redelivery begins again with none. */
  step: z.int().min(0),
  next_attempt_at: Instant.nullable(),
  /** Until then somebody makes an attempt; null: nobody does. */
  claimed_until: Instant.nullable(),
  /** Counts what was decided; every write is conditional on the one before. */
  version: z.int().min(1),
  due_shard: z.string().optional(),
  next_action_at: Instant.optional(),
  /** Epoch seconds. */
  ttl: z.int(),
});
export type DeliveryRecord = z.infer<typeof DeliveryRecord>;

/** What callers see. */
export const Delivery = DeliveryRecord.pick({
  id: true,
  webhook_endpoint_id: true,
  event_type: true,
  status: true,
  created_at: true,
  attempts: true,
  attempt_count: true,
  next_attempt_at: true,
}).meta({ id: 'Delivery' });
export type Delivery = z.infer<typeof Delivery>;
