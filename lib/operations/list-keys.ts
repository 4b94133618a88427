import { z } from 'zod';
import { Environment, GrantedScope, KeyStatus } from '../api-key.schema.ts';
import { statusOf } from '../api-key.ts';
import { maySee, shownTo } from '../caller.ts';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import { maxAgeDays } from '../environment.ts';
import { OwnerId } from '../key-fields.schema.ts';
import * as keyTable from '../key-table.ts';
import { isUnusedFor } from '../last-use.ts';
import { OwnerForbidden } from '../problem.ts';
import { isOverdue } from '../rotation-due.ts';
import { covers } from '../scope.ts';
import { KeyPage } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleKey } from './example-key.ts';
import { Cursor, Limit } from './page-query.schema.ts';

const UnusedForDays = z
  .string()
  .regex(/^[1-9]\d{0,3}$/, 'must be a whole number of days from 1 to 9999')
  .transform(Number)
  .meta({
    description:
      'Only keys that nobody has used for so many days: since their last use or, unused, since they were made.',
    override: ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => {
      for (const name of Object.keys(jsonSchema)) if (name !== 'description') delete jsonSchema[name];
      Object.assign(jsonSchema, { type: 'integer', minimum: 1, maximum: 9999 });
    },
  });

const ListKeys = z.strictObject({
  owner_id: OwnerId.optional().meta({
    description: "Whose keys. By default the calling key's owner; another one needs owner_access `any`.",
  }),
  status: KeyStatus.optional().meta({ description: 'Only keys that have this status now.' }),
  scope: GrantedScope.optional().meta({
    description:
      'Only keys that may do this: `orders:write` finds keys that hold `orders:write`, `orders:*`, `*:write` or `*:*`.',
  }),
  overdue: z.literal('true', 'must be true').optional().meta({
    description:
      'Only keys that work, have not been rotated, and are older than their `rotation` or the stack allows.',
  }),
  environment: Environment.optional().meta({ description: 'Only keys of this environment.' }),
  unused_for_days: UnusedForDays.optional(),
  limit: Limit,
  cursor: Cursor.optional(),
});

export const listKeys = defineOperation({
  name: 'list-keys',
  method: 'GET',
  path: '/api-keys',
  scope: 'api-keys:read',
  summary: "List an owner's keys",
  description:
    'Newest first. A filtered page is filled up to its limit within a bounded read, so a page may be shorter, even empty, and still have a next one: go on until `next_cursor` is null.',
  query: ListKeys,
  answer: { status: 200, description: 'A page of keys.', schema: KeyPage },
  problems: ['invalid_cursor', 'owner_forbidden'],
  examples: {
    query: { status: 'active', scope: 'orders:write', limit: '20' },
    answer: { data: [exampleKey], next_cursor: null },
  },
  async run({ caller, query: { cursor, ...query }, now }) {
    const { overdue, status, scope, environment, unused_for_days, limit } = query;
    const owner_id = query.owner_id ?? caller.owner_id;
    if (!maySee(caller, { owner_id })) throw new OwnerForbidden();

    const bound = {
      operation: 'list-keys',
      caller_key_id: caller.key_id,
      query: { ...query, owner_id },
    };
    const secret = await cursorSecret();
    const after = cursor === undefined ? undefined : String(readCursor(cursor, bound, secret));
    const { keys, last } = await keyTable.listByOwner({
      owner_id,
      limit,
      after,
      filter: (key) =>
        (status === undefined || statusOf(key, now) === status) &&
        (overdue === undefined || isOverdue(key, maxAgeDays(), now)) &&
        (environment === undefined || key.environment === environment) &&
        (unused_for_days === undefined || isUnusedFor(key, unused_for_days, now)) &&
        (scope === undefined || key.scopes.some((grant) => covers(grant, scope))),
    });
    return {
      data: keys.map((key) => shownTo(caller, key, now)),
      next_cursor: last === undefined ? null : signCursor(last, bound, secret),
    };
  },
});
