import { Duration, Stack } from 'aws-cdk-lib';
import { Metric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { MakeAlarm } from './rekey-stack.ts';

/** Thousands of keys are done in it; the sweep stops half a minute before (functions/sweep-keys.ts). */
export const SWEEP_TIMEOUT = Duration.minutes(5);

const NAMESPACE = 'Rekey';

export interface SweepProps {
  sweepKeys: Lambda;
  /** Minutes from one sweep to the next. */
  intervalMinutes: number;
  alarm: MakeAlarm;
}

/** What starts the sweep, and what tells that it is late. */
export class Sweep extends Construct {
  constructor(scope: Construct, id: string, { sweepKeys, intervalMinutes, alarm }: SweepProps) {
    super(scope, id);
    const interval = Duration.minutes(intervalMinutes);
    const service = Stack.of(this).stackName;
    sweepKeys.addEnvironment('POWERTOOLS_METRICS_NAMESPACE', NAMESPACE);
    sweepKeys.addEnvironment('POWERTOOLS_SERVICE_NAME', service);

    new Rule(this, 'Schedule', {
      description: 'Starts the sweep of keys that have something due',
      schedule: Schedule.rate(interval),
      targets: [new LambdaFunction(sweepKeys)],
    });

    const metric = (metricName: string, statistic: string) =>
      new Metric({
        namespace: NAMESPACE,
        metricName,
        dimensionsMap: { service },
        statistic,
        period: interval,
      });
    // Two of three: one sweep may find a backlog, and has worked it off before the next.
    const lasting = { evaluationPeriods: 3, datapointsToAlarm: 2 };
    alarm(
      'SweepLate',
      metric('oldest_due_age_seconds', 'Maximum'),
      'Keys wait for their notice or their end to be recorded, or no sweep has run. docs/runbooks/sweep-late.md',
      {
        ...lasting,
        threshold: 2 * interval.toSeconds(),
        // Every sweep says how late it is, if only 0: silence is no sweep.
        treatMissingData: TreatMissingData.BREACHING,
      },
    );
    alarm(
      'SweepFailures',
      metric('keys_failed', 'Sum'),
      'The sweep fails on some keys again and again. docs/runbooks/sweep-late.md',
      lasting,
    );
  }
}
