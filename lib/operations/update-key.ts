import { z } from 'zod';
import { OnReuse } from '../api-key.schema.ts';
import { knownFor } from '../api-table.ts';
import { shownTo } from '../caller.ts';
import { demandKnown } from '../catalog.ts';
import { lifetimeSettings, retentionDays, scheduleSettings } from '../environment.ts';
import { changesBetween } from '../event.ts';
import { flushAtOnce } from '../flush.ts';
import { decideChange } from '../key-change.ts';
import {
  GraceStart,
  Metadata,
  Name,
  NotifyDaysBefore,
  Rotation,
  Scopes,
  SentInstant,
} from '../key-fields.schema.ts';
import * as keyTable from '../key-table.ts';
import { takesAccessAway } from '../lost-access.ts';
import { ChangedKey } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleKey } from './example-key.ts';
import { visibleKey } from './visible-key.ts';

const UpdateKey = z
  .strictObject({
    name: Name.optional(),
    metadata: Metadata.optional().meta({ description: 'Takes the place of all metadata the key has.' }),
    scopes: Scopes.optional(),
    expires_at: SentInstant.nullable()
      .optional()
      .meta({ description: 'When the key ends. null: never, where the stack allows it.' }),
    notify_days_before: NotifyDaysBefore.nullable()
      .optional()
      .meta({
        description:
          'Days before its end at which `api_key.expiring` is sent, at most 5. null: those of the stack.',
        example: [30, 14, 3],
      }),
    grace_starts: GraceStart.nullable().optional().meta({
      description: 'When the grace of this key begins if it is rotated. null: as the stack says.',
    }),
    rotation: Rotation.nullable().optional().meta({
      description: 'How often the key is to be rotated. null: whenever somebody wants.',
    }),
    on_reuse: OnReuse.optional().meta({
      description: 'What a use after it was superseded and its grace has ended does; see create.',
    }),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), {
    message:
      'must change something: name, metadata, scopes, expires_at, notify_days_before, grace_starts, rotation or on_reuse',
  })
  .meta({ id: 'UpdateKey' });

export const updateKey = defineOperation({
  name: 'update-key',
  method: 'PATCH',
  path: '/api-keys/{id}',
  scope: 'api-keys:update',
  summary: 'Change a key',
  description:
    'Changes the fields that are sent. The text of the key stays. New scopes, and the scopes of a key that is to live longer, must be covered by those of the calling key. A revoked, expired or rotated key no longer changes, nor does one that has a pending successor.',
  body: UpdateKey,
  answer: { status: 200, description: 'The key after the change.', schema: ChangedKey },
  problems: [
    'scope_escalation',
    'unknown_scope',
    'owner_forbidden',
    'environment_forbidden',
    'not_found',
    'key_revoked',
    'key_expired',
    'key_rotated',
    'pending_successor',
  ],
  examples: {
    body: { name: 'Billing worker', scopes: ['orders:read', 'orders:write'] },
    answer: { api_key: exampleKey },
  },
  async run({ caller, id, body, now, origin }) {
    const settings = { ...lifetimeSettings(), ...scheduleSettings(), retention_days: retentionDays() };
    const found = await visibleKey(caller, id);
    const gained = (body.scopes ?? []).filter((scope) => !found.scopes.includes(scope));
    const known = gained.length > 0 ? await knownFor(gained) : undefined;
    const record = await keyTable.updateKey(
      found,
      (seen) => {
        const change = decideChange(seen, body, caller, now, settings);
        // What the key has already may stay, also when no API knows it any more.
        if (known) demandKnown(gained, known);
        return change;
      },
      origin,
    );
    return {
      api_key: shownTo(caller, record, now),
      ...(takesAccessAway(changesBetween(found, record)) && { caches: await flushAtOnce() }),
    };
  },
});
