import { z } from 'zod';

/** One part of a scope: `orders` or `write` in `orders:write`. */
const SCOPE_PART = '[a-z0-9][a-z0-9._-]{0,62}';

/** What a route or a handler asks for: two concrete parts, never a wildcard. */
export const RequiredScope = z
  .string()
  .regex(new RegExp(`^${SCOPE_PART}:${SCOPE_PART}$`), 'must look like orders:write, without a wildcard');

/** What a key holds: either part may be `*` as a whole. */
export const GrantedScope = z
  .string()
  .regex(
    new RegExp(`^(?:\\*|${SCOPE_PART}):(?:\\*|${SCOPE_PART})$`),
    'must look like orders:write, orders:*, *:read or *:*',
  );

/** An instant, ISO 8601 in UTC with milliseconds. Fixed width, so text order is time order. */
export const Instant = z.iso.datetime({ precision: 3 }).describe('ISO 8601, UTC, milliseconds');

export const KeyId = z
  .string()
  .regex(/^key_[0-9A-Za-z]{22}$/, 'must look like key_ and 22 letters or digits');

export const Environment = z.enum(['live', 'test']);
export const OwnerAccess = z.enum(['own', 'any']);
export const KeyStatus = z.enum(['active', 'pending', 'rotated', 'expired', 'revoked']);
/**
 * Name or ARN of a secret in AWS Secrets Manager:
 * https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
 */
const SecretId = z
  .string('must be a string')
  .regex(
    /^(?:arn:aws[a-z-]{0,10}:secretsmanager:[a-z0-9-]{5,40}:\d{12}:secret:)?[A-Za-z0-9/_+=.@-]{1,519}$/,
    'must be the name or the ARN of a secret in AWS Secrets Manager',
  );
/** The least grace with delivery: Secrets Manager may try for hours until the new key is the current one. */
const LEAST_DELIVERY_GRACE_HOURS = 12;

/** How often a key is to be rotated, and who gets the successor; without `deliver` it is for the holder to ask for. */
export const RotationPlan = z
  .strictObject({
    every_days: z
      .int('must be a whole number of days')
      .min(1, 'must be at least 1 day')
      .max(36_500, 'must be at most 36500 days'),
    grace_period_hours: z
      .int('must be a whole number of hours')
      .min(0, 'must be at least 0 hours')
      .max(720, 'must be at most 720 hours')
      .optional(),
    deliver: z.strictObject({ secrets_manager: z.strictObject({ secret_id: SecretId }) }).optional(),
  })
  .refine(
    ({ deliver, grace_period_hours: grace }) =>
      deliver === undefined || grace === undefined || grace >= LEAST_DELIVERY_GRACE_HOURS,
    {
      path: ['grace_period_hours'],
      message: `must be at least ${LEAST_DELIVERY_GRACE_HOURS} hours together with deliver`,
    },
  );
/** When the grace of a rotated key begins: at its rotation, or with the first use of its successor. */
export const GraceStarts = z.enum(['now', 'first_use']);
/** What a use of the key is taken for once it has a successor and its grace is over. */
export const OnReuse = z.enum(['tell', 'revoke_family']);

/**
 * The key item as it lies in the table (`pk` = `id`, `sk` = `api_key`). The same names are used on the wire
 * and in events. Status is not stored: see `statusOf` in api-key.ts.
 */
