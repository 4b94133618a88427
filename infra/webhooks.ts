import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { type EventBus, Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction, SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { CANARY_OWNER } from '../lib/canary.ts';
import { SOURCE } from '../lib/event-bus.ts';
import { BY_DUE, WEBHOOKS_BY_OWNER } from '../lib/table-layout.ts';
import type { Monitoring } from './monitoring.ts';
import type { MakeFunction, Needs } from './rekey-stack.ts';
import type { RekeySettings } from './settings.ts';
import { eventRecording, indexAccess, itemAccess } from './table-access.ts';
import { consume, workQueue } from './work-queue.ts';

export interface WebhooksProps {
  table: Table;
  bus: EventBus;
  lambda: MakeFunction;
  monitoring: Monitoring;
  settings: RekeySettings;
}

/** An attempt has 3 s in the fast lane, and five of a batch of ten are made at a time. */
const FAST_TIMEOUT = Duration.seconds(30);
/** 15 s in the slow one. */
const SLOW_TIMEOUT = Duration.seconds(60);
/** Invocations at the same time. What is slow must not take the account's concurrency. */
const SLOW_CONCURRENCY = 10;
const FAST_CONCURRENCY = 50;
const FAN_OUT_CONCURRENCY = 10;
/**
 * An hour. What is given up before it was fanned out, reaches nobody until somebody moves it back, and a table that does not
 * answer for a quarter of an hour is reason enough for five. Deliveries are found again in the table by themselves.
 */
const FAN_OUT_RECEIVES = 20;

/**
 * Webhooks: events of the bus go to a queue, are fanned out to one message for each endpoint, and are delivered by
 * two functions, so that slow endpoints hold up nobody. docs/webhooks.md shows the way of an event.
 */
export class Webhooks extends Construct {
  readonly #props: WebhooksProps;
  readonly #rootSecret: Secret;
  readonly #deliveries: Queue;
  readonly #slowDeliveries: Queue;

  constructor(scope: Construct, id: string, props: WebhooksProps) {
    super(scope, id);
    this.#props = props;
    const { table, bus, lambda, settings } = props;

    this.#rootSecret = new Secret(this, 'RootSecret', {
      description: 'The secrets of all webhook endpoints are derived from it: never change it',
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
      removalPolicy: settings.mode === 'production' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    Validations.of(this.#rootSecret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'Another value would change every endpoint secret at once: docs/decisions/0004.',
    });

    const events = workQueue(this, 'Events', FAST_TIMEOUT, FAN_OUT_RECEIVES);
    const deliveries = workQueue(this, 'Deliveries', FAST_TIMEOUT);
    const slowDeliveries = workQueue(this, 'SlowDeliveries', SLOW_TIMEOUT);
    this.#deliveries = deliveries.queue;
    this.#slowDeliveries = slowDeliveries.queue;

    const fanOut = lambda(
      'fan-out-event',
      'Gives each webhook endpoint that listens to an event its delivery',
      {
        settings: [],
        access: [
          indexAccess(table, WEBHOOKS_BY_OWNER),
          itemAccess(table, ['PutItem'], ['deliveries_*']),
          this.#sending(),
        ],
        environment: this.#queueVariables(),
      },
      { timeout: FAST_TIMEOUT },
    );
    consume(fanOut, events.queue, FAN_OUT_CONCURRENCY);
    new Rule(this, 'Every', {
      description: 'Every event, for the webhook endpoints',
      eventBus: bus,
      // The canary's keys come and go all day, and are nobody's.
      eventPattern: { source: [SOURCE], detail: { owner_id: [{ 'anything-but': [CANARY_OWNER] }] } },
      targets: [new SqsQueue(events.queue, { deadLetterQueue: events.deadLetters })],
    });

    const deliver = lambda('deliver-webhook', 'Sends webhooks: the fast lane', this.#deliveryNeeds(), {
      timeout: FAST_TIMEOUT,
    });
    consume(deliver, this.#deliveries, FAST_CONCURRENCY);
    const deliverSlow = lambda(
      'deliver-slow-webhook',
      'Sends webhooks to endpoints that answer slowly',
      this.#deliveryNeeds(),
      { timeout: SLOW_TIMEOUT },
    );
    consume(deliverSlow, this.#slowDeliveries, SLOW_CONCURRENCY);

    const requeue = lambda(
      'requeue-deliveries',
      'Sends messages for the webhook deliveries that are due',
      {
        settings: [],
        access: [
          indexAccess(table, BY_DUE),
          itemAccess(table, ['UpdateItem'], ['deliveries_*'], ['pk', 'sk', 'next_action_at']),
          itemAccess(table, ['PutItem'], ['heartbeats']),
          this.#sending(),
        ],
        environment: this.#queueVariables(),
      },
      { timeout: SLOW_TIMEOUT },
    );
    new Rule(this, 'EveryMinute', {
      description: 'Sends the webhook deliveries that are due',
      schedule: Schedule.rate(Duration.minutes(1)),
      targets: [new LambdaFunction(requeue, { retryAttempts: 0 })],
    });

    this.#alarms(requeue, { events, deliveries, slowDeliveries });
  }

  #alarms(requeue: Lambda, queues: Record<string, { deadLetters: Queue }>): void {
    const { monitoring } = this.#props;
    for (const [name, { deadLetters }] of Object.entries(queues)) {
      monitoring.deadLetters(
        `Webhook${name[0]!.toUpperCase()}${name.slice(1)}DeadLetters`,
        'Webhooks',
        deadLetters,
        'Messages of webhooks were given up.',
        'webhook-dead-letters',
      );
    }
    const attempts = (name: string) => monitoring.metric(name, { statistic: 'Sum' });
    monitoring.alarm({
      id: 'DeliveryFailures',
      group: 'Webhooks',
      metric: new MathExpression({
        // One endpoint that is down is its owner's affair; when most attempts fail, it is ours.
        expression: 'IF(FILL(failed, 0) >= 20 AND FILL(failed, 0) > FILL(succeeded, 0), 1, 0)',
        label: 'most webhooks fail',
        period: Duration.minutes(1),
        usingMetrics: {
          failed: attempts('deliveries_failed'),
          succeeded: attempts('deliveries_succeeded'),
        },
      }),
      description: 'Most webhooks fail.',
      runbook: 'webhook-delivery-failures',
    });
    monitoring.alarm({
      id: 'RequeueErrors',
      group: 'Webhooks',
      metric: requeue.metricErrors({ period: Duration.minutes(1) }),
      description: 'Webhook deliveries that wait are not sent.',
      runbook: 'webhook-requeue-errors',
    });
    monitoring.graph('Webhooks', 'Attempts', [
      attempts('deliveries_succeeded'),
      attempts('deliveries_failed'),
      attempts('deliveries_moved'),
    ]);
  }

  /** What the operations on webhook endpoints may do; docs/storage.md says why. */
  operationNeeds(): Record<string, Needs> {
    const { table } = this.#props;
    const read = itemAccess(table, ['GetItem'], ['whe_*']);
    const change = itemAccess(table, ['UpdateItem'], ['whe_*']);
    const count = itemAccess(table, ['UpdateItem'], ['webhooks_*']);
    const list = itemAccess(table, ['Query'], ['deliveries_*']);
    const restart = itemAccess(table, ['GetItem', 'UpdateItem'], ['deliveries_*']);
    const record = eventRecording(table);
    const signCursors = itemAccess(table, ['GetItem', 'PutItem'], ['secret_cursor']);
    const queues = this.#queueVariables();
    return {
      'create-webhook-endpoint': {
        settings: [],
        access: [itemAccess(table, ['GetItem', 'PutItem'], ['whe_*']), count, record, this.#readingRoot()],
        environment: { ...this.#secretVariable(), ...this.#urlVariable() },
      },
      'list-webhook-endpoints': {
        settings: [],
        access: [indexAccess(table, WEBHOOKS_BY_OWNER), signCursors],
      },
      'get-webhook-endpoint': { settings: [], access: [read] },
      'update-webhook-endpoint': {
        settings: [],
        access: [read, change, record],
        environment: this.#urlVariable(),
      },
      'delete-webhook-endpoint': {
        settings: [],
        access: [itemAccess(table, ['GetItem', 'DeleteItem'], ['whe_*']), count, record],
      },
      'rotate-webhook-secret': {
        settings: [],
        access: [read, change, record, this.#readingRoot()],
        environment: this.#secretVariable(),
      },
      'test-webhook-endpoint': {
        settings: [],
        access: [read, itemAccess(table, ['PutItem'], ['deliveries_*']), this.#sending()],
        environment: queues,
      },
      'list-webhook-deliveries': { settings: [], access: [read, list, signCursors] },
      'redeliver-webhook': {
        settings: [],
        access: [read, restart, this.#sending()],
        environment: queues,
      },
      'redeliver-missed-webhooks': {
        settings: [],
        access: [read, list, restart, signCursors, this.#sending()],
        environment: queues,
      },
    };
  }

  #deliveryNeeds(): Needs {
    const { table } = this.#props;
    return {
      settings: [],
      access: [
        itemAccess(table, ['GetItem'], ['whe_*', 'deliveries_*', 'events_*']),
        itemAccess(table, ['UpdateItem'], ['whe_*', 'deliveries_*']),
        // An endpoint that is disabled.
        eventRecording(table),
        this.#readingRoot(),
        this.#sending(),
      ],
      environment: {
        ...this.#secretVariable(),
        ...this.#urlVariable(),
        ...this.#queueVariables(),
        ...this.#props.monitoring.environment,
      },
    };
  }

  #sending(): PolicyStatement {
    return new PolicyStatement({
      actions: ['sqs:SendMessage'],
      resources: [this.#deliveries.queueArn, this.#slowDeliveries.queueArn],
    });
  }

  #readingRoot(): PolicyStatement {
    return new PolicyStatement({
      actions: ['secretsmanager:GetSecretValue'],
      resources: [this.#rootSecret.secretArn],
    });
  }

  #queueVariables() {
    return {
      REKEY_DELIVERIES_QUEUE_URL: this.#deliveries.queueUrl,
      REKEY_SLOW_DELIVERIES_QUEUE_URL: this.#slowDeliveries.queueUrl,
    };
  }

  #secretVariable() {
    return { REKEY_WEBHOOK_ROOT_SECRET_ARN: this.#rootSecret.secretArn };
  }

  /** Set in development only: absent, webhooks go to public addresses over https and nowhere else. */
  #urlVariable(): Record<string, string> {
    return this.#props.settings.allowLoopbackHttpWebhooks
      ? { REKEY_ALLOW_LOOPBACK_HTTP_WEBHOOKS: 'true' }
      : {};
  }
}
