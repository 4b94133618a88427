import { cancelRotation } from './cancel-rotation.ts';
import { createKey } from './create-key.ts';
import type { Operation } from './definition.ts';
import { getKey } from './get-key.ts';
import { getSelf } from './get-self.ts';
import { listEventTypes } from './list-event-types.ts';
import { listEvents } from './list-events.ts';
import { listKeyEvents } from './list-key-events.ts';
import { listKeys } from './list-keys.ts';
import { listLineage } from './list-lineage.ts';
import { replayEvents } from './replay-events.ts';
import { revokeKey } from './revoke-key.ts';
import { revokeSelf } from './revoke-self.ts';
import { rotateKey } from './rotate-key.ts';
import { rotateSelf } from './rotate-self.ts';
import { updateKey } from './update-key.ts';
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
  listLineage,
  verifyKey,
  getSelf,
  rotateSelf,
  revokeSelf,
  listKeyEvents,
  listEvents,
  listEventTypes,
  replayEvents,
];
