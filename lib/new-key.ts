import type { ApiKeyRecord } from './api-key.schema.ts';
import { ttlOf } from './api-key.ts';
import { mintKey, newKeyId } from './key-format.ts';
import type { Rotation } from './rotation.ts';
import { rotationDueAt } from './rotation-due.ts';
import { dueOf, type ScheduleSettings } from './schedule.ts';
import { normalizeScopes } from './scope.ts';
import type { SecretText } from './secret-text.ts';

/** What somebody decides about a new key; the rest follows. */
export type NewKey = Pick<
  ApiKeyRecord,
  | 'owner_id'
  | 'owner_access'
  | 'name'
  | 'environment'
  | 'scopes'
  | 'expires_at'
  | 'metadata'
  | 'notify_days_before'
  | 'created_by'
> &
  Partial<Pick<ApiKeyRecord, 'grace_starts' | 'rotation' | 'on_reuse' | 'replaces_key_id' | 'honey'>>;

/** Where a new record comes into the index by_due is part of making it. */
const scheduled = (unplanned: ApiKeyRecord, settings: ScheduleSettings, now: number): ApiKeyRecord => {
  const record = { ...unplanned, rotation_due_at: rotationDueAt(unplanned) };
  return { ...record, ...dueOf(record, settings, now) };
};

/**
 * The first key of a lineage: its text, and the record to write. It draws random bytes and writes nothing.
 *
 * @param now epoch milliseconds
 */
export function newKey(
  decided: NewKey,
  now: number,
  settings: ScheduleSettings & { key_prefix: string; retention_days: number },
): { key: SecretText; record: ApiKeyRecord } {
  const id = newKeyId(now);
  const { key, digest, hint } = mintKey({
    prefix: settings.key_prefix,
    environment: decided.environment,
    id,
  });
  const record: ApiKeyRecord = {
    grace_starts: null,
    rotation: null,
    on_reuse: 'tell',
    replaces_key_id: null,
    honey: false,
    ...decided,
    id,
    scopes: normalizeScopes(decided.scopes),
    hint,
    created_at: new Date(now).toISOString(),
    rotated_at: null,
    revoked_at: null,
    revoked_reason: null,
    first_used_at: null,
    last_used_at: null,
    last_used_ip: null,
    last_used_route: null,
    parent_key_id: null,
    successor_key_id: null,
    root_key_id: id,
    generation: 0,
    pending_until: null,
    rotation_due_at: null,
    swept_until: null,
    digest,
    version: now,
    ttl: ttlOf({ expires_at: decided.expires_at, revoked_at: null }, settings.retention_days),
  };
  return { key, record: scheduled(record, settings, now) };
}

/**
 * The record of a successor that a rotation decided.
 *
 * @param minted what the rotation does not know
 * @param now epoch milliseconds
 */
export function successorRecord(
  decided: Rotation['successor'],
  minted: Pick<ApiKeyRecord, 'id' | 'digest' | 'hint' | 'created_by'>,
  settings: ScheduleSettings,
  now: number,
): ApiKeyRecord {
  return scheduled({ ...decided, ...minted }, settings, now);
}
