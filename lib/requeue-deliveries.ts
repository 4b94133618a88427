import { DELIVERY_SHARDS, putOff } from './delivery.ts';
import { type SendDeliveries, sendDeliveries } from './delivery-queue.ts';
import { dueDeliveries, postpone } from './delivery-table.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

const PAGE = 100;

/**
 * Sends messages for the deliveries that are due by the index: those whose wait was longer than SQS allows, and those
 * whose message got lost. It goes on until nothing is due or the time is over; the next minute goes on where it was.
 *
 * @param until epoch milliseconds after which it begins no other page
 * @returns how many were sent
 */
export async function requeueDeliveries(
  now: () => number,
  until: number,
  { table = environmentTable(), send = sendDeliveries }: { table?: KeyTable; send?: SendDeliveries } = {},
): Promise<number> {
  const counts = await Promise.all(DELIVERY_SHARDS.map((shard) => requeueShard(shard)));
  return counts.reduce((sum, count) => sum + count, 0);

  async function requeueShard(shard: string): Promise<number> {
    let sent = 0;
    while (now() < until) {
      const due = await dueDeliveries(shard, now(), PAGE, table);
      const taken = await Promise.all(
        due.map(async (delivery) => ((await postpone(delivery, putOff(now()), table)) ? [delivery] : [])),
      );
      const ours = taken.flat();
      // In the fast lane, which knows the endpoint and hands over what is not for it.
      await send(ours.map(({ webhook_endpoint_id, id }) => ({ webhook_endpoint_id, id, lane: 'fast' })));
      sent += ours.length;
      // The index lags behind: what it showed and was not ours it may go on to show.
      if (due.length < PAGE || ours.length === 0) break;
    }
    return sent;
  }
}
