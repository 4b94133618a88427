import { Duration } from 'aws-cdk-lib';
import { TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { type EventBus, Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import { SOURCE } from '../lib/event-bus.ts';
import { BY_DUE, BY_LINEAGE } from '../lib/table-layout.ts';
import type { Monitoring } from './monitoring.ts';
import { LISTED, type MakeFunction, REVOCATION } from './rekey-stack.ts';
import { eventRecording, indexAccess, itemAccess } from './table-access.ts';

export interface LeaksProps {
  table: Table;
  bus: EventBus;
  lambda: MakeFunction;
  monitoring: Monitoring;
}

/** What goes on when a key has leaked: docs/leaks.md. */
export class Leaks extends Construct {
  constructor(scope: Construct, id: string, { table, bus, lambda, monitoring }: LeaksProps) {
    super(scope, id);
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
}
