import type { Caller } from '../caller.ts';
import { NotFound } from '../problem.ts';
import type { WebhookEndpointRecord } from '../webhook-endpoint.schema.ts';
import { demandLiveCaller, maySeeEndpoint } from '../webhook-endpoint.ts';
import { getEndpoint } from '../webhook-endpoint-table.ts';

/**
 * The webhook endpoint of this id, read consistently.
 *
 * @throws NotFound also for one of an owner that the caller does not act for, and for one that listens to all owners
 *   when the caller does not act for all
 */
export async function visibleEndpoint(caller: Caller, id: string): Promise<WebhookEndpointRecord> {
  const record = await getEndpoint(id);
  if (!record || !maySeeEndpoint(caller, record)) throw new NotFound();
  return record;
}

/** The webhook endpoint of this id, for a caller that wants to do something to it. @throws as above; EnvironmentForbidden */
export async function manageableEndpoint(caller: Caller, id: string): Promise<WebhookEndpointRecord> {
  const record = await visibleEndpoint(caller, id);
  demandLiveCaller(caller);
  return record;
}
