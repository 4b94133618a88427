import { z } from 'zod';
import { readCursor, signCursor } from '../cursor.ts';
import { cursorSecret } from '../cursor-secret.ts';
import { EventType } from '../event.schema.ts';
import { replayEvent } from '../event.ts';
import * as eventReplay from '../event-replay.ts';
import { recordEvent } from '../event-table.ts';
import { OwnerId, SentInstant } from '../key-fields.schema.ts';
import { EnvironmentForbidden, OwnerForbidden } from '../problem.ts';
import { defineOperation } from './definition.ts';
import { Cursor } from './page-query.schema.ts';

const MS_PER_DAY = 86_400_000;
const MOST_DAYS = 31;

const ReplayEvents = z
  .strictObject({
    from: SentInstant.meta({ description: 'Events from this time on.' }),
    to: SentInstant.meta({ description: `Events before this time, at most ${MOST_DAYS} days after from.` }),
    types: z
      .array(EventType, 'must be a list of types')
      .min(1, 'must have at least 1 type')
      .max(EventType.options.length, 'must have each type once')
      .optional()
      .meta({ description: 'Only events of these types.', example: ['api_key.revoked'] }),
    owner_id: OwnerId.optional().meta({ description: 'Only events of this owner. By default of all.' }),
    cursor: Cursor.optional(),
  })
  .refine(({ from, to }) => from < to, { path: ['to'], message: 'must be after from' })
  .refine(({ from, to }) => Date.parse(to) - Date.parse(from) <= MOST_DAYS * MS_PER_DAY, {
    path: ['to'],
    message: `must be at most ${MOST_DAYS} days after from`,
  })
  .meta({ id: 'ReplayEvents' });

const Replayed = z
  .object({
    replayed: z.int().min(0).meta({ description: 'Events that were put on the bus by this call.' }),
    not_replayed: z.array(z.object({ id: z.string(), error: z.string() })).meta({
      description: 'Events that cannot be put on the bus, and why.',
    }),
    next_cursor: z
      .string()
      .nullable()
      .meta({ description: 'Send the same request with it as `cursor` to go on; null: that was all.' }),
  })
  .meta({ id: 'Replayed' });

export const replayEvents = defineOperation({
  name: 'replay-events',
  method: 'POST',
  path: '/events/replay',
  scope: 'events:replay',
  summary: 'Send events again',
  description:
    'Puts stored events on the bus again, oldest first, each as it was recorded and with its old id, so whoever takes each id once takes none twice. That it was asked for is an event itself, `events.replayed`. A call sends a part: go on until `next_cursor` is null. Only for live keys whose owner_access is `any`.',
  body: ReplayEvents,
  answer: { status: 200, description: 'How far it came.', schema: Replayed },
  problems: ['invalid_cursor', 'owner_forbidden', 'environment_forbidden'],
  examples: {
    body: {
      from: '2026-12-01T00:00:00Z',
      to: '2026-12-02T00:00:00Z',
      types: ['api_key.expiring', 'api_key.expired'],
    },
    answer: { replayed: 42, not_replayed: [], next_cursor: null },
  },
  async run({ caller, body: { cursor, ...body }, origin }) {
    if (caller.owner_access !== 'any')
      throw new OwnerForbidden('A replay is for all who listen. Call with a key whose owner_access is any.');
    if (caller.environment !== 'live')
      throw new EnvironmentForbidden('A replay is for all who listen. Call with a live key.');

    const { from, to, types, owner_id } = body;
    const bound = { operation: 'replay-events', caller_key_id: caller.key_id, query: body };
    const secret = await cursorSecret();
    // A cursor is signed, so whoever goes on with one has begun, and that is in the trail.
    if (cursor === undefined)
      await recordEvent(
        replayEvent(caller, { from, to, types: types ?? null, owner_id: owner_id ?? null }, origin),
      );
    const { last, ...done } = await eventReplay.replayEvents({
      from: Math.max(Date.parse(from), 0),
      to: Math.max(Date.parse(to), 0),
      filter: (event) =>
        (types === undefined || types.includes(event.type)) &&
        (owner_id === undefined || event.owner_id === owner_id),
      after: cursor === undefined ? undefined : String(readCursor(cursor, bound, secret)),
    });
    return { ...done, next_cursor: last === undefined ? null : signCursor(last, bound, secret) };
  },
});
