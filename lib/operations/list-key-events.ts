import { z } from 'zod';
import { maySee } from '../caller.ts';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import * as eventTable from '../event-table.ts';
import { getKey } from '../key-table.ts';
import { NotFound } from '../problem.ts';
import { EventPage } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleEvents } from './example-event.ts';
import { Cursor, Limit } from './page-query.schema.ts';

export const listKeyEvents = defineOperation({
  name: 'list-key-events',
  method: 'GET',
  path: '/api-keys/{id}/events',
  scope: 'api-keys:read',
  summary: "List a key's events",
  description:
    'All that happened to the key, newest first, also after the key itself has been tidied away. A page may be shorter than its limit: go on until `next_cursor` is null.',
  query: z.strictObject({ limit: Limit, cursor: Cursor.optional() }),
  answer: { status: 200, description: 'A page of events.', schema: EventPage },
  problems: ['invalid_cursor', 'not_found'],
  examples: {
    answer: {
      data: [exampleEvents['api_key.revoked'], exampleEvents['api_key.created']],
      next_cursor: null,
    },
  },
  async run({ caller, id, query: { limit, cursor } }) {
    const bound = { operation: 'list-key-events', caller_key_id: caller.key_id, query: { id, limit } };
    const secret = await cursorSecret();
    const after = cursor === undefined ? undefined : String(readCursor(cursor, bound, secret));
    const [key, { events, last }] = await Promise.all([
      getKey(id),
      eventTable.listEvents({ of: { subject_id: id }, limit, after }),
    ]);
    // The trail outlives the key, and each of its events says whose it is.
    const owned = key ?? events[0];
    if (!owned || !maySee(caller, owned)) throw new NotFound();
    return { data: events, next_cursor: last === undefined ? null : signCursor(last, bound, secret) };
  },
});
