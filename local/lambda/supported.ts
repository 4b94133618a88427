import type { Supported } from '../resource.ts';

const label = { noEffect: 'a label for people' };

/** What the laptop stack does with functions, their permissions and their roles. */
export const supported: Supported = {
  'AWS::Lambda::Function': {
    properties: {
      'Code.S3Bucket': { noEffect: 'the asset is read from the cloud assembly, not from a bucket' },
      'Code.S3Key': 'used',
      FunctionName: 'used',
      Handler: 'used',
      Runtime: 'used',
      Role: 'used',
      'Environment.Variables.*': 'used',
      Timeout: 'used',
      MemorySize: 'used',
      ReservedConcurrentExecutions: 'used',
      'DeadLetterConfig.TargetArn': 'used',
      'LoggingConfig.LogFormat': 'used',
      'LoggingConfig.LogGroup': 'used',
      'LoggingConfig.ApplicationLogLevel': 'used',
      'LoggingConfig.SystemLogLevel': { noEffect: 'START, END and REPORT lines are always written' },
      'TracingConfig.Mode': {
        noEffect: 'there is no X-Ray on a laptop; the trace header is made and passed on',
      },
      Architectures: { noEffect: 'functions run on the processor of this machine' },
      'EphemeralStorage.Size': { noEffect: '/tmp is the machine’s' },
      RecursiveLoop: { noEffect: 'nothing here counts loops' },
      Description: label,
      Tags: label,
    },
  },
  'AWS::Lambda::Permission': {
    properties: {
      Action: 'used',
      FunctionName: 'used',
      Principal: 'used',
      SourceArn: 'used',
      SourceAccount: 'used',
    },
  },
  'AWS::Lambda::EventInvokeConfig': {
    properties: {
      FunctionName: 'used',
      Qualifier: { noEffect: 'there is one version of each function, $LATEST' },
      MaximumRetryAttempts: 'used',
      MaximumEventAgeInSeconds: 'used',
      'DestinationConfig.OnSuccess.Destination': 'used',
      'DestinationConfig.OnFailure.Destination': 'used',
    },
  },
  'AWS::IAM::Role': {
    properties: {
      AssumeRolePolicyDocument: 'used',
      ManagedPolicyArns: 'used',
      Path: 'used',
      'Policies.PolicyDocument': 'used',
      'Policies.PolicyName': label,
      RoleName: 'used',
      MaxSessionDuration: 'used',
      Description: label,
      Tags: label,
    },
  },
  'AWS::IAM::Policy': { properties: { PolicyDocument: 'used', PolicyName: label, Roles: 'used' } },
  'AWS::IAM::ManagedPolicy': {
    properties: {
      PolicyDocument: 'used',
      ManagedPolicyName: 'used',
      Path: 'used',
      Roles: 'used',
      Description: label,
    },
  },
};
