import { Duration } from 'aws-cdk-lib';
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';

const DEAD_LETTERS_KEPT = Duration.days(14);
/** AWS's advice for queues that Lambda reads. */
const MOST_RECEIVES = 5;
const VISIBILITY_PER_TIMEOUT = 6;
const BATCH = 10;

/**
 * A queue that a function works off, and what that gave up.
 *
 * @param timeout of the function; a message that failed comes again after six times that
 * @param mostReceives after which a message is given up
 */
export function workQueue(
  scope: Construct,
  id: string,
  timeout: Duration,
  mostReceives = MOST_RECEIVES,
): { queue: Queue; deadLetters: Queue } {
  const common = { encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true };
  const deadLetters = new Queue(scope, `${id}DeadLetters`, { ...common, retentionPeriod: DEAD_LETTERS_KEPT });
  const queue = new Queue(scope, `${id}Queue`, {
    ...common,
    visibilityTimeout: Duration.seconds(timeout.toSeconds() * VISIBILITY_PER_TIMEOUT),
    deadLetterQueue: { queue: deadLetters, maxReceiveCount: mostReceives },
  });
  return { queue, deadLetters };
}

/** Lets a function work a queue off. */
export function consume(lambda: Lambda, queue: Queue, maxConcurrency: number): void {
  lambda.addEventSource(
    new SqsEventSource(queue, { batchSize: BATCH, reportBatchItemFailures: true, maxConcurrency }),
  );
}
