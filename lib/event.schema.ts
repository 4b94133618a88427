import { z } from 'zod';
import { ApiSummary } from './api.schema.ts';
import { ApiKey, Instant, KeyId } from './api-key.schema.ts';

export const EventId = z
  .string()
  .regex(/^evt_[0-9A-Za-z]{22}$/, 'must look like evt_ and 22 letters or digits')
  .meta({ description: 'The same wherever and however often the event is sent. Ids sort by time.' });

/**
 * The key in an event: the hint is made from the secret, so it stays out of what is sent around. The last use is noted
 * beside all other writes, so an event could only tell an older one.
 */
export const EventKey = ApiKey.omit({
  hint: true,
  honey: true,
  last_used_at: true,
  last_used_ip: true,
  last_used_route: true,
}).meta({ id: 'EventKey' });

const EventKeyData = z.object({ api_key: EventKey });

/** Where a key was used that must not be. */
const MisuseData = EventKeyData.extend({
  route: z.string().nullable().meta({ description: 'The route as declared, such as `GET /orders/{id}`.' }),
  api_id: z.string().nullable().meta({ description: 'The API in API Gateway; null: verify-key.' }),
});
const LateUseData = MisuseData.extend({
  grace_ended_at: Instant.meta({ description: 'Since when the key should not have been used.' }),
});

/** What an event shows of a webhook endpoint. */
export const EventWebhookEndpoint = z
  .object({
    id: z.string(),
    owner_id: z.string(),
    all_owners: z.boolean().meta({ description: 'Whether it listens to the events of every owner.' }),
    url: z.string(),
    events: z.array(z.string()),
    description: z.string().nullable(),
    status: z.enum(['enabled', 'disabled']),
    created_at: Instant,
    created_by: z.string(),
    disabled_at: Instant.nullable(),
    disabled_reason: z.string().nullable(),
    secret_version: z.int(),
  })
  .meta({ id: 'EventWebhookEndpoint' });

const WebhookEndpointData = z.object({ webhook_endpoint: EventWebhookEndpoint });

const ApiData = z.object({ api: ApiSummary });

/** Which events somebody asked to have sent again. */
export const EventReplay = z
  .object({
    from: z.string(),
    to: z.string(),
    types: z.array(z.string()).nullable().meta({ description: 'null: of all types.' }),
    owner_id: z.string().nullable().meta({ description: 'null: of all owners.' }),
  })
  .meta({ id: 'EventReplay' });