export const ApiKeyRecord = z.object({
  id: KeyId,
  owner_id: z.string(),
  owner_access: OwnerAccess,
  name: z.string(),
  environment: Environment,
  scopes: z.array(GrantedScope).min(1).max(100),
  /** Last four characters of the secret part, to recognise a key by. */
  hint: z.string().length(4),
  created_at: Instant,
  created_by: z.string().describe('the id of the key that made it, or system:<function>'),
  expires_at: Instant.nullable().describe('null: never, where the stack allows it'),
  rotated_at: Instant.nullable(),
  revoked_at: Instant.nullable(),
  revoked_reason: z.string().nullable(),
  first_used_at: Instant.nullable(),
  last_used_at: Instant.nullable()
    .default(null)
    .describe('noted once an hour at most; null: not since this is noted'),
  last_used_ip: z.string().nullable().default(null).describe('null also where only a service asked about it'),
  last_used_route: z.string().nullable().default(null).describe("the API's id, method and route"),
  parent_key_id: KeyId.nullable(),
  successor_key_id: KeyId.nullable(),
  root_key_id: KeyId,
  generation: z.int().min(0),
  metadata: z.record(z.string(), z.string()),
  notify_days_before: z
    .array(z.int())
    .nullable()
    .describe('days before its end at which api_key.expiring is sent; null: those of the stack'),
  grace_starts: GraceStarts.nullable()
    .default(null)
    .describe(
      'when the grace begins if this key is rotated and the request says nothing; null: as the stack says',
    ),
  pending_until: Instant.nullable()
    .default(null)
    .describe(
      'when a successor that nobody has used is dropped; null: it is in use, or its parent ends by itself',
    ),
  rotation: RotationPlan.nullable()
    .default(null)
    .describe(
      'how often the key is to be rotated, with which grace, and where its successor is delivered; null: whenever somebody wants',
    ),
  rotation_due_at: Instant.nullable()
    .default(null)
    .describe(
      'when the key is to be rotated: it is then delivered, or api_key.rotation_due is sent; null: never',
    ),
  /** How many steps of its rotation were done: a delivery was asked for, reminders were sent. */
  rotation_told: z.int().min(0).optional(),
  /** When it was last counted among the keys that are older than the stack allows. */
  overdue_counted_at: Instant.optional(),
  /** The grace that the first use of a pending successor gives its parent. */
  pending_grace_hours: z.int().min(0).optional(),
  on_reuse: OnReuse.default('tell').describe(
    'what its use after it was superseded and its grace has ended does, beside api_key.reuse_detected',
  ),
  replaces_key_id: KeyId.nullable()
    .default(null)
    .describe('the compromised key that it was made for; it is of no line with that'),
  /** A trap: it opens nothing, and its use is told. Only its owner sees that it is one. */
  honey: z.boolean().default(false),
  /** When its misuse was last told: what is told is bounded by it. */
  told_at: Instant.optional(),
  /** When somebody last reported it as leaked, and that was told. */
  leaked_at: Instant.optional(),
  /** When the last action of the sweep on this key was due: what is later is still to be done (schedule.ts). */
  swept_until: Instant.nullable(),
  /** Partition and sort key of the index by_due; absent when nothing is ahead. */
  due_shard: z.string().optional(),
  next_action_at: Instant.optional(),
  /** What a rotation changed and a cancellation puts back; absent when the key is not rotated. */
  before_rotation: z.object({ expires_at: Instant.nullable() }).optional(),
  /** The generation of the next successor, where one was dropped: no two keys of a line have the same. */
  next_generation: z.int().optional(),
  /** SHA-256 of the whole key text, 64 hex digits. Never leaves the table. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  /** Grows with every decided write, which is conditional on the version it was decided from (version.ts). */
  version: z.int().min(1),
  /** Epoch seconds after which DynamoDB may tidy the item away; absent for a key that never ends. */
  ttl: z.int().optional(),
});
export type ApiKeyRecord = z.infer<typeof ApiKeyRecord>;

/** A key without what only deciding and writing need: this much may leave the table. */
export const ListedKey = ApiKeyRecord.omit({
  digest: true,
  version: true,
  ttl: true,
  swept_until: true,
  due_shard: true,
  next_action_at: true,
  before_rotation: true,
  pending_grace_hours: true,
  rotation_told: true,
  overdue_counted_at: true,
  next_generation: true,
  told_at: true,
  leaked_at: true,
});
export type ListedKey = z.infer<typeof ListedKey>;
/** What everybody who may see a key sees of it. */
export type TellableKey = Omit<ListedKey, 'honey'>;

/** What callers see, with the status derived. */
export const ApiKey = ListedKey.extend({
  status: KeyStatus,
  honey: z
    .literal(true)
    .optional()
    .meta({ description: 'The key is a trap. Only its own owner is told; to everybody else it looks real.' }),
}).meta({ id: 'ApiKey' });
export type ApiKey = z.infer<typeof ApiKey>;

export type Environment = z.infer<typeof Environment>;
export type OwnerAccess = z.infer<typeof OwnerAccess>;
export type RotationPlan = z.infer<typeof RotationPlan>;
export type GraceStarts = z.infer<typeof GraceStarts>;
export type OnReuse = z.infer<typeof OnReuse>;
export type KeyStatus = z.infer<typeof KeyStatus>;
