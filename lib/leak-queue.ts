import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import { leaksQueueUrl } from './environment.ts';
import type { LeakReport } from './leak.ts';
import { Unavailable } from './problem.ts';

/** SendMessageBatch takes no more. */
const MOST_IN_BATCH = 10;
/** Keys of one message: done well within the function's time. */
export const MOST_IN_MESSAGE = 20;
const LONGEST_CALL = 6_000;

let opened: SQSClient | undefined;

/**
 * Hands reports over, in order: what is not taken is reported to the caller, who sends all of it again. Doing a report
 * twice changes nothing.
 *
 * @throws Unavailable when one was not taken
 */
export async function sendReports(reports: readonly LeakReport[]): Promise<void> {
  opened ??= new SQSClient({
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 3_000, throwOnRequestTimeout: true },
  });
  for (let at = 0; at < reports.length; at += MOST_IN_BATCH) {
    const command = new SendMessageBatchCommand({
      QueueUrl: leaksQueueUrl(),
      Entries: reports
        .slice(at, at + MOST_IN_BATCH)
        .map((report, i) => ({ Id: String(i), MessageBody: JSON.stringify(report) })),
    });
    const { Failed = [] } = await opened
      .send(command, { abortSignal: AbortSignal.timeout(LONGEST_CALL) })
      .catch((error: unknown) => {
        throw new Unavailable(1, error);
      });
    if (Failed.length > 0)
      throw new Unavailable(1, new Error(`SQS did not take a message: ${Failed[0]?.Code}`));
  }
}
