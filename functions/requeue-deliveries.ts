import type { Context, ScheduledEvent } from 'aws-lambda';
import { requeueDeliveries } from '../lib/requeue-deliveries.ts';
import { putHeartbeat } from '../lib/status-table.ts';

/** Kept for the calls that are under way. */
const MARGIN_MS = 10_000;

/** Every minute: sends messages for the webhook deliveries that are due. */
export const handler = async (_event: ScheduledEvent, context: Context): Promise<{ sent: number }> => {
  const until = Date.now() + context.getRemainingTimeInMillis() - MARGIN_MS;
  const sent = await requeueDeliveries(Date.now, until);
  if (sent > 0) console.info(JSON.stringify({ level: 'info', event: 'deliveries_requeued', sent }));
  await putHeartbeat('delivery', 0, Date.now());
  return { sent };
};
