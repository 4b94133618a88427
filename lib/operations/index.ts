import { cancelRotation } from './cancel-rotation.ts';
import { compromiseKey } from './compromise-key.ts';
import { createKey } from './create-key.ts';
import { createWebhookEndpoint } from './create-webhook-endpoint.ts';
import type { Operation } from './definition.ts';
import { deleteApi } from './delete-api.ts';
import { deleteWebhookEndpoint } from './delete-webhook-endpoint.ts';
import { getApi } from './get-api.ts';
import { getKey } from './get-key.ts';
import { getSelf } from './get-self.ts';
import { getStatus } from './get-status.ts';
import { getWebhookEndpoint } from './get-webhook-endpoint.ts';
import { listApis } from './list-apis.ts';
import { listEventTypes } from './list-event-types.ts';
import { listEvents } from './list-events.ts';
import { listKeyEvents } from './list-key-events.ts';
import { listKeys } from './list-keys.ts';
import { listLineage } from './list-lineage.ts';
import { listScopes } from './list-scopes.ts';
import { listWebhookDeliveries } from './list-webhook-deliveries.ts';
import { listWebhookEndpoints } from './list-webhook-endpoints.ts';
import { putApi } from './put-api.ts';
import { redeliverMissedWebhooks } from './redeliver-missed-webhooks.ts';
import { redeliverWebhook } from './redeliver-webhook.ts';
import { replayEvents } from './replay-events.ts';
import { reportGithubLeaks } from './report-github-leaks.ts';
import { reportLeaks } from './report-leaks.ts';
import { revokeKey } from './revoke-key.ts';
import { revokeSelf } from './revoke-self.ts';
import { rotateKey } from './rotate-key.ts';
import { rotateSelf } from './rotate-self.ts';
import { rotateWebhookSecret } from './rotate-webhook-secret.ts';
import { testWebhookEndpoint } from './test-webhook-endpoint.ts';
import { updateKey } from './update-key.ts';
import { updateWebhookEndpoint } from './update-webhook-endpoint.ts';
import { verifyKey } from './verify-key.ts';

/** Every operation of the management API; the routes and the OpenAPI document are made of this list. */
export const operations: readonly Operation[] = [
  createKey,
  listKeys,
  getKey,
  updateKey,
  rotateKey,
  cancelRotation,
  revokeKey,
  compromiseKey,
  reportLeaks,
  reportGithubLeaks,
  listLineage,
  verifyKey,
  getSelf,
  getStatus,
  rotateSelf,
  revokeSelf,
  listKeyEvents,
  listEvents,
  listEventTypes,
  replayEvents,
  createWebhookEndpoint,
  listWebhookEndpoints,
  getWebhookEndpoint,
  updateWebhookEndpoint,
  deleteWebhookEndpoint,
  rotateWebhookSecret,
  testWebhookEndpoint,
  listWebhookDeliveries,
  redeliverWebhook,
  redeliverMissedWebhooks,
  putApi,
  listApis,
  getApi,
  deleteApi,
  listScopes,
];
