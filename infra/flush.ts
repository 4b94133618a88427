import { Duration, Stack, Validations } from 'aws-cdk-lib';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { type EventBus, Rule } from 'aws-cdk-lib/aws-events';
import { SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { SOURCE } from '../lib/event-bus.ts';
import { LOSING_TYPES } from '../lib/lost-access.ts';
import { FLUSH_ROLE_PREFIX, LONGEST_CACHE_SECONDS } from '../lib/stage.schema.ts';
import { cacheArn } from './flush-role.ts';
import type { Monitoring } from './monitoring.ts';
import type { MakeFunction } from './rekey-stack.ts';
import { itemAccess } from './table-access.ts';

/** A batch tries again for 22 s; the rest is for the calls under way. */
const FLUSH_TIMEOUT = Duration.seconds(30);
/** AWS's advice for queues that Lambda reads. */
const VISIBILITY_TIMEOUT = Duration.seconds(6 * FLUSH_TIMEOUT.toSeconds());
/** Given up only when nothing can be in a cache any more. */
const MOST_RECEIVES = Math.ceil(LONGEST_CACHE_SECONDS / VISIBILITY_TIMEOUT.toSeconds());
const DEAD_LETTERS_KEPT = Duration.days(14);

/**
 * The authorizer has 10 s (infra/rekey-stack.ts): whatever it read before a change, it answers within that, and API
 * Gateway keeps it then. The second flush comes after it (docs/decisions/0006-two-flushes-for-each-loss-of-access.md).
 */
const SETTLED = Duration.seconds(15);

/** One flush is for all events of a batch. */
const BATCH = 1_000;
const BATCHING_WINDOW = Duration.seconds(1);
/** The least that Lambda takes. They would only wait for one another. */
const CONCURRENCY = 2;

/**
 * What whoever flushes needs: which stages there are, what is known of their flushes, their caches in this account, and
 * the roles of others.
 */
export function flushAccess(table: Table, consumerAccounts: readonly string[]): PolicyStatement[] {
  const stack = Stack.of(table);
  return [
    itemAccess(table, ['Query'], ['stages']),
    itemAccess(table, ['GetItem', 'UpdateItem'], ['flushes']),
    new PolicyStatement({
      actions: ['apigateway:DELETE'],
      resources: [cacheArn(stack, 'rest', '*', '*'), cacheArn(stack, 'http', '*', '*')],
    }),
    ...(consumerAccounts.length === 0
      ? []
      : [
          new PolicyStatement({
            actions: ['sts:AssumeRole'],
            resources: consumerAccounts.map(
              (account) => `arn:${stack.partition}:iam::${account}:role/${FLUSH_ROLE_PREFIX}*`,
            ),
          }),
        ]),
  ];
}

export interface FlushingProps {
  table: Table;
  bus: EventBus;
  lambda: MakeFunction;
  monitoring: Monitoring;
  consumerAccounts: readonly string[];
}

/**
 * Flushes what API Gateway keeps of keys that lost access, for each event that says so: at once, and again when no
 * authorizer can answer from an older read any more. Whoever revokes a key tries it first; this makes it certain.
 */
export class Flushing extends Construct {
  constructor(
    scope: Construct,
    id: string,
    { table, bus, lambda, monitoring, consumerAccounts }: FlushingProps,
  ) {
    super(scope, id);
    const flush = lambda(
      'flush-caches',
      'Flushes what API Gateway keeps of keys that may do less than before',
      {
        settings: [],
        access: [...flushAccess(table, consumerAccounts), itemAccess(table, ['PutItem'], ['heartbeats'])],
        environment: monitoring.environment,
      },
      { timeout: FLUSH_TIMEOUT },
    );
    const stack = Stack.of(this);
    const own = ['restapis', 'apis'].map(
      (of) => `arn:<AWS::Partition>:apigateway:<AWS::Region>::/${of}/*/stages/*/cache/authorizers`,
    );
    const others = consumerAccounts.map(
      (account) => `arn:<AWS::Partition>:iam::${account}:role/${FLUSH_ROLE_PREFIX}*`,
    );
    for (const arn of [...own, ...others]) {
      Validations.of(stack).acknowledge({
        id: `AwsSolutions-IAM5[Resource::${arn}]`,
        reason:
          'Which APIs are attached is known only when they are. It is about the caches of their authorizers, which may be emptied at any time.',
      });
    }
    const queues = { First: Duration.seconds(0), Second: SETTLED };
    for (const [name, deliveryDelay] of Object.entries(queues)) {
      const common = { encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true };
      const deadLetters = new Queue(this, `${name}DeadLetters`, {
        ...common,
        retentionPeriod: DEAD_LETTERS_KEPT,
      });
      const queue = new Queue(this, `${name}Queue`, {
        ...common,
        deliveryDelay,
        visibilityTimeout: VISIBILITY_TIMEOUT,
        deadLetterQueue: { queue: deadLetters, maxReceiveCount: MOST_RECEIVES },
      });
      flush.addEventSource(
        new SqsEventSource(queue, {
          batchSize: BATCH,
          maxBatchingWindow: BATCHING_WINDOW,
          maxConcurrency: CONCURRENCY,
          reportBatchItemFailures: true,
        }),
      );
      new Rule(this, `${name}Rule`, {
        description: `Events that can take access away, for the ${name.toLowerCase()} flush`,
        eventBus: bus,
        eventPattern: { source: [SOURCE], detailType: [...LOSING_TYPES] },
        targets: [new SqsQueue(queue, { deadLetterQueue: deadLetters })],
      });
      monitoring.deadLetters(
        `${name}FlushDeadLetters`,
        'Revocation',
        deadLetters,
        'Caches of API Gateway could not be flushed and were given up.',
        'flush-late',
      );
      monitoring.alarm({
        id: `${name}FlushQueueAge`,
        group: 'Revocation',
        metric: queue.metricApproximateAgeOfOldestMessage({
          statistic: 'Maximum',
          period: Duration.minutes(1),
        }),
        threshold: 120,
        description:
          'Nothing flushes the caches of API Gateway: revoked keys may go on where answers are kept.',
        runbook: 'flush-late',
      });
    }
    monitoring.alarm({
      id: 'FlushLag',
      group: 'Revocation',
      metric: monitoring.metric('flush_lag_seconds', { statistic: 'Maximum' }),
      threshold: 60,
      description:
        'Caches of API Gateway are flushed more than a minute late: revoked keys may go on where answers are kept.',
      runbook: 'flush-late',
      when: { evaluationPeriods: 2, datapointsToAlarm: 1 },
    });
    monitoring.graph('Revocation', 'Stages left unflushed', [
      monitoring.metric('flushes_pending', { statistic: 'Sum' }),
    ]);
  }
}
