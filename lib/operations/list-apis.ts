import { z } from 'zod';
import { ApiSummary } from '../api.schema.ts';
import { readApis } from '../api-table.ts';
import { maySee } from '../caller.ts';
import { currentApis, summaryOf } from '../catalog.ts';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import { OwnerId } from '../key-fields.schema.ts';
import { OwnerForbidden } from '../problem.ts';
import { defineOperation } from './definition.ts';
import { exampleApi } from './example-api.ts';
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
    const secret = await cursorSecret();
    const after = cursor === undefined ? '' : String(readCursor(cursor, bound, secret));
    // There are so few that all are read, whatever the page.
    const rest = currentApis(await readApis())
      .filter((api) => maySee(caller, api) && (owner_id === undefined || api.owner_id === owner_id))
      .filter(({ id }) => id > after)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const page = rest.slice(0, limit);
    return {
      data: page.map(summaryOf),
      next_cursor: rest.length > limit ? signCursor(page.at(-1)!.id, bound, secret) : null,
    };
  },
});
