import { z } from 'zod';
import { ApiKey, type ApiKeyRecord } from '../api-key.schema.ts';
import { isValid } from '../api-key.ts';
import { type Caller, demandEnvironment, demandGrantable, demandOwner, shownTo } from '../caller.ts';
import { type Line, lineOf } from '../compromise.ts';
import { beginCompromise, endCompromise } from '../compromise-table.ts';
import { keyPrefix, lifetimeSettings, retentionDays, scheduleSettings } from '../environment.ts';
import type { Origin } from '../event.ts';
import { flushAtOnce } from '../flush.ts';
import { oncePer } from '../idempotency.ts';
import { Reason } from '../key-fields.schema.ts';
import * as keyTable from '../key-table.ts';
import { inheritExpiry } from '../lifetime.ts';
import { eachOfLine, type LineResult, revokeLine } from '../line.ts';
import { newKey } from '../new-key.ts';
import { InsufficientScope } from '../problem.ts';
import { missingScopes } from '../scope.ts';
import { Caches, Plaintext } from './answers.schema.ts';
import { defineOperation, type OperationRequest } from './definition.ts';
import { exampleKey, exampleSecret } from './example-key.ts';
import { claimOf, makeAgain } from './repeated.ts';
import { visibleKey } from './visible-key.ts';

/** The request works on its line for so long; what is left goes on without it. */
const LONGEST_WORK_MS = 10_000;
/** Keys that an answer shows. */
const MOST_SHOWN = 100;

const CompromiseKey = z
  .strictObject({
    scope: z.enum(['key', 'subtree', 'family']).meta({
      description:
        '`key`: the key alone. `subtree`: also all that came from it by rotation. `family`: every key of its line.',
    }),
    reason: Reason,
    replace: z.boolean().default(false).meta({
      description:
        'Also makes a fresh key with the same scopes, for the same owner and for as long. It has no parent; `replaces_key_id` names the compromised key.',
    }),
    dry_run: z.boolean().default(false).meta({ description: 'Changes nothing, and says what would stop.' }),
  })
  .meta({ id: 'CompromiseKey' });

const Compromise = z
  .object({
    dry_run: z.boolean(),
    compromised: ApiKey.meta({ description: 'The key of the path, as it is now.' }),
    stopped: z.array(ApiKey).meta({
      description: `The keys that worked until now and no longer do (with dry_run: that would stop); the first ${MOST_SHOWN}.`,
    }),
    stopped_count: z.int(),
    finished: z.boolean().meta({
      description:
        'Whether that was all. false: the line is so large that the rest is revoked after this answer, within minutes, whatever happens.',
    }),
    caches: Caches.optional().meta({ description: 'As with a revocation; absent with dry_run.' }),
    key: Plaintext.nullable().meta({ description: 'With `replace`: the text of the fresh key.' }),
    api_key: ApiKey.nullable().meta({ description: 'With `replace`: the fresh key.' }),
  })
  .meta({ id: 'Compromise' });

const exampleCompromised = {
  ...exampleKey,
  status: 'revoked' as const,
  revoked_at: '2026-12-01T02:14:05.120Z',
  revoked_reason: 'Found in a public log',
};

