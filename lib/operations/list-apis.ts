import { z } from 'zod';
import { type Api, ApiSummary } from '../api.schema.ts';
import { readApis } from '../api-table.ts';
import { maySee } from '../caller.ts';
import { currentApis, summaryOf } from '../catalog.ts';
import { OwnerId } from '../key-fields.schema.ts';
import { OwnerForbidden } from '../problem.ts';
import { defineOperation } from './definition.ts';
import { exampleApi } from './example-api.ts';
import { pageOfAll } from './page-of-all.ts';
import { Cursor, Limit } from './page-query.schema.ts';
import { NextCursor } from './webhook-answers.schema.ts';

const ApiPage = z.object({ data: z.array(ApiSummary), next_cursor: NextCursor }).meta({ id: 'ApiPage' });

export const listApis = defineOperation({
  name: 'list-apis',
  method: 'GET',
  path: '/apis',
  scope: 'apis:read',
  summary: 'List registered APIs',
  description:
    "Those that the calling key may see, by id: its own owner's; with owner_access `any` those of all owners, and of stacks.",
  query: z.strictObject({
    owner_id: OwnerId.optional().meta({
      description: 'Only APIs of this owner. Another one needs owner_access `any`.',
    }),
    limit: Limit,
    cursor: Cursor.optional(),
  }),
  answer: { status: 200, description: 'A page of APIs, without their routes.', schema: ApiPage },
  problems: ['invalid_cursor', 'owner_forbidden'],
  examples: { query: { limit: '20' }, answer: { data: [summaryOf(exampleApi)], next_cursor: null } },
  async run({ caller, query: { limit, cursor, owner_id } }) {
    if (owner_id !== undefined && !maySee(caller, { owner_id })) throw new OwnerForbidden();
    const bound = {
      operation: 'list-apis',
      caller_key_id: caller.key_id,
      query: { owner_id: owner_id ?? null, limit },
    };
    const read = async () =>
      currentApis(await readApis())
        .filter((api) => maySee(caller, api) && (owner_id === undefined || api.owner_id === owner_id))
        .sort((a, b) => (a.id < b.id ? -1 : 1));
    const byId = {
      read,
      positionOf: ({ id }: Api) => id,
      isAfter: (id: string, after: string) => id > after,
    };
    const { data, next_cursor } = await pageOfAll(byId, { limit, cursor }, bound);
    return { data: data.map(summaryOf), next_cursor };
  },
});
