import type { Supported } from '../resource.ts';

const label = { noEffect: 'a label for people' };

/** Classic buses, their policies, and rules to functions and queues. */
export const supported: Supported = {
  'AWS::Events::EventBus': {
    properties: {
      Name: 'used',
      Description: label,
      Tags: label,
      KmsKeyIdentifier: { noEffect: 'events are in a file of the user who runs the stack' },
      LogConfig: { noEffect: 'the control port lists what went over the bus' },
    },
  },
  'AWS::Events::EventBusPolicy': {
    properties: {
      EventBusName: 'used',
      StatementId: 'used',
      Statement: 'used',
    },
  },
  'AWS::Events::Rule': {
    properties: {
      Name: 'used',
      EventBusName: 'used',
      EventPattern: 'used',
      ScheduleExpression: 'used',
      State: 'used',
      'Targets.Arn': 'used',
      'Targets.Id': 'used',
      'Targets.Input': 'used',
      'Targets.InputPath': 'used',
      'Targets.InputTransformer': 'used',
      'Targets.RetryPolicy': 'used',
      'Targets.DeadLetterConfig.Arn': 'used',
      Description: label,
      Tags: label,
    },
  },
};
