import { z } from 'zod';
import { maySee } from '../caller.ts';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import { EventType } from '../event.schema.ts';
import * as eventTable from '../event-table.ts';
import { OwnerId, SentInstant } from '../key-fields.schema.ts';
import { OwnerForbidden } from '../problem.ts';
import { EventPage } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleEvents } from './example-event.ts';
import { Cursor, Limit } from './page-query.schema.ts';

const ListEvents = z
  .strictObject({
    owner_id: OwnerId.optional().meta({
      description: "Whose events. By default the calling key's owner; another one needs owner_access `any`.",
    }),
    type: EventType.optional().meta({ description: 'Only events of this type.' }),
    actor: z
      .string()
      .regex(
        /^(?:key_[0-9A-Za-z]{22}|system:[a-z][a-z-]{0,62}|anonymous)$/,
        'must be the id of a key, or system: and the name of a function',
      )
      .optional()
      .meta({ description: 'Only what this key or function did.', example: 'system:sweep-keys' }),
    from: SentInstant.optional().meta({ description: 'Only events from this time on.' }),
    to: SentInstant.optional().meta({ description: 'Only events before this time.' }),
    limit: Limit,
    cursor: Cursor.optional(),
  })
  .refine(({ from, to }) => from === undefined || to === undefined || from < to, {
    path: ['to'],
    message: 'must be after from',
  });

export const listEvents = defineOperation({
  name: 'list-events',
  method: 'GET',
  path: '/events',
  scope: 'api-keys:read',
  summary: "List an owner's events",
  description:
    'Newest first; what was recorded a moment ago may still be missing. A filtered page is filled up to its limit within a bounded read, so a page may be shorter, even empty, and still have a next one: go on until `next_cursor` is null.',
  query: ListEvents,
  answer: { status: 200, description: 'A page of events.', schema: EventPage },
  problems: ['invalid_cursor', 'owner_forbidden'],
  examples: {
    query: { type: 'api_key.revoked', from: '2026-12-01T00:00:00Z', limit: '20' },
    answer: { data: [exampleEvents['api_key.revoked']], next_cursor: null },
  },
  async run({ caller, query: { cursor, ...query } }) {
    const { type, actor, from, to, limit } = query;
    const owner_id = query.owner_id ?? caller.owner_id;
    if (!maySee(caller, { owner_id })) throw new OwnerForbidden();

    const bound = { operation: 'list-events', caller_key_id: caller.key_id, query: { ...query, owner_id } };
    const secret = await cursorSecret();
    const after = cursor === undefined ? undefined : String(readCursor(cursor, bound, secret));
    const { events, last } = await eventTable.listEvents({
      of: { owner_id },
      from: from === undefined ? undefined : Date.parse(from),
      to: to === undefined ? undefined : Date.parse(to),
      filter:
        type === undefined && actor === undefined
          ? undefined
          : (event) =>
              (type === undefined || event.type === type) && (actor === undefined || event.actor === actor),
      limit,
      after,
    });
    return { data: events, next_cursor: last === undefined ? null : signCursor(last, bound, secret) };
  },
});
