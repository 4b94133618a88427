import { z } from 'zod';
import { readApis } from '../api-table.ts';
import { type CatalogEntry, catalogOf } from '../catalog.ts';
import { Unavailable } from '../problem.ts';
import { countHolders } from '../scope-holders.ts';
import { environmentTable } from '../table-client.ts';
import { defineOperation } from './definition.ts';
import { exampleApi } from './example-api.ts';
import { pageOfAll } from './page-of-all.ts';
import { Cursor, Limit } from './page-query.schema.ts';
import { NextCursor } from './webhook-answers.schema.ts';

const Scope = z
  .object({
    scope: z.string(),
    description: z.string().nullable(),
    apis: z
      .array(
        z.object({
          id: z.string(),
          owner_id: z.string(),
          routes: z.array(z.string()).meta({ description: 'Empty where the API only describes the scope.' }),
        }),
      )
      .meta({ description: 'The APIs that know it, and their routes that need it.' }),
    active_keys: z
      .int()
      .optional()
      .meta({ description: 'With include=keys: valid keys of all owners that hold it by its name.' }),
    active_keys_by_wildcard: z
      .int()
      .optional()
      .meta({ description: 'With include=keys: valid keys that hold it by a wildcard only.' }),
  })
  .meta({ id: 'Scope' });

const ScopePage = z.object({ data: z.array(Scope), next_cursor: NextCursor }).meta({ id: 'ScopePage' });

export const listScopes = defineOperation({
  name: 'list-scopes',
  method: 'GET',
  path: '/scopes',
  scope: 'scopes:read',
  summary: 'List all known scopes',
  description:
    'Every scope that some API needs or describes, those of this API included, in the order of their names. Only these can be given to keys. With `include=keys` all keys are looked at: up to about a million; with more, 503.',
  query: z.strictObject({
    include: z.enum(['keys']).optional().meta({ description: 'Count the active keys that hold each scope.' }),
    limit: Limit,
    cursor: Cursor.optional(),
  }),
  answer: { status: 200, description: 'A page of scopes.', schema: ScopePage },
  problems: ['invalid_cursor'],
  examples: {
    query: { include: 'keys', limit: '20' },
    answer: {
      data: [
        {
          scope: 'things:read',
          description: 'Read things',
          apis: [{ id: exampleApi.id, owner_id: exampleApi.owner_id, routes: ['GET /things'] }],
          active_keys: 3,
          active_keys_by_wildcard: 1,
        },
      ],
      next_cursor: null,
    },
  },
  async run({ caller, query: { include, limit, cursor }, now }) {
    const bound = {
      operation: 'list-scopes',
      caller_key_id: caller.key_id,
      query: { include: include ?? null, limit },
    };
    const byName = {
      read: async () => catalogOf(await readApis()),
      positionOf: ({ scope }: CatalogEntry) => scope,
      isAfter: (scope: string, after: string) => scope > after,
    };
    const { data, next_cursor } = await pageOfAll(byName, { limit, cursor }, bound);
    if (include === undefined) return { data, next_cursor };

    const { holders, complete } = await countHolders(
      data.map(({ scope }) => scope),
      now,
      environmentTable(),
    );
    if (!complete) throw new Unavailable(60);
    return { data: data.map((entry, index) => ({ ...entry, ...holders[index] })), next_cursor };
  },
});
