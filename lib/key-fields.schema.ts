import { z } from 'zod';
import { GraceStarts, GrantedScope, RotationPlan } from './api-key.schema.ts';

/**
 * What a caller may write into a key, with its limits. Every message is the rest of a sentence that begins
 * with the field, and none repeats the value: what was sent may be a secret in the wrong place.
 */

/**
 * Control characters, lone surrogates (no UTF-8 has them, so no table keeps them), line separators, and the
 * characters that turn the direction of the text around them and so show a name as another one.
 */
const NOT_PLAIN = '\\p{Cc}\\p{Cs}\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069';
const PLAIN_TEXT = new RegExp(`^[^${NOT_PLAIN}]*$`, 'u');
const PLAIN_TEXT_MESSAGE = 'must be plain text on one line, without control characters';

/** Of every text for people. */
export const PlainLine = { pattern: PLAIN_TEXT, message: PLAIN_TEXT_MESSAGE };

export const Name = z
  .string('must be a string')
  .min(1, 'must have at least 1 character')
  .max(100, 'must have at most 100 characters')
  .regex(PLAIN_TEXT, PLAIN_TEXT_MESSAGE)
  .regex(/[^\s\p{Cf}]/u, 'must not be blank')
  .meta({
    description: 'What people call the key: 1 to 100 characters of plain text.',
    example: 'Billing worker',
  });

/** Safe in a path, a query, a log line and a policy: letters, digits and `. _ : @ / + -`, no space. */
export const OwnerId = z
  .string('must be a string')
  .max(128, 'must have at most 128 characters')
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:@/+-]*$/,
    'must begin with a letter or a digit and have letters, digits and . _ : @ / + - only',
  )
  .meta({
    description:
      'Whom the key belongs to, as your system names them: 1 to 128 letters, digits and `. _ : @ / + -`.',
    example: 'team-billing',
  });

export const Scopes = z
  .array(GrantedScope, 'must be a list of scopes')
  .min(1, 'must have at least 1 scope')
  .max(100, 'must have at most 100 scopes')
  .meta({
    description:
      'What the key may do, `resource:action`; either part may be `*`. Stored sorted, each one once.',
    example: ['orders:read', 'orders:write'],
  });

const METADATA_ENTRIES = 50;
const METADATA_NAME = 40;
const METADATA_VALUE = 500;

export const Metadata = z
  .record(
    z
      .string()
      .min(1, 'must have names of at least 1 character')
      .max(METADATA_NAME, `must have names of at most ${METADATA_NAME} characters`)
      .regex(PLAIN_TEXT, 'must have names of plain text, without control characters'),
    z
      .string('must be a string')
      .max(METADATA_VALUE, `must have at most ${METADATA_VALUE} characters`)
      .regex(/^[^\p{Cs}\0]*$/u, 'must be text'),
    'must be an object of strings',
  )
  .refine((metadata) => Object.keys(metadata).length <= METADATA_ENTRIES, {
    message: `must have at most ${METADATA_ENTRIES} entries`,
  })
  .meta({
    description: `Your own notes on the key: at most ${METADATA_ENTRIES} entries, names of 1 to ${METADATA_NAME} characters, values of at most ${METADATA_VALUE}.`,
    example: { ticket: 'OPS-1042' },
    override: ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => {
      jsonSchema.maxProperties = METADATA_ENTRIES;
    },
  });

/** An instant as people send it: any precision, in UTC. It becomes milliseconds, the one form of the table. */
export const SentInstant = z.iso
  .datetime({ error: 'must be a time in UTC like 2027-01-31T12:00:00Z' })
  .transform((text) => new Date(text).toISOString())
  .meta({ example: '2027-01-31T12:00:00.000Z' });

export const ExpiresInDays = z
  .int('must be a whole number of days')
  .min(1, 'must be at least 1 day')
  .max(36_500, 'must be at most 36500 days')
  .meta({ description: 'Days from now until the key ends; the stack limits how many.', example: 30 });

export const GracePeriodHours = z
  .int('must be a whole number of hours')
  .min(0, 'must be at least 0 hours')
  .max(720, 'must be at most 720 hours')
  .meta({ description: 'Hours during which the old key still works. 0 ends it at once.', example: 48 });

export const GraceStart = GraceStarts.meta({
  description:
    'When the grace of the old key begins: `now`, or with the `first_use` of its successor. Until then the old key stays as it is, and the successor is `pending`.',
  example: 'first_use',
});

export const Rotation = RotationPlan.meta({
  description:
    'How often the key is to be rotated. `grace_period_hours` is that of a rotation that does not say. With `deliver` the system rotates it when it is due, in the secret that it names; the secret must hold this key then, and be rotated by `rotate-secret` (docs/secrets-manager.md). Without, `api_key.rotation_due` is sent, and whoever holds the key rotates it, as `rekey/client` does.',
  example: { every_days: 90, grace_period_hours: 48 },
});

const NOTIFY_MOST_DAYS = 365;
const NOTIFY_MOST_STEPS = 5;

export const NotifyDaysBefore = z
  .array(
    z
      .int('must be a whole number of days')
      .min(1, 'must be at least 1 day')
      .max(NOTIFY_MOST_DAYS, `must be at most ${NOTIFY_MOST_DAYS} days`),
    'must be a list of days',
  )
  .min(1, 'must have at least 1 day')
  .max(NOTIFY_MOST_STEPS, `must have at most ${NOTIFY_MOST_STEPS} days`)
  .refine((days) => new Set(days).size === days.length, 'must have each day once')
  .transform((days) => days.toSorted((a, b) => b - a))
  .meta({
    description:
      'Days before the end of the key at which `api_key.expiring` is sent, the farthest first. A key that lives shorter gets it at half of its life.',
    example: [30, 14, 3],
  });

export const Reason = z
  .string('must be a string')
  .min(1, 'must have at least 1 character')
  .max(200, 'must have at most 200 characters')
  .regex(PLAIN_TEXT, PLAIN_TEXT_MESSAGE)
  .meta({
    description: 'Why, for people: 1 to 200 characters of plain text.',
    example: 'Found in a public log',
  });
