import { z } from 'zod';
import { Instant } from './api-key.schema.ts';

/** https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html: "The maximum value is 3600". */
export const LONGEST_CACHE_SECONDS = 3_600;

/** A role by whose name ours may assume it: infra/flush.ts allows no other. */
export const FLUSH_ROLE_PREFIX = 'rekey-flush-';

const KINDS = ['rest', 'http', 'websocket'] as const;

/** What somebody registers of a stage of an API: where it is, and whether API Gateway keeps answers of its authorizer. */
export const StageDeclaration = z
  .strictObject({
    api_id: z.string().regex(/^[a-z0-9]{1,32}$/, 'must have 1 to 32 lower-case letters and digits'),
    stage: z.string().regex(/^(?:\$default|[A-Za-z0-9_-]{1,128})$/, 'must be the name of a stage'),
    kind: z.enum(KINDS, `must be one of ${KINDS.join(', ')}`),
    account: z.string().regex(/^\d{12}$/, 'must be 12 digits'),
    region: z.string().regex(/^[a-z]{2}(?:-[a-z0-9]{1,20}){1,4}$/, 'must be the name of a Region'),
    /** 0: nothing is kept. */
    cache_ttl_seconds: z.int().min(0).max(LONGEST_CACHE_SECONDS, `must be at most ${LONGEST_CACHE_SECONDS}`),
    /** Of another account: the role by which its cache may be flushed. */
    role_arn: z
      .string()
      .regex(
        new RegExp(`^arn:aws[a-z-]*:iam::\\d{12}:role/${FLUSH_ROLE_PREFIX}[\\w+=,.@-]{1,50}$`),
        `must be the ARN of a role whose name begins with ${FLUSH_ROLE_PREFIX}`,
      )
      .nullable()
      .default(null),
  })
  .refine(({ kind, cache_ttl_seconds }) => kind !== 'websocket' || cache_ttl_seconds === 0, {
    path: ['cache_ttl_seconds'],
    message: 'must be 0: WebSocket APIs keep nothing',
  })
  .refine(({ role_arn, account }) => role_arn === null || role_arn.split(':')[4] === account, {
    path: ['role_arn'],
    message: 'must be a role of the account that has the API',
  });
export type StageDeclaration = z.infer<typeof StageDeclaration>;

/** A stage as it is stored, once for each registration that names it. */
export const StageRecord = z.object({
  ...StageDeclaration.shape,
  /** Until when an answer may lie in a cache that was turned off; null: it never had one, or has it still. */
  cached_until: Instant.nullable(),
});
export type StageRecord = z.infer<typeof StageRecord>;

/** What became of the cache of one stage. */
export const StageCache = z
  .object({
    api_id: StageDeclaration.shape.api_id,
    stage: StageDeclaration.shape.stage,
    cache: z.enum(['flushed', 'pending', 'none']),
  })
  .meta({ id: 'StageCache' });
export type StageCache = z.infer<typeof StageCache>;
