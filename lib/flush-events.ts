import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { z } from 'zod';
import { logFailure } from './error-log.ts';
import { Event } from './event.schema.ts';
import { type FlushTools, flushStage } from './flush.ts';
import { flushInterval } from './flush-state.ts';
import { needsFlush } from './lost-access.ts';
import { readStages } from './stage-table.ts';
import { environmentTable } from './table-client.ts';

/** Stages that are flushed at the same time. Each one's calls are few and short. */
const CONCURRENCY = 4;

/** What the rule puts on the queue: the bus's envelope, with our event in it. One that was too large has no changes. */
const BusEvent = z.object({
  detail: Event.pick({ type: true, occurred_at: true }).extend({ changes: Event.shape.changes.optional() }),
});

interface Wanted {
  record: SQSRecord;
  /** Epoch milliseconds. */
  occurred: number;
  sent: number;
  received: number;
}

export interface FlushReport {
  /** Messages to be received again. */
  response: SQSBatchResponse;
  /** How long the longest waiting event has been waiting, but for the wait that its queue imposes. Absent: none wants anything. */
  lag_seconds?: number;
  /** From the newest event to its message: how long it takes to be published. */
  publish_lag_seconds?: number;
  /** Stages that are not flushed. */
  pending: number;
}

const timeOf = (record: SQSRecord, name: 'SentTimestamp' | 'ApproximateFirstReceiveTimestamp', now: number) =>
  Number(record.attributes[name]) || now;

/**
 * Flushes the caches for a batch of events that took access away, once for all of them. A flush that began after the
 * message was first received is late enough: the event was written before it was sent. A message that is received again
 * finds flushed what was flushed for it.
 *
 * @param until epoch milliseconds after which nothing is tried again
 */
export async function flushForEvents(
  { Records }: Pick<SQSEvent, 'Records'>,
  until: number,
  tools: FlushTools = {},
): Promise<FlushReport> {
  const { table = environmentTable(), now = Date.now } = tools;
  const unreadable: SQSRecord[] = [];
  const read = Records.flatMap((record): (Wanted & { wants: boolean })[] => {
    try {
      const { detail } = BusEvent.parse(JSON.parse(record.body));
      return [
        {
          record,
          occurred: Date.parse(detail.occurred_at),
          sent: timeOf(record, 'SentTimestamp', now()),
          received: timeOf(record, 'ApproximateFirstReceiveTimestamp', now()),
          wants: needsFlush(detail, now()),
        },
      ];
    } catch (error) {
      logFailure('flush_message_unreadable', error, { message_id: record.messageId });
      unreadable.push(record);
      return [];
    }
  });
  const wanted = read.filter(({ wants }) => wants);
  const pending = wanted.length === 0 ? 0 : await flushAll(Math.max(...wanted.map((one) => one.received)));
  const again = [...unreadable, ...(pending > 0 ? wanted.map(({ record }) => record) : [])];
  const newest = read.toSorted((a, b) => b.occurred - a.occurred)[0];
  return {
    response: { batchItemFailures: again.map(({ messageId }) => ({ itemIdentifier: messageId })) },
    pending,
    ...(wanted.length > 0 && {
      lag_seconds: Math.max(...wanted.map(lagOf)),
    }),
    ...(newest && { publish_lag_seconds: Math.max(0, newest.sent - newest.occurred) / 1000 }),
  };

  function lagOf({ occurred, sent, received }: Wanted): number {
    return Math.max(0, sent - occurred + now() - received) / 1000;
  }

  async function flushAll(need: number): Promise<number> {
    const stages = (await readStages(now(), table)).filter(({ is_cached }) => is_cached);
    const limits = { until, interval: flushInterval(stages.length) };
    const queue = stages.values();
    let pending = 0;
    const work = async (): Promise<void> => {
      for (const stage of queue) {
        const outcome = await flushStage(stage, need, limits, tools).catch((error: unknown) => {
          logFailure('flush_failed', error, { api_id: stage.api_id, stage: stage.stage });
          return 'pending';
        });
        if (outcome === 'pending') pending += 1;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    return pending;
  }
}
