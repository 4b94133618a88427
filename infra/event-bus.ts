import { fileURLToPath } from 'node:url';
import { CfnOutput, Duration, Stack, Validations } from 'aws-cdk-lib';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { CfnEventBusPolicy, EventBus } from 'aws-cdk-lib/aws-events';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { FilterCriteria, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { DynamoEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { AT_ONCE, type Monitoring } from './monitoring.ts';
import { type FunctionDefaults, TypeScriptFunction } from './typescript-function.ts';

/** What those who are let in may do: rules of their own and their targets. Never put events, never touch the bus. */
const MANAGE_RULES = [
  'events:PutRule',
  'events:DeleteRule',
  'events:DescribeRule',
  'events:DisableRule',
  'events:EnableRule',
  'events:PutTargets',
  'events:RemoveTargets',
];

/** Sending is begun for at most 40 s (lib/event-bus.ts); the last call has its own limits. */
const PUBLISH_TIMEOUT = Duration.seconds(60);

export interface RekeyEventBusProps {
  /** Accounts that may make rules on the bus. */
  accountIds: string[];
  /** Organizations of which every account may. */
  organizationIds: string[];
}

/** The bus that every event of the trail goes over. Other teams make their rules on it. */
export class RekeyEventBus extends Construct {
  readonly bus: EventBus;

  constructor(scope: Construct, id: string, { accountIds, organizationIds }: RekeyEventBusProps) {
    super(scope, id);
    const stack = Stack.of(this);
    this.bus = new EventBus(this, 'Bus', {
      // A name that a person can write in a rule of another account.
      eventBusName: `${stack.stackName}-events`,
      description: 'Events of API keys and webhook endpoints, by Rekey',
    });

    // An account can only change its own rules: events:creatorAccount is absent when a rule is made, and its maker's
    // afterwards. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-example-policy-same-account-creator.html
    const ownRules = { 'events:creatorAccount': '${aws:PrincipalAccount}' };
    const rules = stack.formatArn({
      service: 'events',
      resource: 'rule',
      resourceName: `${this.bus.eventBusName}/*`,
    });
    const allow = (statementId: string, who: Record<string, unknown>) =>
      new CfnEventBusPolicy(this, statementId, {
        eventBusName: this.bus.eventBusName,
        statementId,
        statement: { Sid: statementId, Effect: 'Allow', Action: MANAGE_RULES, Resource: rules, ...who },
      });
    for (const accountId of accountIds) {
      allow(`RulesOfAccount${accountId}`, {
        Principal: { AWS: `arn:${stack.partition}:iam::${accountId}:root` },
        Condition: { StringEqualsIfExists: ownRules },
      });
    }
    for (const organizationId of organizationIds) {
      allow(`RulesOfOrganization${organizationId.replaceAll('-', '')}`, {
        Principal: '*',
        Condition: {
          StringEquals: { 'aws:PrincipalOrgID': organizationId },
          StringEqualsIfExists: ownRules,
        },
      });
    }

    new CfnOutput(stack, 'EventBusName', { value: this.bus.eventBusName });
    new CfnOutput(stack, 'EventBusArn', {
      value: this.bus.eventBusArn,
      exportName: `${stack.stackName}-EventBusArn`,
    });
  }
}

export interface EventPublisherProps {
  table: Table;
  bus: EventBus;
  monitoring: Monitoring;
  logs: FunctionDefaults;
}

/**
 * Puts what is recorded in the table on the bus: the table's stream, a function, and a queue for what could not be
 * published. One batch of a shard at a time, so events of one key stay in order.
 */
export class EventPublisher extends Construct {
  constructor(scope: Construct, id: string, { table, bus, monitoring, logs }: EventPublisherProps) {
    super(scope, id);
    const unpublished = new Queue(this, 'Unpublished', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    Validations.of(unpublished).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'It is the failure destination of the publisher itself; nothing reads it but people.',
    });

    const publish = new TypeScriptFunction(Stack.of(this), 'PublishEvents', {
      ...logs,
      description: 'Puts recorded events on the bus',
      entry: fileURLToPath(new URL('../functions/publish-events.ts', import.meta.url)),
      environment: {
        REKEY_EVENT_BUS_NAME: bus.eventBusName,
        REKEY_UNPUBLISHED_QUEUE_URL: unpublished.queueUrl,
        ...monitoring.environment,
      },
      timeout: PUBLISH_TIMEOUT,
      access: [
        new PolicyStatement({ actions: ['events:PutEvents'], resources: [bus.eventBusArn] }),
        // For what can never be published. The mapping's own messages, of batches that were given up, need the same.
        new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [unpublished.queueArn] }),
      ],
    });

    // Only events: an INSERT to publish, and what no event should ever see but its end by TTL.
    const ofEvent = { Keys: { sk: { S: [{ prefix: 'evt_' }] } } };
    publish.addEventSource(
      new DynamoEventSource(table, {
        // LATEST can miss what is written while the mapping is being made.
        startingPosition: StartingPosition.TRIM_HORIZON,
        batchSize: 100,
        // More than one would let a later event of a key overtake.
        parallelizationFactor: 1,
        reportBatchItemFailures: true,
        bisectBatchOnError: true,
        // With pauses that grow to a minute or so these are hours: longer than most outages, shorter than the stream's day.
        retryAttempts: 100,
        maxRecordAge: Duration.hours(23),
        // Not SqsDlq, which grants more than sending.
        onFailure: { bind: () => ({ destination: unpublished.queueArn }) },
        filters: [
          FilterCriteria.filter({ eventName: ['INSERT', 'MODIFY'], dynamodb: ofEvent }),
          FilterCriteria.filter({
            eventName: ['REMOVE'],
            dynamodb: ofEvent,
            userIdentity: { principalId: [{ exists: false }] },
          }),
        ],
      }),
    );

    monitoring.alarm({
      id: 'PublishLag',
      group: 'Events',
      metric: monitoring.metric('publish_lag_seconds', { statistic: 'Maximum' }),
      threshold: 300,
      description: 'Events reach the bus more than five minutes after they happened.',
      runbook: 'publish-lag',
    });
    monitoring.alarm({
      id: 'IteratorAge',
      group: 'Events',
      metric: publish.metric('IteratorAge', { statistic: 'Maximum', period: Duration.minutes(1) }),
      threshold: Duration.minutes(5).toMilliseconds(),
      description: 'The publisher is more than five minutes behind the stream of the table.',
      runbook: 'publish-lag',
    });
    monitoring.deadLetters(
      'UnpublishedEvents',
      'Events',
      unpublished,
      'Events could not be published and were given up.',
      'unpublished-events',
    );
    monitoring.alarm({
      id: 'EventTampered',
      group: 'Events',
      metric: monitoring.metric('event_tampered', { statistic: 'Sum' }),
      description: 'A recorded event was changed or deleted by something else than its retention.',
      runbook: 'event-tampered',
      when: AT_ONCE,
    });
    monitoring.graph('Events', 'Published', [monitoring.metric('events_published', { statistic: 'Sum' })]);
    Validations.of(publish.role!).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'dynamodb:ListStreams and X-Ray have no resources.',
    });
  }
}
