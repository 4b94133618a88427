import { ListedKey } from '../lib/api-key.schema.ts';
import { LAST_USE } from '../lib/last-use.ts';

/**
 * What every write of a key names: its conditions, and the attributes of the event beside it. AWS does not say
 * whether a transaction's update is judged by its own attributes or by those of all its parts.
 */
const KEY_STATE = [
  ...['pk', 'sk', 'revoked_at', 'first_used_at', 'version'],
  ...['event', 'event_type', 'event_owner_id', 'event_day', 'ttl'],
];
/** What the writes of a key name, by what they do. */
export const NEW_SECRET = [...KEY_STATE, 'digest', 'hint'];
/** Where a key stands in the index by_due. */
const DUE = ['due_shard', 'next_action_at'];
/** The first use, and one that must not be. Of a pending key it also begins the grace of its parent. */
export const USE = [
  ...[...KEY_STATE, ...DUE, 'swept_until', 'digest', 'told_at', 'pending_until', 'pending_grace_hours'],
  ...['expires_at', 'rotated_at', 'successor_key_id', ...LAST_USE],
];
export const CHANGE = [
  ...[...KEY_STATE, ...DUE, 'swept_until'],
  ...['expires_at', 'metadata', 'name', 'notify_days_before', 'on_reuse', 'scopes', 'grace_starts'],
  ...['rotation', 'rotation_due_at', 'rotation_told'],
];
export const REVOCATION = [...KEY_STATE, ...DUE, 'revoked_reason'];
export const CANCELLATION = [
  ...[...KEY_STATE, ...DUE, 'swept_until', 'expires_at', 'revoked_reason'],
  ...['pending_until', 'pending_grace_hours'],
  ...['before_rotation', 'next_generation', 'rotated_at', 'successor_key_id'],
];
/** A pending key that is dropped frees its parent. */
export const SWEEP = [
  ...[...KEY_STATE, ...DUE, 'swept_until', 'revoked_reason', 'pending_until', 'pending_grace_hours'],
  ...['successor_key_id', 'next_generation', 'rotation_told', 'rotation_due_at', 'overdue_counted_at'],
];
/** What callers see of a key, and so all that a list may read. */
export const LISTED = Object.keys(ListedKey.shape);
