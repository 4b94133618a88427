import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { InvokeProblem } from '../lambda/service.ts';
import type { Message, MessageAttribute, Queue } from '../sqs/queue.ts';
import { md5OfAttributes, systemAttributes } from '../sqs/service.ts';
import { failedItems } from './stream-source.ts';

export interface QueueMapping {
  queue: Queue;
  functionArn: string;
  region: string;
  batchSize: number;
  windowSeconds: number;
  /** Invocations at once. */
  concurrency: number;
  reportsItems: boolean;
  isWanted(record: QueueRecord): boolean;
}

/** As a function gets it: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
export interface QueueRecord {
  messageId: string;
  receiptHandle: string;
  body: string;
  attributes: Record<string, string>;
  messageAttributes: Record<string, unknown>;
  md5OfBody: string;
  md5OfMessageAttributes?: string;
  eventSource: 'aws:sqs';
  eventSourceARN: string;
  awsRegion: string;
}

/** What runs longer when the stack stops is not waited for: its messages come back after the next start. */
const STOPS_WITHIN_MS = 2_000;

/** How long an idle queue is waited for at a time. */
const IDLE_MS = 20_000;

/** Messages of an invocation's payload: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, "Batching behavior". */
const LARGEST_BATCH = 5 * 1024 * 1024;

/**
 * Feeds a function from a queue. What it fails on, as a whole or by `ReportBatchItemFailures`, comes back when its
 * visibility time-out is over; the rest is deleted.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
 */
export function startQueueSource(
  mapping: QueueMapping,
  world: {
    clock: Clock;
    invoke(functionArn: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
    log(line: string): void;
  },
): { stop(): Promise<void> } {
  const { queue } = mapping;
  const { clock, log } = world;
  let isStopped = false;
  const running = new Set<Promise<void>>();

  async function poll(): Promise<void> {
    while (!isStopped) {
      if (running.size >= mapping.concurrency) {
        await Promise.race(running);
        continue;
      }
      await queue.arrival(IDLE_MS);
      const messages = isStopped ? [] : await take();
      if (messages.length === 0) continue;
      const work = process(messages)
        .catch((error: Error) => log(`${queue.settings.arn}: ${error.message}`))
        .finally(() => running.delete(work));
      running.add(work);
    }
  }

  /** A batch: what is there, or with a window what comes until it is over or the batch is full. */
  async function take(): Promise<Message[]> {
    const until = clock.now() + mapping.windowSeconds * 1000;
    const taken: Message[] = [];
    let size = 0;
    for (;;) {
      const more = queue.receive(Math.min(10, mapping.batchSize - taken.length));
      taken.push(...more);
      for (const { body } of more) size += Buffer.byteLength(body);
      const isFull = taken.length >= mapping.batchSize || size >= LARGEST_BATCH;
      const left = until - clock.now();
      if (isFull || isStopped || (more.length === 0 && (left <= 0 || taken.length === 0))) return taken;
      if (more.length === 0) await queue.arrival(left);
    }
  }

  async function process(messages: Message[]): Promise<void> {
    const records = messages.map(recordOf);
    const wanted = records.filter(mapping.isWanted);
    // A message that the filter does not want is deleted.
    for (const { receiptHandle } of records.filter((record) => !wanted.includes(record)))
      queue.delete(receiptHandle);
    if (wanted.length === 0) return;
    let answer: { payload: unknown; functionError?: string };
    try {
      answer = await world.invoke(mapping.functionArn, { Records: wanted });
    } catch (error) {
      if (!(error instanceof InvokeProblem)) throw error;
      log(`${queue.settings.arn}: ${error.message}`);
      return;
    }
    if (answer.functionError !== undefined) return;
    const failed = mapping.reportsItems
      ? failedItems(
          answer.payload,
          wanted.map(({ messageId }) => messageId),
        )
      : new Set<string>();
    if (failed === 'all') return;
    for (const { messageId, receiptHandle } of wanted)
      if (!failed.has(messageId)) queue.delete(receiptHandle);
  }

  const recordOf = (message: Message): QueueRecord => {
    const { attributes } = message;
    return {
      messageId: message.id,
      receiptHandle: message.receipt!,
      body: message.body,
      attributes: systemAttributes(message),
      messageAttributes: Object.fromEntries(
        Object.entries(attributes).map(
          ([name, { DataType, StringValue, BinaryValue }]: [string, MessageAttribute]) => [
            name,
            {
              ...(StringValue !== undefined && { stringValue: StringValue }),
              ...(BinaryValue !== undefined && { binaryValue: BinaryValue }),
              stringListValues: [],
              binaryListValues: [],
              dataType: DataType,
            },
          ],
        ),
      ),
      md5OfBody: hash('md5', message.body, 'hex'),
      ...(Object.keys(attributes).length > 0 && { md5OfMessageAttributes: md5OfAttributes(attributes) }),
      eventSource: 'aws:sqs',
      eventSourceARN: queue.settings.arn,
      awsRegion: mapping.region,
    };
  };

  const polling = poll();
  return {
    async stop() {
      isStopped = true;
      queue.wake();
      await polling;
      await Promise.race([Promise.all(running), sleep(STOPS_WITHIN_MS, undefined, { ref: false })]);
    },
  };
}
