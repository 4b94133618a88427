import type { ApiKey } from '../api-key.schema.ts';

/** The key that the documentation's examples are about. */
export const exampleKey: ApiKey = {
  id: 'key_01Rk5d1hV0PaxFJTzYH0bM',
  owner_id: 'team-billing',
  owner_access: 'own',
  name: 'Billing worker',
  environment: 'live',
  scopes: ['orders:read', 'orders:write'],
  hint: 'x7Qa',
  status: 'active',
  created_at: '2026-11-24T09:00:00.000Z',
  created_by: 'key_01Rk5d0aZ3kQ9sVbW2cLtE',
  expires_at: '2027-02-22T09:00:00.000Z',
  rotated_at: null,
  revoked_at: null,
  revoked_reason: null,
  first_used_at: null,
  last_used_at: null,
  last_used_ip: null,
  last_used_route: null,
  parent_key_id: null,
  successor_key_id: null,
  root_key_id: 'key_01Rk5d1hV0PaxFJTzYH0bM',
  generation: 0,
  metadata: { ticket: 'OPS-1042' },
  notify_days_before: null,
  grace_starts: null,
  pending_until: null,
  rotation: null,
  rotation_due_at: null,
  on_reuse: 'tell',
  replaces_key_id: null,
};

const successorId = 'key_01Rk7m3pX8uJrNcD5fGhYs';

export const exampleRotatedKey: ApiKey = {
  ...exampleKey,
  status: 'rotated',
  expires_at: '2026-12-26T09:00:00.000Z',
  rotated_at: '2026-12-24T09:00:00.000Z',
  first_used_at: '2026-11-24T09:02:11.480Z',
  successor_key_id: successorId,
};

export const exampleSuccessor: ApiKey = {
  ...exampleKey,
  id: successorId,
  hint: 'Lm0d',
  created_at: '2026-12-24T09:00:00.000Z',
  expires_at: '2027-03-24T09:00:00.000Z',
  parent_key_id: exampleKey.id,
  generation: 1,
};

/** Stands where a plaintext key would: it fails the checksum, and scanners do not take it for a key. */
export const exampleSecret = 'rk_live_…(79 characters, shown this once)';
