import { z } from 'zod';
import { ApiKey } from '../api-key.schema.ts';
import { publicKey } from '../api-key.ts';
import { knownFor } from '../api-table.ts';
import { demandEnvironment, demandGrantable, demandOwner } from '../caller.ts';
import { demandKnown } from '../catalog.ts';
import { keyPrefix, lifetimeSettings, retentionDays, scheduleSettings } from '../environment.ts';
import { oncePer } from '../idempotency.ts';
import { ExpiresInDays, GracePeriodHours, Name, Scopes } from '../key-fields.schema.ts';
import { mintKey, newKeyId } from '../key-format.ts';
import * as keyTable from '../key-table.ts';
import { successorRecord } from '../new-key.ts';
import { decideRotation } from '../rotation.ts';
import { Plaintext } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleRotatedKey, exampleSecret, exampleSuccessor } from './example-key.ts';
import { claimOf, makeAgain } from './repeated.ts';
import { visibleKey } from './visible-key.ts';

export const RotateKey = z
  .strictObject({
    grace_period_hours: GracePeriodHours.default(24),
    scopes: Scopes.optional().meta({
      description: "The successor's scopes, when it is to have fewer. By default the same.",
    }),
    expires_in_days: ExpiresInDays.optional().meta({
      description: "The successor's life. By default as long as the old key had from its start.",
    }),
    name: Name.optional().meta({ description: "The successor's name. By default the same." }),
  })
  .meta({ id: 'RotateKey' });

const RotatedKey = z
  .object({
    key: Plaintext,
    api_key: ApiKey.meta({ description: 'The successor.' }),
    previous: ApiKey.meta({ description: 'The old key, in its grace.' }),
  })
  .meta({ id: 'RotatedKey' });

export const rotateKey = defineOperation({
  name: 'rotate-key',
  method: 'POST',
  path: '/api-keys/{id}/rotate',
  scope: 'api-keys:rotate',
  summary: 'Rotate a key',
  description:
    'Makes a successor and lets the old key work until the grace period ends, or until its own end when that is sooner: it is never prolonged. Rotating hands out a secret, so all scopes of the successor must be covered by those of the calling key.',
  body: RotateKey,
  bodyOptional: true,
  idempotent: true,
  answer: { status: 201, description: 'The successor and its text, and the old key.', schema: RotatedKey },
  problems: [
    'scope_escalation',
    'unknown_scope',
    'owner_forbidden',
    'environment_forbidden',
    'not_found',
    'already_rotated',
    'key_revoked',
    'key_expired',
    'idempotency_key_used',
    'idempotency_key_reused',
  ],
  examples: {
    body: { grace_period_hours: 48 },
    answer: { key: exampleSecret, api_key: exampleSuccessor, previous: exampleRotatedKey },
  },
  async run(request) {
    const { caller, id, body, now, origin } = request;
    const settings = { ...lifetimeSettings(), ...scheduleSettings(), retention_days: retentionDays() };
    const seen = await visibleKey(caller, id);
    demandOwner(caller, seen);
    demandEnvironment(caller, seen);

    const { key, successor, previous } = await oncePer(claimOf('rotate-key', request), {
      first: async (claim) => {
        // What the key has already may stay, also when no API knows it any more: its rotation must not fail.
        const gained = (body.scopes ?? []).filter((scope) => !seen.scopes.includes(scope));
        const known = gained.length > 0 ? await knownFor(gained) : undefined;
        const successorId = newKeyId(now);
        const { key, digest, hint } = mintKey({
          prefix: keyPrefix(),
          environment: seen.environment,
          id: successorId,
        });
        const rotated = await keyTable.rotateKey(
          seen,
          (record) => {
            const { old, successor } = decideRotation(record, body, now, settings);
            demandGrantable(caller, successor.scopes);
            if (known) demandKnown(gained, known);
            return {
              old,
              successor: successorRecord(
                successor,
                { id: successorId, digest, hint, created_by: caller.key_id },
                settings,
                now,
              ),
            };
          },
          origin,
          claim,
        );
        return rotated === 'taken' ? rotated : { key, ...rotated };
      },
      again: async (earlier) => {
        const { key, record } = await makeAgain(caller, earlier, origin);
        return { key, successor: record, previous: await visibleKey(caller, id) };
      },
    });
    return { key: key.reveal(), api_key: publicKey(successor, now), previous: publicKey(previous, now) };
  },
});
