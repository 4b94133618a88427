import { Duration } from 'aws-cdk-lib';
import { TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { type EventBus, Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { SOURCE } from '../lib/event-bus.ts';
import { BY_DUE, BY_LINEAGE } from '../lib/table-layout.ts';
import { LISTED, REVOCATION } from './key-attributes.ts';
import type { Monitoring } from './monitoring.ts';
import type { MakeFunction, Needs } from './rekey-stack.ts';
import type { RekeySettings } from './settings.ts';
import { eventRecording, indexAccess, itemAccess } from './table-access.ts';
import { consume, workQueue } from './work-queue.ts';

export interface LeaksProps {
  table: Table;
  bus: EventBus;
  lambda: MakeFunction;
  monitoring: Monitoring;
  settings: RekeySettings;
}

/** A message has twenty keys, and each is two writes. */
const ACT_TIMEOUT = Duration.seconds(60);
/** Everybody may fill this queue; it must not take the account's concurrency. */
const ACT_CONCURRENCY = 5;

/** What goes on when a key has leaked: docs/leaks.md. */
export class Leaks extends Construct {
  readonly #props: LeaksProps;
  readonly #reports: Queue;

  constructor(scope: Construct, id: string, props: LeaksProps) {
    super(scope, id);
    this.#props = props;
    const { table, bus, lambda, monitoring, settings } = props;

    const { queue, deadLetters } = workQueue(this, 'Reports', ACT_TIMEOUT);
    this.#reports = queue;
    const act = lambda(
      'act-on-leaks',
      'Revokes keys that were reported as leaked, and tells their owners',
      {
        settings: ['retention'],
        access: [
          itemAccess(table, ['GetItem'], ['key_*']),
          itemAccess(table, ['UpdateItem'], ['key_*'], [...REVOCATION, 'digest', 'leaked_at']),
          eventRecording(table),
        ],
        environment: { REKEY_LEAKED_KEYS: settings.leakedKeys },
      },
      { timeout: ACT_TIMEOUT },
    );
    consume(act, queue, ACT_CONCURRENCY);
    monitoring.deadLetters(
      'LeakReportDeadLetters',
      'Leaks',
      deadLetters,
      'Reports of leaked keys were given up: keys that are public may still work.',
      'leak-reports',
    );
    const finish = lambda(
      'finish-compromises',
      'Goes on with compromises that a request began and did not finish',
      {
        settings: ['retention'],
        access: [
          indexAccess(table, BY_DUE),
          indexAccess(table, BY_LINEAGE, LISTED),
          itemAccess(table, ['GetItem'], ['key_*', 'compromise_*']),
          itemAccess(table, ['UpdateItem'], ['key_*'], REVOCATION),
          itemAccess(table, ['PutItem', 'DeleteItem'], ['compromise_*']),
          eventRecording(table),
        ],
        environment: monitoring.environment,
      },
      { timeout: Duration.minutes(2) },
    );
    new Rule(this, 'EveryMinute', {
      description: 'Goes on with compromises that are not finished',
      schedule: Schedule.rate(Duration.minutes(1)),
      targets: [new LambdaFunction(finish, { retryAttempts: 0 })],
    });
    new Rule(this, 'Reuse', {
      description: 'Ends the line of a key that was used again, where the key is to do that',
      eventBus: bus,
      eventPattern: {
        source: [SOURCE],
        detailType: ['api_key.reuse_detected'],
        detail: { data: { api_key: { on_reuse: ['revoke_family'] } } },
      },
      targets: [new LambdaFunction(finish)],
    });
    monitoring.alarm({
      id: 'CompromiseLate',
      group: 'Leaks',
      metric: monitoring.metric('oldest_compromise_seconds', { statistic: 'Maximum' }),
      threshold: 300,
      description: 'Keys that are known to be compromised are not all revoked after five minutes.',
      runbook: 'compromise-late',
      // It says every minute how late it is, if only 0.
      when: { treatMissingData: TreatMissingData.BREACHING },
    });
  }

  /** What the operations that take reports may do: none of them may end a key. */
  operationNeeds(): Record<string, Needs> {
    const { table, settings } = this.#props;
    const sending = new PolicyStatement({
      actions: ['sqs:SendMessage'],
      resources: [this.#reports.queueArn],
    });
    const environment = { REKEY_LEAKS_QUEUE_URL: this.#reports.queueUrl };
    return {
      'report-leaks': { settings: ['prefix'], access: [sending], environment },
      'report-github-leaks': {
        settings: ['prefix'],
        access: [itemAccess(table, ['GetItem'], ['key_*']), sending],
        environment: { ...environment, REKEY_GITHUB_KEYS_URL: settings.githubKeysUrl },
      },
    };
  }
}
