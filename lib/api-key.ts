import type { ApiKey, ApiKeyRecord, KeyStatus, TellableKey } from './api-key.schema.ts';

const SECONDS_PER_DAY = 86_400;

/** What the status follows from. */
export type StatusFacts = Pick<ApiKeyRecord, 'revoked_at' | 'expires_at' | 'rotated_at' | 'pending_until'>;

/**
 * The status, derived from the facts and the clock; the first that holds of revoked, expired, rotated, pending,
 * active. A pending key that was not used in time has expired, whether or not somebody has dropped it. A fact that cannot be read counts against the key.
 *
 * @param now epoch milliseconds. At the very instant of `expires_at` the key is expired.
 */
export function statusOf(record: StatusFacts, now: number): KeyStatus {
  if (record.revoked_at !== null) return 'revoked';
  // Not `>=`: an unreadable date is NaN, and must not be a key that lives for ever.
  if (record.expires_at !== null && !(now < Date.parse(record.expires_at))) return 'expired';
  if (record.pending_until !== null && !(now < Date.parse(record.pending_until))) return 'expired';
  if (record.rotated_at !== null) return 'rotated';
  if (record.pending_until !== null) return 'pending';
  return 'active';
}

/** Whether the key opens anything: active, pending, or rotated and still in its grace. */
export function isValid(record: StatusFacts, now: number): boolean {
  const status = statusOf(record, now);
  return status !== 'revoked' && status !== 'expired';
}

/** The instant at which the key stopped or will stop being valid; null for a key that never ends. */
export function endOf(record: Pick<ApiKeyRecord, 'revoked_at' | 'expires_at'>): string | null {
  // Instants have one width, so the smaller text is the earlier time.
  return [record.revoked_at, record.expires_at].filter((end) => end !== null).sort()[0] ?? null;
}

/**
 * What callers see of a record: named field by field, so that a field added to the table stays inside until
 * someone lets it out here. That a key is honey is not among them: `shownTo` in caller.ts.
 */
export function publicKey(record: TellableKey, now: number): ApiKey {
  return {
    id: record.id,
    owner_id: record.owner_id,
    owner_access: record.owner_access,
    name: record.name,
    environment: record.environment,
    scopes: record.scopes,
    hint: record.hint,
    status: statusOf(record, now),
    created_at: record.created_at,
    created_by: record.created_by,
    expires_at: record.expires_at,
    rotated_at: record.rotated_at,
    revoked_at: record.revoked_at,
    revoked_reason: record.revoked_reason,
    first_used_at: record.first_used_at,
    last_used_at: record.last_used_at,
    last_used_ip: record.last_used_ip,
    last_used_route: record.last_used_route,
    parent_key_id: record.parent_key_id,
    successor_key_id: record.successor_key_id,
    root_key_id: record.root_key_id,
    generation: record.generation,
    metadata: record.metadata,
    notify_days_before: record.notify_days_before,
    grace_starts: record.grace_starts,
    pending_until: record.pending_until,
    rotation: record.rotation,
    rotation_due_at: record.rotation_due_at,
    on_reuse: record.on_reuse,
    replaces_key_id: record.replaces_key_id,
  };
}

/**
 * When DynamoDB may tidy the record away: its end and then the retention.
 *
 * @returns epoch seconds, the unit DynamoDB's TTL reads; undefined for a key that never ends
 */
export function ttlOf(
  record: Pick<ApiKeyRecord, 'revoked_at' | 'expires_at'>,
  retentionDays: number,
): number | undefined {
  const end = endOf(record);
  return end === null ? undefined : Math.ceil(Date.parse(end) / 1000) + retentionDays * SECONDS_PER_DAY;
}