/** Every type of event: when it happens, and what its `data` holds. */
export const eventTypes = {
  'api_key.created': {
    description:
      'A key was made, by create, by a rotation (then it has a parent_key_id) or for an administrator.',
    data: EventKeyData,
  },
  'api_key.updated': {
    description:
      'Fields of a key were changed: `changes` has each. With the reason `secret_replaced` it is the secret, which a repeated Idempotency-Key gave to a key that was never used.',
    data: EventKeyData,
  },
  'api_key.rotated': {
    description: 'A key was given a successor, and ends with its grace period.',
    data: EventKeyData,
  },
  'api_key.first_used': {
    description: 'A key was accepted for the first time in its life.',
    data: EventKeyData,
  },
  'api_key.revoked': {
    description: 'A key was ended for good before its time. `reason` is what the caller gave.',
    data: EventKeyData,
  },
  'api_key.expiring': {
    description: 'A key ends soon and has not been rotated.',
    data: EventKeyData.extend({
      days_left: z.int().min(0).meta({ description: 'Whole days from this event to the end of the key.' }),
      notify_days_before: z
        .int()
        .meta({ description: 'Which of the notices this is: days before the end at which it was due.' }),
    }),
  },
  'api_key.rotation_requested': {
    description:
      'A key is due, and AWS Secrets Manager is asked to rotate it where its `rotation` says. Nobody has to do anything: if it comes to nothing, `api_key.rotation_due` is sent a day later.',
    data: EventKeyData,
  },
  'api_key.rotation_due': {
    description:
      'A key is to be rotated by whoever holds it, or was to be delivered for a day, and has not been rotated. It is sent again each week with rising urgency, five times at most.',
    data: EventKeyData.extend({
      urgency: z.enum(['notice', 'warning', 'critical']),
      reminder: z.int().min(0).meta({ description: '0 for the first one.' }),
    }),
  },
  'api_key.expired': {
    description: 'A key reached its end. With the reason `rotated` it is the end of its grace period.',
    data: EventKeyData,
  },
  'api_key.leaked': {
    description:
      'Somebody who had the text of a key reported it as leaked. `action` says what became of it: `revoked`, `reported` where the stack leaves that to people, or `none` when it had ended already. At most once an hour for each key. The request is the reporter’s.',
    data: EventKeyData.extend({
      found_by: z.enum(['report', 'github']).meta({
        description: '`report`: POST /leaks; `github`: secret scanning.',
      }),
      found_at: z
        .array(z.string())
        .meta({ description: 'Where it lies in public, as far as that was said; at most three addresses.' }),
      action: z.enum(['revoked', 'reported', 'none']),
    }),
  },
  'api_key.used_late': {
    description:
      'A key was used shortly after its grace had ended, and refused: a client still has to change to the successor.',
    data: LateUseData,
  },
  'api_key.reuse_detected': {
    description:
      'A key was used long after it was superseded and its grace had ended, and refused: a client missed the rotation, or somebody else has the old key. At most once an hour for each key.',
    data: LateUseData,
  },
  'api_key.honey_used': {
    description:
      'Somebody used a key that is a trap. It opened nothing. At most six times a minute for each key.',
    data: MisuseData,
  },
  'webhook_endpoint.created': {
    description: 'A webhook endpoint was registered.',
    data: WebhookEndpointData,
  },
  'webhook_endpoint.updated': {
    description: 'Fields of a webhook endpoint were changed: `changes` has each.',
    data: WebhookEndpointData,
  },
  'webhook_endpoint.disabled': {
    description:
      'A webhook endpoint gets no more deliveries, because it kept failing or asked for it. `reason` says which.',
    data: WebhookEndpointData,
  },
  'webhook_endpoint.deleted': { description: 'A webhook endpoint was deleted.', data: WebhookEndpointData },
  'webhook_endpoint.secret_rotated': {
    description: 'A webhook endpoint was given another secret; during the grace period both sign.',
    data: WebhookEndpointData,
  },
  'api.registered': {
    description: 'An API was registered, with its routes and their scopes.',
    data: ApiData,
  },
  'api.updated': {
    description:
      'The registration of an API was replaced. `changes` has its first 50 changes, route by route: `routes/GET /orders`.',
    data: ApiData,
  },
  'api.deleted': { description: 'The registration of an API was deleted.', data: ApiData },
  'events.replayed': {
    description:
      'Somebody began to send stored events again. It stands in the trail of the key that asked, and is recorded before the first of them is sent.',
    data: z.object({ replay: EventReplay }),
  },
} as const satisfies Record<string, { description: string; data: z.ZodObject }>;

export type EventType = keyof typeof eventTypes;
export const EventType = z
  .enum(Object.keys(eventTypes) as [EventType, ...EventType[]])
  .meta({ id: 'EventType' });

export const Change = z
  .object({
    field: z.string(),
    from: z.unknown().meta({ description: 'Its value before; null: none.' }),
    to: z.unknown().meta({ description: 'Its value now; null: none.' }),
  })
  .meta({ id: 'Change' });
export type Change = z.infer<typeof Change>;

/** One entry of the trail, as it is stored, published and delivered. */
export const Event = z
  .object({
    id: EventId,
    type: EventType,
    occurred_at: Instant,
    owner_id: z.string().meta({ description: 'Whose key, endpoint or API it is about.' }),
    api_key_id: KeyId.nullable().meta({
      description: 'The key it is about, or that asked for a replay; null: it is about no key.',
    }),
    webhook_endpoint_id: z.string().nullable().meta({ description: 'The webhook endpoint it is about.' }),
    api_id: z.string().nullable().default(null).meta({ description: 'The API it is about.' }),
    actor: z.string().meta({
      description: 'Who did it: the id of the calling key, or `system:` and the name of the function.',
    }),
    request_id: z.string().nullable().meta({ description: 'Finds the request in the logs.' }),
    source_ip: z.string().nullable(),
    user_agent: z.string().nullable().meta({ description: 'As the client says, its first 256 characters.' }),
    reason: z.string().nullable(),
    changes: z
      .array(Change)
      .meta({ description: 'Each field that changed; empty where nothing was there before.' }),
    data: z
      .record(z.string(), z.unknown())
      .meta({ description: 'What it is about, as it was right afterwards.' }),
  })
  .meta({ id: 'Event' });
export type Event = z.infer<typeof Event>;

/** The whole event of one type. */
export const eventSchemaOf = (type: EventType) =>
  Event.extend({ type: z.literal(type), data: eventTypes[type].data });
