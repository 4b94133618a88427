import type { z } from 'zod';
import type { Api } from '../api.schema.ts';
import { apiEvent } from '../api-event.ts';
import type { Event, EventType, EventWebhookEndpoint } from '../event.schema.ts';
import { keyEvent, type Origin, replayEvent } from '../event.ts';
import { newId } from '../key-format.ts';
import { exampleApi } from './example-api.ts';
import { exampleKey, exampleRotatedKey, exampleSuccessor } from './example-key.ts';

const origin = (at: string): Origin => ({
  actor: exampleKey.created_by,
  now: Date.parse(at),
  request_id: '0f3c6ad1-3f7c-4a5e-9d0e-6a4f5f0c2b1a',
  source_ip: '203.0.113.20',
  user_agent: 'curl/8.7.1',
});
const bySystem = (functionName: string, at: string): Origin => ({
  actor: `system:${functionName}`,
  now: Date.parse(at),
  request_id: null,
  source_ip: null,
  user_agent: null,
});

/** Of the right form and time; the same whenever it is made. */
const idAt = (at: string): string => newId('evt_', Date.parse(at), (length) => Buffer.alloc(length, 0x5a));

const CREATED = exampleKey.created_at;
const RENAMED = '2026-11-25T08:30:00.000Z';
const ROTATED = exampleSuccessor.created_at;
const FIRST_USED = '2026-11-24T09:02:11.480Z';
const REVOKED = '2026-12-01T16:20:05.120Z';
const REPLAYED = '2026-12-02T09:30:00.000Z';
const NOTICED = '2027-02-08T09:00:00.000Z';
const DUE = '2027-01-20T11:00:00.000Z';
const ENDED = '2026-12-26T09:00:00.000Z';

const USED_LATE = '2026-12-26T09:12:40.300Z';
const REUSED = '2026-12-28T03:40:17.010Z';
const used = (at: string): Origin => ({ ...origin(at), actor: exampleKey.id });
const usedAt = { route: 'GET /orders/{id}', api_id: 'a1b2c3d4e5' };

const endpoint: z.infer<typeof EventWebhookEndpoint> = {
  id: 'whe_01Rk5d1hV0PaxFJTzYH0bM',
  owner_id: exampleKey.owner_id,
  all_owners: false,
  url: 'https://hooks.example.com/rekey',
  events: ['api_key.*'],
  description: 'Pages the billing team',
  status: 'enabled',
  created_at: CREATED,
  created_by: exampleKey.created_by,
  disabled_at: null,
  disabled_reason: null,
  secret_version: 1,
};

const endpointEvent = (
  type: EventType,
  at: string,
  told: Partial<Pick<Event, 'reason' | 'changes'>> & { by?: Origin; facts?: Partial<typeof endpoint> } = {},
): Event => {
  const { by = origin(at), facts = {}, reason = null, changes = [] } = told;
  const { actor, request_id, source_ip, user_agent } = by;
  return {
    id: idAt(at),
    type,
    occurred_at: at,
    owner_id: endpoint.owner_id,
    api_key_id: null,
    webhook_endpoint_id: endpoint.id,
    api_id: null,
    actor,
    request_id,
    source_ip,
    user_agent,
    reason,
    changes,
    data: { webhook_endpoint: { ...endpoint, ...facts } },
  };
};

const apiExample = (at: string, change: Omit<Parameters<typeof apiEvent>[0], 'lost_scopes'>): Event => ({
  ...apiEvent({ ...change, lost_scopes: [] }, origin(at)),
  id: idAt(at),
});
const widened: Api = {
  ...exampleApi,
  routes: { ...exampleApi.routes, 'DELETE /things/{id}': ['things:delete'] },
  version: 2,
  updated_at: RENAMED,
};

