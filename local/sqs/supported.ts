import type { Supported } from '../resource.ts';

const label = { noEffect: 'nothing on a laptop reads tags' };

/**
 * Standard queues. FIFO queues and keys of KMS are not here: the stack could not keep what they promise, so a template
 * that has them stops the start.
 */
export const supported: Supported = {
  'AWS::SQS::Queue': {
    properties: {
      QueueName: 'used',
      DelaySeconds: 'used',
      MaximumMessageSize: 'used',
      MessageRetentionPeriod: 'used',
      ReceiveMessageWaitTimeSeconds: 'used',
      VisibilityTimeout: 'used',
      'RedrivePolicy.deadLetterTargetArn': 'used',
      'RedrivePolicy.maxReceiveCount': 'used',
      RedriveAllowPolicy: { noEffect: 'a queue’s dead letters go where the template says' },
      SqsManagedSseEnabled: { noEffect: 'messages are in a file of the user who runs the stack' },
      Tags: label,
    },
  },
  'AWS::SQS::QueuePolicy': { properties: { PolicyDocument: 'used', Queues: 'used' } },
};
