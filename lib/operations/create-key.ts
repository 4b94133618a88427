import { z } from 'zod';
import { ApiKey, Environment, OnReuse, OwnerAccess } from '../api-key.schema.ts';
import { publicKey } from '../api-key.ts';
import { knownFor } from '../api-table.ts';
import { demandEnvironment, demandGrantable, demandOwner } from '../caller.ts';
import { demandKnown } from '../catalog.ts';
import {
  defaultRotation,
  keyPrefix,
  lifetimeSettings,
  retentionDays,
  scheduleSettings,
} from '../environment.ts';
import { oncePer } from '../idempotency.ts';
import {
  ExpiresInDays,
  GraceStart,
  Metadata,
  Name,
  NotifyDaysBefore,
  OwnerId,
  Rotation,
  Scopes,
  SentInstant,
} from '../key-fields.schema.ts';
import * as keyTable from '../key-table.ts';
import { decideExpiry } from '../lifetime.ts';
import { newKey } from '../new-key.ts';
import { Plaintext } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleKey, exampleSecret } from './example-key.ts';
import { claimOf, makeAgain } from './repeated.ts';

const CreateKey = z
  .strictObject({
    name: Name,
    owner_id: OwnerId,
    owner_access: OwnerAccess.default('own').meta({
      description: '`any`: the key acts for all owners. Only such a key can make another.',
    }),
    scopes: Scopes,
    expires_in_days: ExpiresInDays.optional(),
    expires_at: SentInstant.nullable().optional().meta({
      description: 'When the key ends, instead of expires_in_days. null: never, where the stack allows it.',
    }),
    environment: Environment.optional().meta({
      description: "By default the calling key's own environment.",
    }),
    metadata: Metadata.default({}),
    notify_days_before: NotifyDaysBefore.nullable()
      .default(null)
      .meta({
        description:
          'Days before its end at which `api_key.expiring` is sent, at most 5. null: those of the stack. Successors have the same.',
        example: [30, 14, 3],
      }),
    grace_starts: GraceStart.nullable().default(null).meta({
      description:
        'When the grace of this key begins if it is rotated and the request does not say. null: as the stack says. Successors have the same.',
    }),
    rotation: Rotation.nullable().optional().meta({
      description:
        'How often the key is to be rotated. By default as the stack says for new keys; null: whenever somebody wants. Successors have the same.',
    }),
    on_reuse: OnReuse.default('tell').meta({
      description:
        'What happens when the key is used although it was superseded and its grace has ended: `tell` sends `api_key.reuse_detected`, `revoke_family` also revokes every key of its line. Successors have the same.',
    }),
    honey: z.boolean().default(false).meta({
      description:
        'Makes a trap: it opens nothing, each use is told by `api_key.honey_used`, and only its own owner can see that it is one. Put it where only a thief would find it.',
    }),
  })
  .meta({ id: 'CreateKey' });

const CreatedKey = z.object({ key: Plaintext, api_key: ApiKey }).meta({ id: 'CreatedKey' });

export const createKey = defineOperation({
  name: 'create-key',
  method: 'POST',
  path: '/api-keys',
  scope: 'api-keys:create',
  summary: 'Create a key',
  description:
    'Makes a key and shows its text this once. Nobody grants what they lack: every scope must be covered by the scopes of the calling key, and be one that some API knows.',
  body: CreateKey,
  idempotent: true,
  answer: { status: 201, description: 'The new key, and its text.', schema: CreatedKey },
  problems: [
    'scope_escalation',
    'unknown_scope',
    'owner_forbidden',
    'environment_forbidden',
    'key_revoked',
    'key_expired',
    'idempotency_key_used',
    'idempotency_key_reused',
  ],
  examples: {
    body: {
      name: 'Billing worker',
      owner_id: 'team-billing',
      scopes: ['orders:read', 'orders:write'],
      expires_in_days: 90,
      metadata: { ticket: 'OPS-1042' },
    },
    answer: { key: exampleSecret, api_key: exampleKey },
  },
  async run(request) {
    const { caller, body, now, origin } = request;
    const environment = body.environment ?? caller.environment;
    demandOwner(caller, body);
    demandEnvironment(caller, { environment });
    demandGrantable(caller, body.scopes);

    const { key, record } = await oncePer(claimOf('create-key', request), {
      first: async (claim) => {
        const { name, owner_id, owner_access, scopes, metadata, notify_days_before } = body;
        const { grace_starts, on_reuse, honey, rotation = defaultRotation() } = body;
        demandKnown(scopes, await knownFor(scopes));
        const expires_at = decideExpiry(body, now, lifetimeSettings());
        const made = newKey(
          {
            name,
            owner_id,
            owner_access,
            scopes,
            metadata,
            notify_days_before,
            grace_starts,
            rotation,
            on_reuse,
            honey,
            environment,
            expires_at,
            created_by: caller.key_id,
          },
          now,
          { key_prefix: keyPrefix(), retention_days: retentionDays(), ...scheduleSettings() },
        );
        const record = await keyTable.createKey(made.record, origin, claim);
        return record === 'taken' ? record : { key: made.key, record };
      },
      again: (earlier) => makeAgain(caller, earlier, origin),
    });
    // Whoever asked for a trap may know that it is one, in this answer.
    const trap = body.honey && { honey: true as const };
    return { key: key.reveal(), api_key: { ...publicKey(record, now), ...trap } };
  },
});
