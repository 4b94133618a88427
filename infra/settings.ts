import type { Node } from 'constructs';
import { z } from 'zod';
import { GrantedScope } from '../lib/api-key.schema.ts';
import { OwnerId } from '../lib/key-fields.schema.ts';

/** CDK context under which the properties of the product's stack are given: `-c rekey:mode=development`. */
const NAMESPACE = 'rekey:';

/** A hundred years, as lib/environment.ts allows. */
const MOST_DAYS = 36_500;

/** On the command line every value is text; in cdk.json it may be a number or a boolean. */
const days = z.preprocess(
  (value) => (typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value),
  z
    .int(`must be a whole number of days from 1 to ${MOST_DAYS}`)
    .min(1, `must be a whole number of days from 1 to ${MOST_DAYS}`)
    .max(MOST_DAYS, `must be a whole number of days from 1 to ${MOST_DAYS}`),
);
/** `30,14,3` on the command line, a list in cdk.json. */
const NOTIFY_FORM = 'must be one to five different whole numbers of days from 1 to 365';
const notifyDays = z.preprocess(
  (value) =>
    typeof value === 'string' && /^\d{1,3}(?:,\d{1,3})*$/.test(value) ? value.split(',').map(Number) : value,
  z
    .array(z.number(), NOTIFY_FORM)
    .refine(
      (days) =>
        days.length >= 1 &&
        days.length <= 5 &&
        new Set(days).size === days.length &&
        days.every((day) => Number.isInteger(day) && day >= 1 && day <= 365),
      NOTIFY_FORM,
    ),
);
const INTERVAL_FORM = 'must be a whole number of minutes from 1 to 1440';
const interval = z.preprocess(
  (value) => (typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : value),
  z.int(INTERVAL_FORM).min(1, INTERVAL_FORM).max(1440, INTERVAL_FORM),
);
const GITHUB_KEYS_FORM = 'must be an https URL';
const VALID_KEYS_FORM = 'must be a whole number from 2 to 10';
const mostValidKeys = z.preprocess(
  (value) => (typeof value === 'string' && /^\d{1,2}$/.test(value) ? Number(value) : value),
  z.int(VALID_KEYS_FORM).min(2, VALID_KEYS_FORM).max(10, VALID_KEYS_FORM),
);
const LATE_USE_FORM = 'must be a whole number of minutes from 0 to 10080';
const lateUse = z.preprocess(
  (value) => (typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value),
  z.int(LATE_USE_FORM).min(0, LATE_USE_FORM).max(10_080, LATE_USE_FORM),
);
const flag = z.preprocess(
  (value) => (value === 'true' ? true : value === 'false' ? false : value),
  z.boolean('must be true or false'),
);

const rate = z.preprocess(
  (value) => (typeof value === 'string' && /^\d(?:\.\d{1,6})?$/.test(value) ? Number(value) : value),
  z
    .number('must be a number from 0 to 1')
    .min(0, 'must be a number from 0 to 1')
    .max(1, 'must be a number from 0 to 1')
    .multipleOf(0.000001, 'must have at most 6 decimals'),
);
/** A list is text with commas on the command line, and may be a list in cdk.json. */
const listOf = (pattern: RegExp, sentence: string) =>
  z.preprocess(
    (value) =>
      typeof value === 'string'
        ? value
            .split(',')
            .map((entry) => entry.trim())
            .filter((entry) => entry !== '')
        : value,
    z
      .array(z.string(sentence).regex(pattern, sentence), sentence)
      .transform((values) => [...new Set(values)]),
  );

const NOT_A_RULE = 'must be an object from owners to lists of scopes, like {"team-orders":["orders:*"]}';
/** As text on the command line, or an object in cdk.json. */
const deployableKeys = z
  .preprocess(
    (value) => {
      if (typeof value !== 'string') return value;
      try {
        return JSON.parse(value);
      } catch {
        return value;
      }
    },
    z.record(OwnerId, z.array(GrantedScope, NOT_A_RULE).min(1, NOT_A_RULE), NOT_A_RULE),
  )
  // Lambda takes 4 KB of variables in all.
  .refine((rules) => JSON.stringify(rules).length <= 3_000, 'must have at most 3000 characters')
  .default({});

