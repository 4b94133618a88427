import { Duration } from 'aws-cdk-lib';
import { TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { type EventBus, Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { UNFINISHED_SWEEP } from '../lib/unfinished-sweep.ts';
import { AT_ONCE, type Monitoring } from './monitoring.ts';

/** Thousands of keys are done in it; the sweep stops half a minute before (functions/sweep-keys.ts). */
export const SWEEP_TIMEOUT = Duration.minutes(5);

export interface SweepProps {
  sweepKeys: Lambda;
  /** Where a sweep that could not finish asks for the next one. */
  bus: EventBus;
  /** Minutes from one sweep to the next. */
  intervalMinutes: number;
  monitoring: Monitoring;
}

/** What starts the sweep, and what tells that it is late. */
export class Sweep extends Construct {
  constructor(scope: Construct, id: string, { sweepKeys, bus, intervalMinutes, monitoring }: SweepProps) {
    super(scope, id);
    const interval = Duration.minutes(intervalMinutes);
    for (const [name, value] of Object.entries(monitoring.environment)) sweepKeys.addEnvironment(name, value);

    new Rule(this, 'Schedule', {
      description: 'Starts the sweep of keys that have something due',
      schedule: Schedule.rate(interval),
      targets: [new LambdaFunction(sweepKeys)],
    });
    const { source, detailType } = UNFINISHED_SWEEP;
    new Rule(this, 'Unfinished', {
      description: 'Starts the next sweep at once when one could not finish',
      eventBus: bus,
      eventPattern: { source: [source], detailType: [detailType] },
      targets: [new LambdaFunction(sweepKeys)],
    });
    sweepKeys.addEnvironment('REKEY_EVENT_BUS_NAME', bus.eventBusName);
    sweepKeys.addToRolePolicy(
      new PolicyStatement({
        actions: ['events:PutEvents'],
        resources: [bus.eventBusArn],
        // A source is one of several in the language of policies, though an entry has one:
        // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
        conditions: {
          'ForAllValues:StringEquals': { 'events:source': [source] },
          Null: { 'events:source': 'false' },
          StringEquals: { 'events:detail-type': detailType },
        },
      }),
    );

    // Two of three: one sweep may find a backlog, and has worked it off before the next.
    const lasting = { evaluationPeriods: 3, datapointsToAlarm: 2 };
    monitoring.alarm({
      id: 'SweepLate',
      group: 'Sweep',
      metric: monitoring.metric('oldest_due_age_seconds', { statistic: 'Maximum', period: interval }),
      threshold: 2 * interval.toSeconds(),
      description: 'Keys wait for their notice or their end to be recorded, or no sweep has run.',
      runbook: 'sweep-late',
      // Every sweep says how late it is, if only 0: silence is no sweep.
      when: { ...lasting, treatMissingData: TreatMissingData.BREACHING },
    });
    monitoring.alarm({
      id: 'OverdueKeys',
      group: 'Sweep',
      // Each such key is counted once a day.
      metric: monitoring.metric('overdue_keys', { statistic: 'Sum', period: Duration.days(1) }),
      description: 'Keys are in use that are older than the stack allows.',
      runbook: 'overdue-keys',
      when: AT_ONCE,
    });
    monitoring.alarm({
      id: 'SweepFailures',
      group: 'Sweep',
      metric: monitoring.metric('keys_failed', { statistic: 'Sum', period: interval }),
      description: 'The sweep fails on some keys again and again.',
      runbook: 'sweep-late',
      when: lasting,
    });
  }
}
