import { randomBytes } from 'node:crypto';
import { ScanCommand } from '@aws-sdk/lib-dynamodb';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { ttlOf } from '../../lib/api-key.ts';
import type { Origin } from '../../lib/event.ts';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import { createKey } from '../../lib/key-table.ts';
import { successorRecord } from '../../lib/new-key.ts';
import {
  decideRotation,
  type Line,
  type RotationRequest,
  type RotationSettings,
} from '../../lib/rotation.ts';
import { dueOf } from '../../lib/schedule.ts';
import type { KeyTable } from '../../lib/table-client.ts';

export const RETENTION_DAYS = 90;
export const SETTINGS = {
  default_lifetime_days: 90,
  max_lifetime_days: 365,
  allow_never_expiring: true,
  retention_days: RETENTION_DAYS,
  notify_days_before: [14],
  grace_starts: 'now' as const,
  pending_days: 7,
  most_valid_keys: 2,
};
export const NOW = Date.parse('2026-11-24T10:00:00.000Z');
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const instant = (ms: number): string => new Date(ms).toISOString();
export const newDigest = (): string => randomBytes(32).toString('hex');

/** Where a change comes from that a test makes. */
export const by = (now = NOW + HOUR): Origin => ({
  actor: 'key_0000000000000000000001',
  now,
  request_id: 'request-1',
  source_ip: '192.0.2.1',
  user_agent: 'test',
});

/** A key of 30 days, made at NOW, that nothing has happened to. */
export function aKey(facts: Partial<ApiKeyRecord> = {}): ApiKeyRecord {
  const id = facts.id ?? newKeyId(NOW);
  const { digest, hint } = mintKey({ prefix: 'rk', environment: 'live', id });
  const expires_at = facts.expires_at === undefined ? instant(NOW + 30 * DAY) : facts.expires_at;
  const record: ApiKeyRecord = {
    id,
    owner_id: 'team-orders',
    owner_access: 'own',
    name: 'Orders worker',
    environment: 'live',
    scopes: ['orders:read', 'orders:write'],
    hint,
    created_at: instant(NOW),
    created_by: 'key_0000000000000000000001',
    expires_at,
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
    metadata: { ticket: 'OPS-1' },
    notify_days_before: null,
    grace_starts: null,
    pending_until: null,
    rotation: null,
    rotation_due_at: null,
    swept_until: null,
    on_reuse: 'tell',
    replaces_key_id: null,
    honey: false,
    digest,
    version: NOW,
    ttl: ttlOf({ expires_at, revoked_at: null }, RETENTION_DAYS),
    ...facts,
  };
  return { ...record, ...dueOf(record, SETTINGS, NOW), ...facts };
}

/** What the rotate operation hands to `rotateKey`. */
export const rotating =
  (request: RotationRequest = {}, now = NOW + HOUR, settings: RotationSettings = SETTINGS) =>
  (record: ApiKeyRecord, line: Line = {}) => {
    const { successor, ...decided } = decideRotation(record, request, now, settings, line);
    const id = newKeyId(now);
    const { digest, hint } = mintKey({ prefix: 'rk', environment: record.environment, id });
    const minted = { id, digest, hint, created_by: 'key_0000000000000000000001' };
    return { ...decided, successor: successorRecord(successor, minted, SETTINGS, now) };
  };

/** Every item of the table, or of an index. */
export async function everything(table: KeyTable, index?: string): Promise<Record<string, unknown>[]> {
  const items: Record<string, unknown>[] = [];
  let from: Record<string, unknown> | undefined;
  do {
    const page = await table.client.send(
      new ScanCommand({
        TableName: table.tableName,
        IndexName: index,
        ExclusiveStartKey: from,
        ConsistentRead: index === undefined,
      }),
    );
    items.push(...(page.Items ?? []));
    from = page.LastEvaluatedKey;
  } while (from);
  return items;
}

/** How the promises ended: values of those that held, and the codes of the problems (or the errors' names). */
export async function outcomes<T>(deeds: Promise<T>[]): Promise<{ done: T[]; problems: string[] }> {
  const settled = await Promise.allSettled(deeds);
  return {
    done: settled.flatMap((deed) => (deed.status === 'fulfilled' ? [deed.value] : [])),
    problems: settled.flatMap((deed) =>
      deed.status === 'rejected'
        ? [deed.reason?.code ?? `${deed.reason?.name}: ${deed.reason?.message}`]
        : [],
    ),
  };
}

/** A key as it is stored, and its text. */
export async function storeKey(
  table: KeyTable,
  facts: Partial<ApiKeyRecord> = {},
): Promise<{ text: string; record: ApiKeyRecord }> {
  const id = newKeyId(NOW);
  const { key, digest, hint } = mintKey({ prefix: 'rk', environment: 'live', id });
  const record = aKey({ id, digest, hint, ...facts });
  await createKey(record, by(), undefined, table);
  return { text: key.reveal(), record };
}