export const compromiseKey = defineOperation({
  name: 'compromise-key',
  method: 'POST',
  path: '/api-keys/{id}/compromise',
  scope: 'api-keys:compromise',
  summary: 'End a compromised key and its line',
  description:
    'Revokes at once and without grace, however large the line: the key of the path first, then the rest. A rotation at the same moment does not escape. `replace` needs what create needs: `api-keys:create` and every scope of the key; send it with an Idempotency-Key.',
  body: CompromiseKey,
  idempotent: true,
  answer: { status: 200, description: 'What was stopped.', schema: Compromise },
  problems: [
    'scope_escalation',
    'owner_forbidden',
    'environment_forbidden',
    'not_found',
    'key_revoked',
    'key_expired',
    'idempotency_key_used',
    'idempotency_key_reused',
  ],
  examples: {
    body: { scope: 'family', reason: 'Found in a public log', replace: true },
    answer: {
      dry_run: false,
      compromised: exampleCompromised,
      stopped: [exampleCompromised],
      stopped_count: 1,
      finished: true,
      caches: [{ api_id: 'a1b2c3d4e5', stage: 'v1', cache: 'flushed' }],
      key: exampleSecret,
      api_key: { ...exampleKey, id: 'key_01Rk6Vd0qPzYw3kTn8LhCe', replaces_key_id: exampleKey.id },
    },
  },
  async run(request) {
    const { caller, id, body, now, origin } = request;
    const seen = await visibleKey(caller, id);
    demandEnvironment(caller, seen);
    // Before anything is ended: whoever may not have the fresh key hears it while it is still of use.
    if (body.replace) demandReplacement(caller, seen);

    const parent = seen.parent_key_id === null ? undefined : await keyTable.getKey(seen.parent_key_id);
    const line = lineOf(seen, parent, body.scope);
    const hasTime = limited(LONGEST_WORK_MS);
    const shown = (record: ApiKeyRecord) => shownTo(caller, record, now);
    const answer = ({ stopped, finished }: LineResult, compromised: ApiKeyRecord) => ({
      dry_run: body.dry_run,
      compromised: shown(compromised),
      stopped: stopped.slice(0, MOST_SHOWN).map(shown),
      stopped_count: stopped.length,
      finished,
    });

    if (body.dry_run) {
      const result = await eachOfLine(line, (record) => Promise.resolve(record), { now, hasTime });
      return { ...answer(result, seen), key: null, api_key: null };
    }
    const { compromised, ...result } = await end(seen, line, body.reason, origin, hasTime);
    const fresh = body.replace ? await replacement(request, compromised) : undefined;
    return {
      ...answer(result, compromised),
      caches: await flushAtOnce(),
      key: fresh?.key.reveal() ?? null,
      api_key: fresh ? shown(fresh.record) : null,
    };
  },
});

/** Whether there is time left of these milliseconds, from now on. */
function limited(ms: number): () => boolean {
  const end = performance.now() + ms;
  return () => performance.now() < end;
}

/** The key of the path first; the rest of its line is noted before, so that it is done even if this ends on the way. */
async function end(
  seen: ApiKeyRecord,
  line: Line,
  reason: string,
  origin: Origin,
  hasTime: () => boolean,
): Promise<LineResult & { compromised: ApiKeyRecord }> {
  const revocation = { reason, retention_days: retentionDays() };
  const noted = line.scope === 'key' ? undefined : await beginCompromise(line, reason, origin);
  const compromised = await keyTable.revokeKey(seen, revocation, origin);
  const own = isValid(seen, origin.now) ? [compromised] : [];
  if (!noted) return { compromised, stopped: own, finished: true };

  const { stopped, finished } = await revokeLine(line, revocation, origin, hasTime);
  if (finished) await endCompromise(noted.id);
  return { compromised, stopped: [...own, ...stopped], finished };
}

/** @throws InsufficientScope, ScopeEscalation, OwnerForbidden: what create would say to the caller */
function demandReplacement(caller: Caller, seen: ApiKeyRecord): void {
  const missing = missingScopes(caller.scopes, ['api-keys:create']);
  if (missing.length > 0) throw new InsufficientScope(missing);
  demandOwner(caller, seen);
  demandGrantable(caller, seen.scopes);
}

/** A fresh key in the place of a compromised one: the first of a line of its own. */
function replacement(
  request: OperationRequest<unknown, unknown>,
  { id, name, owner_id, owner_access, environment, scopes, ...compromised }: ApiKeyRecord,
) {
  const { caller, now, origin } = request;
  const settings = { ...lifetimeSettings(), ...scheduleSettings(), retention_days: retentionDays() };
  return oncePer(claimOf('compromise-key', request), {
    first: async (claim) => {
      const { metadata, notify_days_before, on_reuse, honey } = compromised;
      const { key, record } = newKey(
        {
          ...{ name, owner_id, owner_access, environment, scopes },
          ...{ metadata, notify_days_before, on_reuse, honey },
          expires_at: inheritExpiry(originalLife(compromised), now, settings),
          created_by: caller.key_id,
          replaces_key_id: id,
        },
        now,
        { key_prefix: keyPrefix(), ...settings },
      );
      const created = await keyTable.createKey(record, origin, claim);
      return created === 'taken' ? created : { key, record: created };
    },
    again: (earlier) => makeAgain(caller, earlier, origin),
  });
}

/** From its creation to the end that was its own: a rotation has moved it nearer. */
const originalLife = ({
  created_at,
  expires_at,
  before_rotation,
}: Pick<ApiKeyRecord, 'created_at' | 'expires_at' | 'before_rotation'>) => ({
  created_at,
  expires_at: before_rotation ? before_rotation.expires_at : expires_at,
});
