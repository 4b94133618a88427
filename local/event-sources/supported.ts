import type { Supported } from '../resource.ts';

/** Event source mappings of queues and of tables' streams. */
export const supported: Supported = {
  'AWS::Lambda::EventSourceMapping': {
    properties: {
      EventSourceArn: 'used',
      FunctionName: 'used',
      Enabled: 'used',
      BatchSize: 'used',
      MaximumBatchingWindowInSeconds: 'used',
      MaximumRetryAttempts: 'used',
      MaximumRecordAgeInSeconds: 'used',
      BisectBatchOnFunctionError: 'used',
      StartingPosition: 'used',
      FunctionResponseTypes: 'used',
      'FilterCriteria.Filters.Pattern': 'used',
      'ScalingConfig.MaximumConcurrency': 'used',
      'DestinationConfig.OnFailure.Destination': 'used',
      ParallelizationFactor: {
        noEffect: 'one batch at a time for each shard keeps the same order of each item',
      },
      MetricsConfig: { noEffect: 'there is no CloudWatch on a laptop' },
      Tags: { noEffect: 'nothing on a laptop reads tags' },
    },
  },
};
