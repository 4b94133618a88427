import { supported as apiGateway } from './api-gateway/index.ts';
import { supported as apiGatewayV2 } from './api-gateway-v2/index.ts';
import { supported as dynamoDb } from './dynamodb/index.ts';
import { supported as eventSources } from './event-sources/index.ts';
import { supported as eventBridge } from './eventbridge/index.ts';
import { supported as lambda } from './lambda/supported.ts';
import type { Supported } from './resource.ts';
import { supported as secretsManager } from './secrets-manager/index.ts';
import { supported as sqs } from './sqs/index.ts';

const label = { noEffect: 'a label for people' };
const noCloudWatch = { noEffect: 'there is no CloudWatch on a laptop' };

const withoutEffect: Supported = {
  'AWS::CDK::Metadata': { properties: { Analytics: { noEffect: 'counts uses of CDK constructs for AWS' } } },
  'AWS::Logs::LogGroup': {
    properties: {
      LogGroupName: 'used',
      RetentionInDays: { noEffect: 'logs are files; --fresh forgets them' },
      KmsKeyId: { noEffect: 'logs are files of the user who runs the stack' },
      LogGroupClass: noCloudWatch,
      Tags: label,
    },
  },
  'AWS::SSM::Parameter': {
    properties: {
      Name: 'used',
      Type: 'used',
      Value: 'used',
      Description: label,
      Tier: { noEffect: 'a parameter here has no size limit and no price' },
      Tags: label,
    },
  },
  'AWS::CloudWatch::Alarm': { properties: { AlarmName: 'used', '*': noCloudWatch } },
  'AWS::CloudWatch::Dashboard': { properties: { DashboardName: 'used', DashboardBody: noCloudWatch } },
};

/** Whether a resource is a custom one, which a function of the template serves. */
export const isCustomResource = (type: string): boolean =>
  type.startsWith('Custom::') || type === 'AWS::CloudFormation::CustomResource';

/** All that the laptop stack knows; custom resources (any properties) are added by their types. */
export function allSupported(types: Iterable<string>): Supported {
  const custom = [...types].filter(isCustomResource);
  return {
    ...withoutEffect,
    ...lambda,
    ...apiGateway,
    ...apiGatewayV2,
    ...dynamoDb,
    ...sqs,
    ...eventBridge,
    ...eventSources,
    ...secretsManager,
    ...Object.fromEntries(custom.map((type) => [type, { properties: { '*': 'used' as const } }])),
  };
}