/** One event of each type, for the documentation. */
export const exampleEvents: Record<EventType, Event> = {
  'api_key.created': keyEvent('api_key.created', exampleKey, origin(CREATED), { id: idAt(CREATED) }),
  'api_key.updated': keyEvent(
    'api_key.updated',
    { ...exampleKey, name: 'Billing nightly' },
    origin(RENAMED),
    {
      id: idAt(RENAMED),
      before: exampleKey,
    },
  ),
  'api_key.rotated': keyEvent('api_key.rotated', exampleRotatedKey, origin(ROTATED), {
    id: idAt(ROTATED),
    before: { ...exampleKey, first_used_at: FIRST_USED },
  }),
  'api_key.first_used': keyEvent(
    'api_key.first_used',
    { ...exampleKey, first_used_at: FIRST_USED },
    { ...origin(FIRST_USED), actor: exampleKey.id },
    { id: idAt(FIRST_USED), before: exampleKey },
  ),
  'api_key.revoked': keyEvent(
    'api_key.revoked',
    { ...exampleKey, revoked_at: REVOKED, revoked_reason: 'Found in a public log' },
    origin(REVOKED),
    { id: idAt(REVOKED), before: exampleKey, reason: 'Found in a public log' },
  ),
  'api_key.rotation_requested': keyEvent(
    'api_key.rotation_requested',
    {
      ...exampleKey,
      rotation: {
        every_days: 60,
        deliver: { secrets_manager: { secret_id: 'billing/rekey' } },
      },
      rotation_due_at: DUE,
    },
    bySystem('sweep-keys', DUE),
    { id: idAt(DUE) },
  ),
  'api_key.rotation_due': keyEvent(
    'api_key.rotation_due',
    { ...exampleKey, rotation: { every_days: 60 }, rotation_due_at: DUE },
    bySystem('sweep-keys', DUE),
    { id: idAt(DUE), data: { urgency: 'notice', reminder: 0 } },
  ),
  'api_key.expiring': keyEvent('api_key.expiring', exampleKey, bySystem('sweep-keys', NOTICED), {
    id: idAt(NOTICED),
    data: { days_left: 14, notify_days_before: 14 },
  }),
  'api_key.expired': keyEvent('api_key.expired', exampleRotatedKey, bySystem('sweep-keys', ENDED), {
    id: idAt(ENDED),
    reason: 'rotated',
  }),
  'api_key.leaked': keyEvent(
    'api_key.leaked',
    exampleKey,
    { ...origin(REVOKED), actor: 'anonymous' },
    {
      id: idAt(REVOKED),
      data: {
        found_by: 'github',
        found_at: ['https://github.com/octocat/Hello-World/blob/12345600b9/config.ts'],
        action: 'revoked',
      },
    },
  ),
  'api_key.used_late': keyEvent('api_key.used_late', exampleRotatedKey, used(USED_LATE), {
    id: idAt(USED_LATE),
    data: { ...usedAt, grace_ended_at: ENDED },
  }),
  'api_key.reuse_detected': keyEvent('api_key.reuse_detected', exampleRotatedKey, used(REUSED), {
    id: idAt(REUSED),
    data: { ...usedAt, grace_ended_at: ENDED },
  }),
  'api_key.honey_used': keyEvent('api_key.honey_used', exampleKey, used(REVOKED), {
    id: idAt(REVOKED),
    data: usedAt,
  }),
  'webhook_endpoint.created': endpointEvent('webhook_endpoint.created', CREATED),
  'webhook_endpoint.updated': endpointEvent('webhook_endpoint.updated', RENAMED, {
    changes: [{ field: 'events', from: ['api_key.*'], to: ['api_key.expiring', 'api_key.expired'] }],
    facts: { events: ['api_key.expiring', 'api_key.expired'] },
  }),
  'webhook_endpoint.disabled': endpointEvent('webhook_endpoint.disabled', REVOKED, {
    by: bySystem('deliver-webhook', REVOKED),
    reason: 'failing',
    changes: [
      { field: 'status', from: 'enabled', to: 'disabled' },
      { field: 'disabled_at', from: null, to: REVOKED },
      { field: 'disabled_reason', from: null, to: 'failing' },
    ],
    facts: { status: 'disabled', disabled_at: REVOKED, disabled_reason: 'failing' },
  }),
  'webhook_endpoint.deleted': endpointEvent('webhook_endpoint.deleted', REVOKED),
  'webhook_endpoint.secret_rotated': endpointEvent('webhook_endpoint.secret_rotated', RENAMED, {
    changes: [{ field: 'secret_version', from: 1, to: 2 }],
    facts: { secret_version: 2 },
  }),
  'api.registered': apiExample(CREATED, { before: undefined, after: exampleApi }),
  'api.updated': apiExample(RENAMED, { before: exampleApi, after: widened }),
  'api.deleted': apiExample(REVOKED, { before: widened, after: undefined }),
  'events.replayed': {
    ...replayEvent(
      { key_id: exampleKey.created_by, owner_id: 'platform' },
      {
        from: '2026-12-01T00:00:00.000Z',
        to: '2026-12-02T00:00:00.000Z',
        types: ['api_key.revoked'],
        owner_id: null,
      },
      origin(REPLAYED),
    ),
    id: idAt(REPLAYED),
  },
};
