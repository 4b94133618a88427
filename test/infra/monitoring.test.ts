import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { ofType, resourcesOf, synthesize } from './synthesize.ts';

const runbooks = new URL('../../docs/runbooks/', import.meta.url);
const production = synthesize().rekey;
const alarmsOf = (template = production) => ofType(resourcesOf(template), 'AWS::CloudWatch::Alarm');
const runbookOf = (description: string) => /Runbook: docs\/runbooks\/([a-z-]+\.md)$/.exec(description)?.[1];

describe('the alarms', () => {
  it('each name a runbook that exists', () => {
    expect(alarmsOf().length).toBeGreaterThan(8);
    for (const [id, { Properties }] of alarmsOf()) {
      const runbook = runbookOf(Properties.AlarmDescription);
      expect([id, runbook, existsSync(new URL(runbook ?? 'none', runbooks))]).toEqual([
        id,
        expect.any(String),
        true,
      ]);
    }
  });

  it('leave no runbook without an alarm', () => {
    const named = new Set(alarmsOf().map(([, { Properties }]) => runbookOf(Properties.AlarmDescription)));
    // No alarm knows that a key has leaked; people do.
    expect(readdirSync(runbooks).toSorted()).toEqual([...named, 'leaked-key.md'].toSorted());
  });

  it('tell the topic, if there is one', () => {
    const topic = 'arn:aws:sns:eu-central-1:123456789012:operations';
    for (const [, { Properties }] of alarmsOf()) expect(Properties).not.toHaveProperty('AlarmActions');
    for (const [, { Properties }] of alarmsOf(synthesize({ alarmTopicArn: topic }).rekey)) {
      expect(Properties.AlarmActions).toEqual([topic]);
    }
  });

  it('watch every queue that holds what was given up', () => {
    const resources = resourcesOf(production);
    const given = new Set(
      ofType(resources, 'AWS::Lambda::EventSourceMapping').map(
        ([, { Properties }]) => Properties.DestinationConfig?.OnFailure.Destination['Fn::GetAtt'][0],
      ),
    );
    const redriven = ofType(resources, 'AWS::SQS::Queue').map(
      ([, { Properties }]) => Properties.RedrivePolicy?.deadLetterTargetArn?.['Fn::GetAtt'][0],
    );
    const watched = alarmsOf().flatMap(([, { Properties }]) =>
      Properties.MetricName === 'ApproximateNumberOfMessagesVisible'
        ? [Properties.Dimensions[0].Value['Fn::GetAtt'][0]]
        : [],
    );
    const deadLetters = [...given, ...redriven].filter((id) => id !== undefined);
    expect(deadLetters.length).toBeGreaterThan(0);
    for (const id of deadLetters) expect(watched).toContain(id);
  });
});

describe('the dashboard', () => {
  it('is one, and shows the metric of every alarm', () => {
    const dashboards = ofType(resourcesOf(production), 'AWS::CloudWatch::Dashboard');
    expect(dashboards).toHaveLength(1);
    const body = JSON.stringify(dashboards[0]![1].Properties.DashboardBody);
    for (const [id] of alarmsOf()) {
      const title = id.replace(/^Monitoring(.*)Alarm[0-9A-F]{8}$/, '$1');
      expect(body).toContain(JSON.stringify(JSON.stringify({ title }).slice(1, -1)).slice(1, -1));
    }
  });
});

describe('what runbooks say', () => {
  it('points to pages that exist', () => {
    for (const file of readdirSync(runbooks)) {
      const text = readFileSync(new URL(file, runbooks), 'utf8');
      for (const [, target] of text.matchAll(/\]\(([^)#]+)\)/g)) {
        expect([file, target, existsSync(new URL(target!, runbooks))]).toEqual([file, target, true]);
      }
    }
  });
});
