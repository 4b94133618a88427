import { Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  type AlarmProps,
  Dashboard,
  GraphWidget,
  type IMetric,
  type IWidget,
  Metric,
  TextWidget,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Topic } from 'aws-cdk-lib/aws-sns';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** Of every metric that functions write themselves. */
export const METRIC_NAMESPACE = 'Rekey';

/** Parts of the dashboard, in their order. */
const GROUPS = ['API', 'Revocation', 'Table', 'Events', 'Sweep', 'Leaks', 'Webhooks'] as const;
export type Group = (typeof GROUPS)[number];

export interface AlarmOptions {
  id: string;
  /** Under which heading of the dashboard its metric is shown. */
  group: Group;
  metric: IMetric;
  /** What is wrong when it rings, in one sentence. */
  description: string;
  /** Name of the file in docs/runbooks, without `.md`. */
  runbook: string;
  /** Rings at this value and above. @default 1 */
  threshold?: number;
  /** When other than in three bad periods of five. */
  when?: Partial<Pick<AlarmProps, 'evaluationPeriods' | 'datapointsToAlarm' | 'treatMissingData'>>;
}

/** One bad period is one too many. */
export const AT_ONCE = { evaluationPeriods: 1, datapointsToAlarm: 1 };

export interface MonitoringProps {
  /** The SNS topic that alarms tell. */
  alarmTopicArn?: string;
}

/** Metrics, alarms and the one dashboard that shows them. */
export class Monitoring extends Construct {
  /** Variables of a function that writes metrics: the namespace and, as the dimension `service`, the stack. */
  readonly environment: Record<string, string>;
  readonly #action: SnsAction | undefined;
  readonly #widgets = new Map<Group, IWidget[]>();

  constructor(scope: Construct, id: string, { alarmTopicArn }: MonitoringProps) {
    super(scope, id);
    this.environment = {
      POWERTOOLS_METRICS_NAMESPACE: METRIC_NAMESPACE,
      POWERTOOLS_SERVICE_NAME: Stack.of(this).stackName,
    };
    if (alarmTopicArn) this.#action = new SnsAction(Topic.fromTopicArn(this, 'AlarmTopic', alarmTopicArn));
  }

  /** A metric that a function of this stack writes. @param dimensions beyond `service` */
  metric(
    metricName: string,
    options: { statistic: string; dimensions?: Record<string, string>; period?: Duration; label?: string },
  ): Metric {
    const { dimensions, ...more } = options;
    return new Metric({
      namespace: METRIC_NAMESPACE,
      metricName,
      dimensionsMap: { service: Stack.of(this).stackName, ...dimensions },
      period: Duration.minutes(1),
      ...more,
    });
  }

  /** Makes an alarm that names its runbook, tells the topic if there is one, and shows its metric. */
  alarm(options: AlarmOptions): void {
    const { id, group, metric, description, runbook, threshold = 1, when } = options;
    const alarm = new Alarm(this, `${id}Alarm`, {
      metric,
      alarmDescription: `${description} Runbook: docs/runbooks/${runbook}.md`,
      threshold,
      evaluationPeriods: 5,
      datapointsToAlarm: 3,
      // No data is no traffic.
      treatMissingData: TreatMissingData.NOT_BREACHING,
      ...when,
    });
    if (this.#action) alarm.addAlarmAction(this.#action);
    this.#show(
      group,
      new GraphWidget({ title: id, left: [metric], leftAnnotations: [alarm.toAnnotation()] }),
    );
  }

  /** Alarms at the first message in a queue of what was given up. */
  deadLetters(id: string, group: Group, queue: IQueue, description: string, runbook: string): void {
    const metric = queue.metricApproximateNumberOfMessagesVisible({
      statistic: 'Maximum',
      period: Duration.minutes(1),
    });
    this.alarm({ id, group, metric, description, runbook, when: AT_ONCE });
  }

  /** Shows metrics that have no alarm. */
  graph(group: Group, title: string, metrics: IMetric[]): void {
    this.#show(group, new GraphWidget({ title, left: metrics }));
  }

  /** Makes the dashboard, of all that was shown until now. */
  makeDashboard(): void {
    const dashboard = new Dashboard(this, 'Dashboard', { dashboardName: Stack.of(this).stackName });
    for (const group of GROUPS) {
      const widgets = this.#widgets.get(group);
      if (!widgets) continue;
      dashboard.addWidgets(new TextWidget({ markdown: `## ${group}`, width: 24, height: 1 }));
      dashboard.addWidgets(...widgets);
    }
  }

  #show(group: Group, widget: IWidget): void {
    this.#widgets.set(group, [...(this.#widgets.get(group) ?? []), widget]);
  }
}
