import { z } from 'zod';
import { ApiKey } from '../api-key.schema.ts';
import { publicKey } from '../api-key.ts';
import { knownFor } from '../api-table.ts';
import { demandEnvironment, demandGrantable, demandOwner } from '../caller.ts';
import { demandKnown } from '../catalog.ts';
import {
  keyPrefix,
  lifetimeSettings,
  lineSettings,
  retentionDays,
  scheduleSettings,
} from '../environment.ts';
import { oncePer } from '../idempotency.ts';
import { ExpiresInDays, GracePeriodHours, GraceStart, Name, Scopes } from '../key-fields.schema.ts';
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
    grace_period_hours: GracePeriodHours.optional().meta({
      description:
        'Hours during which the old key still works; 0 ends it at once. By default as its `rotation` says, or 24.',
    }),
    grace_starts: GraceStart.optional(),
    replace_pending: z.boolean('must be true or false').default(false).meta({
      description:
        'Whether a successor that nobody has used is revoked, and this one takes its place. Otherwise it is a 409.',
    }),
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
    previous: ApiKey.meta({
      description: 'The old key: in its grace, or as it was when its successor is pending.',
    }),
    ended: z.array(ApiKey).meta({
      description:
        'Other keys of the line that ended with this: an unused successor that was replaced, and the oldest ones when too many would be valid.',
    }),
  })
  .meta({ id: 'RotatedKey' });

export const rotateKey = defineOperation({
  name: 'rotate-key',
  method: 'POST',
  path: '/api-keys/{id}/rotate',
  scope: 'api-keys:rotate',
  summary: 'Rotate a key',
  description:
    'Makes a successor and lets the old key work until the grace period ends, or until its own end when that is sooner: it is never prolonged. With `grace_starts: "first_use"` the old key stays as it is, the successor is `pending`, and the grace begins with the first request that it authorises; if it is never used it is dropped. A line has as many valid keys as the stack allows, two by default: when a key is rotated that is in the grace of another, the oldest ends at once. Rotating hands out a secret, so all scopes of the successor must be covered by those of the calling key.',
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
    'pending_successor',
    'key_revoked',
    'key_expired',
    'idempotency_key_used',
    'idempotency_key_reused',
  ],
  examples: {
    body: { grace_period_hours: 48 },
    answer: { key: exampleSecret, api_key: exampleSuccessor, previous: exampleRotatedKey, ended: [] },
  },
  async run(request) {
    const { caller, id, body, now, origin } = request;
    const settings = {
      ...lifetimeSettings(),
      ...scheduleSettings(),
      ...lineSettings(),
      retention_days: retentionDays(),
    };
    const seen = await visibleKey(caller, id);
    demandOwner(caller, seen);
    demandEnvironment(caller, seen);

    const { key, successor, previous, ended } = await oncePer(claimOf('rotate-key', request), {
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
          (record, line) => {
            const { successor, ...decided } = decideRotation(record, body, now, settings, line);
            demandGrantable(caller, successor.scopes);
            if (known) demandKnown(gained, known);
            return {
              ...decided,
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
          undefined,
          settings.most_valid_keys,
        );
        return rotated === 'taken' ? rotated : { key, ...rotated };
      },
      again: async (earlier) => {
        const { key, record } = await makeAgain(caller, earlier, origin);
        return { key, successor: record, previous: await visibleKey(caller, id), ended: [] };
      },
    });
    return {
      key: key.reveal(),
      api_key: publicKey(successor, now),
      previous: publicKey(previous, now),
      ended: ended.map((record) => publicKey(record, now)),
    };
  },
});
