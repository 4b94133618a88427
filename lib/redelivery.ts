import type { DeliveryRecord } from './delivery.schema.ts';
import { begin } from './delivery.ts';
import { type SendDeliveries, sendDeliveries } from './delivery-queue.ts';
import { changeDelivery, getDelivery } from './delivery-table.ts';
import { Unavailable, WebhookEndpointDisabled } from './problem.ts';
import { environmentTable, type KeyTable, pause } from './table-client.ts';
import type { WebhookEndpointRecord } from './webhook-endpoint.schema.ts';
import { isEnabled, laneOf } from './webhook-endpoint.ts';

const MOST_TRIES = 8;

/** @throws WebhookEndpointDisabled */
export function demandEnabled(endpoint: WebhookEndpointRecord): void {
  if (!isEnabled(endpoint)) throw new WebhookEndpointDisabled();
}

/**
 * Begins deliveries to an endpoint again.
 *
 * @returns them as written
 * @throws Unavailable; then some may have begun
 */
export async function redeliver(
  endpoint: WebhookEndpointRecord,
  deliveries: readonly DeliveryRecord[],
  now: number,
  { table = environmentTable(), send = sendDeliveries }: { table?: KeyTable; send?: SendDeliveries } = {},
): Promise<DeliveryRecord[]> {
  const begun = await Promise.all(deliveries.map((delivery) => beginAgain(delivery, now, table)));
  const lane = laneOf(endpoint, now);
  await send(begun.map(({ webhook_endpoint_id, id }) => ({ webhook_endpoint_id, id, lane })));
  return begun;
}

/** An attempt that ends meanwhile may come first, so it is tried with what is there then. */
async function beginAgain(seen: DeliveryRecord, now: number, table: KeyTable): Promise<DeliveryRecord> {
  let record: DeliveryRecord | undefined = seen;
  for (let tries = 1; record && tries <= MOST_TRIES; tries++) {
    const begun = await changeDelivery(record, begin(record, now), table);
    if (begun) return begun;
    await pause(tries);
    record = await getDelivery(seen, table);
  }
  throw new Unavailable(1);
}
