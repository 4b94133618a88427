import { z } from 'zod';
import { demandEnvironment, shownTo } from '../caller.ts';
import { retentionDays } from '../environment.ts';
import { flushAtOnce } from '../flush.ts';
import { Reason } from '../key-fields.schema.ts';
import * as keyTable from '../key-table.ts';
import { EndedKey } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleKey } from './example-key.ts';
import { visibleKey } from './visible-key.ts';

const RevokeKey = z.strictObject({ reason: Reason.optional() }).meta({ id: 'RevokeKey' });

export const revokeKey = defineOperation({
  name: 'revoke-key',
  method: 'POST',
  path: '/api-keys/{id}/revoke',
  scope: 'api-keys:revoke',
  summary: 'Revoke a key',
  description:
    'Ends the key with the next request anywhere, for good. What API Gateway keeps of answers is flushed; `caches` says how far that is. Revoking it again changes nothing: the first time and reason stay.',
  body: RevokeKey,
  bodyOptional: true,
  answer: { status: 200, description: 'The revoked key.', schema: EndedKey },
  problems: ['environment_forbidden', 'not_found'],
  examples: {
    body: { reason: 'Found in a public log' },
    answer: {
      api_key: {
        ...exampleKey,
        status: 'revoked',
        revoked_at: '2026-12-01T16:20:05.120Z',
        revoked_reason: 'Found in a public log',
      },
      caches: [
        { api_id: 'a1b2c3d4e5', stage: 'v1', cache: 'flushed' },
        { api_id: 'f6g7h8i9j0', stage: '$default', cache: 'none' },
      ],
    },
  },
  async run({ caller, id, body, now, origin }) {
    const seen = await visibleKey(caller, id);
    demandEnvironment(caller, seen);
    const record = await keyTable.revokeKey(
      seen,
      { reason: body.reason ?? null, retention_days: retentionDays() },
      origin,
    );
    return { api_key: shownTo(caller, record, now), caches: await flushAtOnce() };
  },
});
