import { z } from 'zod';
import { shownTo } from '../caller.ts';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import * as keyTable from '../key-table.ts';
import { KeyPage } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleRotatedKey, exampleSuccessor } from './example-key.ts';
import { Cursor, Limit } from './page-query.schema.ts';
import { visibleKey } from './visible-key.ts';

export const listLineage = defineOperation({
  name: 'list-lineage',
  method: 'GET',
  path: '/api-keys/{id}/lineage',
  scope: 'api-keys:read',
  summary: "List a key's lineage",
  description: 'The key, all it was rotated from and all it was rotated to; oldest first.',
  query: z.strictObject({ limit: Limit, cursor: Cursor.optional() }),
  answer: { status: 200, description: 'A page of the lineage.', schema: KeyPage },
  problems: ['invalid_cursor', 'not_found'],
  examples: { answer: { data: [exampleRotatedKey, exampleSuccessor], next_cursor: null } },
  async run({ caller, id, query: { limit, cursor }, now }) {
    const { root_key_id } = await visibleKey(caller, id);
    const bound = { operation: 'list-lineage', caller_key_id: caller.key_id, query: { id, limit } };
    const secret = await cursorSecret();
    const after = cursor === undefined ? undefined : Number(readCursor(cursor, bound, secret));
    const { keys, last } = await keyTable.lineage({ root_key_id, limit, after });
    return {
      data: keys.map((key) => shownTo(caller, key, now)),
      next_cursor: last === undefined ? null : signCursor(last, bound, secret),
    };
  },
});
