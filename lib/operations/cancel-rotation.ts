import { z } from 'zod';
import { ApiKey } from '../api-key.schema.ts';
import { publicKey } from '../api-key.ts';
import { demandEnvironment, demandGrantable, demandOwner } from '../caller.ts';
import { lifetimeSettings, retentionDays, scheduleSettings } from '../environment.ts';
import * as keyTable from '../key-table.ts';
import { decideCancellation, ROTATION_CANCELLED } from '../rotation.ts';
import { defineOperation } from './definition.ts';
import { exampleKey, exampleSuccessor } from './example-key.ts';
import { visibleKey } from './visible-key.ts';

const CancelRotation = z.strictObject({}).meta({ id: 'CancelRotation' });

const CancelledRotation = z
  .object({
    api_key: ApiKey.meta({ description: 'The key, with its own end again.' }),
    dropped: ApiKey.meta({ description: 'The successor that nobody used, revoked.' }),
  })
  .meta({ id: 'CancelledRotation' });

export const cancelRotation = defineOperation({
  name: 'cancel-rotation',
  method: 'POST',
  path: '/api-keys/{id}/rotate/cancel',
  scope: 'api-keys:rotate',
  summary: 'Take a rotation back',
  description:
    'Revokes a successor that was never used, and gives the rotated key the end it had before. Only while the rotated key still works. It then lives longer than its grace, so all its scopes must be covered by those of the calling key.',
  body: CancelRotation,
  bodyOptional: true,
  answer: {
    status: 200,
    description: 'The key as it was before its rotation, and the revoked successor.',
    schema: CancelledRotation,
  },
  problems: [
    'scope_escalation',
    'owner_forbidden',
    'environment_forbidden',
    'not_found',
    'not_rotated',
    'successor_used',
    'already_rotated',
    'key_revoked',
    'key_expired',
  ],
  examples: {
    body: {},
    answer: {
      api_key: exampleKey,
      dropped: {
        ...exampleSuccessor,
        status: 'revoked',
        revoked_at: '2026-12-24T09:20:00.000Z',
        revoked_reason: ROTATION_CANCELLED,
      },
    },
  },
  async run({ caller, id, now, origin }) {
    const settings = { ...lifetimeSettings(), ...scheduleSettings(), retention_days: retentionDays() };
    const seen = await visibleKey(caller, id);
    demandOwner(caller, seen);
    demandEnvironment(caller, seen);
    const { record, successor } = await keyTable.cancelRotation(
      seen,
      (record, successor) => {
        const cancellation = decideCancellation(record, successor, now, settings);
        demandGrantable(caller, record.scopes);
        return cancellation;
      },
      ROTATION_CANCELLED,
      origin,
    );
    return { api_key: publicKey(record, now), dropped: publicKey(successor, now) };
  },
});