/** docs/deploying.md says what each one is for. */
export const RekeySettings = z
  .strictObject(
    {
      mode: z.enum(['production', 'development'], 'must be production or development').default('production'),
      keyPrefix: z
        .string('must be 2 to 12 lower-case letters')
        .regex(/^[a-z]{2,12}$/, 'must be 2 to 12 lower-case letters')
        .default('rk'),
      defaultLifetimeDays: days.default(90),
      maxLifetimeDays: days.default(365),
      allowNeverExpiring: flag.default(false),
      retentionDays: days.default(90),
      graceStarts: z.enum(['now', 'first_use'], 'must be now or first_use').default('now'),
      rotateEveryDays: days.optional(),
      maxAgeDays: days.optional(),
      pendingDays: days.default(7),
      mostValidKeys: mostValidKeys.default(2),
      eventRetentionDays: days.default(400),
      notifyDaysBefore: notifyDays.default([14]),
      sweepIntervalMinutes: interval.default(60),
      lateUseMinutes: lateUse.default(60),
      leakedKeys: z.enum(['revoke', 'report'], 'must be revoke or report').default('revoke'),
      githubKeysUrl: z
        .string(GITHUB_KEYS_FORM)
        .regex(
          /^(?:https:\/\/[\x21-\x7e]{3,500}|http:\/\/127\.0\.0\.1:\d{1,5}\/[\x21-\x7e]{0,500})$/,
          GITHUB_KEYS_FORM,
        )
        .default('https://api.github.com/meta/public_keys/secret_scanning'),
      logSampleRate: rate.default(0.1),
      alarmTopicArn: z
        .string('must be the ARN of an SNS topic')
        .regex(
          /^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]{1,256}$/,
          'must be the ARN of an SNS topic',
        )
        .optional(),
      eventBusAccountIds: listOf(/^\d{12}$/, 'must be account ids of 12 digits').default([]),
      eventBusOrganizationIds: listOf(
        /^o-[a-z0-9]{10,32}$/,
        'must be ids of organizations, like o-a1b2c3d4e5',
      ).default([]),
      manageApiGatewayAccount: flag.default(false),
      deployableKeys,
      consumerAccounts: listOf(/^\d{12}$/, 'must be account ids of 12 digits').default([]),
      canary: flag.default(true),
      allowLoopbackHttpWebhooks: flag.default(false),
    },
    { error: (issue) => (issue.code === 'unrecognized_keys' ? 'is not a property of Rekey' : undefined) },
  )
  .refine(({ defaultLifetimeDays, maxLifetimeDays }) => defaultLifetimeDays <= maxLifetimeDays, {
    path: ['defaultLifetimeDays'],
    message: 'must not be above maxLifetimeDays',
  })
  .refine(({ mode, githubKeysUrl }) => mode === 'development' || githubKeysUrl.startsWith('https:'), {
    path: ['githubKeysUrl'],
    message: GITHUB_KEYS_FORM,
  })
  .refine(({ mode, allowLoopbackHttpWebhooks }) => mode === 'development' || !allowLoopbackHttpWebhooks, {
    path: ['allowLoopbackHttpWebhooks'],
    message: 'must not be true in production',
  });
export type RekeySettings = z.infer<typeof RekeySettings>;

/**
 * The properties of the product's stack, from the CDK context.
 *
 * @throws Error that names every property that is wrong, and says what it must be
 */
export function readSettings(node: Node): RekeySettings {
  const given = Object.entries(node.getAllContext() as Record<string, unknown>)
    .filter(([name]) => name.startsWith(NAMESPACE))
    .map(([name, value]) => [name.slice(NAMESPACE.length), value]);
  const result = RekeySettings.safeParse(Object.fromEntries(given));
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) =>
    (issue.code === 'unrecognized_keys' ? issue.keys : [issue.path.join('.')]).map(
      (name) => `${NAMESPACE}${name} ${issue.message}`,
    ),
  );
  throw new Error(`The stack's properties are not valid: ${problems.join('; ')}. See docs/deploying.md.`);
}
