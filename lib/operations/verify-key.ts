import { z } from 'zod';
import { decideAccess } from '../access.ts';
import { ApiKey, RequiredScope } from '../api-key.schema.ts';
import { publicKey } from '../api-key.ts';
import { maySee } from '../caller.ts';
import { keyPrefix, misuseSettings, retentionDays } from '../environment.ts';
import { digestOf, parseKey } from '../key-format.ts';
import * as keyTable from '../key-table.ts';
import { misuseData, misuseOf } from '../misuse.ts';
import { Unavailable } from '../problem.ts';
import { defineOperation } from './definition.ts';
import { exampleKey, exampleSecret } from './example-key.ts';

const VerifyKey = z
  .strictObject({
    key: z
      .string('must be a string')
      .max(512, 'must have at most 512 characters')
      .meta({ description: 'The key that somebody presented to your service.' }),
    required_scopes: z
      .array(RequiredScope, 'must be a list of scopes')
      .max(100, 'must have at most 100 scopes')
      .default([])
      .meta({
        description: 'What your service asks for, all of it; no wildcards.',
        example: ['orders:write'],
      }),
  })
  .meta({ id: 'VerifyKey' });

const Verdict = z
  .object({
    valid: z.boolean(),
    code: z.enum(['valid', 'malformed', 'not_found', 'revoked', 'expired', 'insufficient_scope']),
    missing_scopes: z
      .array(z.string())
      .meta({ description: 'What the key lacks; empty unless the code is `insufficient_scope`.' }),
    api_key: ApiKey.optional().meta({ description: 'Absent when the code is `malformed` or `not_found`.' }),
  })
  .meta({ id: 'Verdict' });

export const verifyKey = defineOperation({
  name: 'verify-key',
  method: 'POST',
  path: '/api-keys/verify',
  scope: 'api-keys:verify',
  summary: 'Verify a key',
  description:
    'For services that are not behind API Gateway: whether a key opens what they require, by the same decision as the authorizer, from one consistent read. Act on `valid`. Do not keep the answer: a key may be revoked at any moment. A key of another owner is `not_found`, unless the calling key has owner_access `any`.',
  body: VerifyKey,
  takesKey: true,
  answer: { status: 200, description: 'The verdict, also when it is no.', schema: Verdict },
  problems: [],
  examples: {
    body: { key: exampleSecret, required_scopes: ['orders:refund'] },
    answer: {
      valid: false,
      code: 'insufficient_scope',
      missing_scopes: ['orders:refund'],
      api_key: exampleKey,
    },
  },
  async run({ caller, body, now, origin }): Promise<z.output<typeof Verdict>> {
    const presented = parseKey(body.key, keyPrefix());
    if (!presented) return { valid: false, code: 'malformed', missing_scopes: [] };

    const digest = digestOf(body.key);
    const decide = async () => {
      const found = await keyTable.getKey(presented.id);
      const record = found && maySee(caller, found) ? found : undefined;
      return { record, ...decideAccess({ record, digest, now, required: body.required_scopes }) };
    };

    let verdict = await decide();
    // Awaited: a key that has been accepted anywhere must never have its secret replaced by a retry.
    if (verdict.code === 'valid' && verdict.record?.first_used_at === null) {
      const use = await keyTable.markFirstUse(verdict.record, digest, origin, {
        retention_days: retentionDays(),
      });
      if (use === 'refused') {
        verdict = await decide();
        if (verdict.code === 'valid') throw new Unavailable();
      } else if (use === 'marked')
        Object.assign(verdict.record, { first_used_at: new Date(now).toISOString(), pending_until: null });
    }

    const { record, missing_scopes } = verdict;
    // Not awaited. The address of this request is the asking service's, not that of the one who used the key.
    if (record && verdict.code === 'valid')
      void keyTable.noteLastUse(record, { now, ip: null, route: `${verifyKey.method} ${verifyKey.path}` });
    const misuse = record && misuseOf(record, verdict.code, now, misuseSettings());
    if (record && misuse) {
      const where = { route: `${verifyKey.method} ${verifyKey.path}`, api_id: null };
      await keyTable.tell(
        record,
        { type: misuse, noted: 'told_at', data: misuseData(misuse, record, where) },
        origin,
      );
    }
    // A trap looks like nothing.
    const code = verdict.code === 'honey' ? 'not_found' : verdict.code;
    return {
      valid: code === 'valid',
      code,
      missing_scopes,
      ...(record && code !== 'not_found' && { api_key: publicKey(record, now) }),
    };
  },
});
