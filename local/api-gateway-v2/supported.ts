import type { Supported } from '../resource.ts';

const onlyLabel = { noEffect: 'a label for people' };
const cloudWatch = {
  noEffect: 'there is no CloudWatch on a laptop; the access log and the functions’ logs are files',
};
const throttle = {
  noEffect: 'AWS applies throttling as a best-effort target for many clients; a laptop has one',
};
const deploysItself = { noEffect: 'the laptop stack serves what the template says, with or without it' };

/** What the laptop stack does with each `AWS::ApiGatewayV2::*` property. What is not here stops the start. */
export const supported: Supported = {
  'AWS::ApiGatewayV2::Api': {
    properties: {
      Name: 'used',
      ProtocolType: 'used',
      Body: 'used',
      RouteSelectionExpression: 'used',
      DisableExecuteApiEndpoint: 'used',
      Description: onlyLabel,
      Tags: onlyLabel,
    },
  },
  'AWS::ApiGatewayV2::Route': {
    properties: {
      ApiId: 'used',
      RouteKey: 'used',
      Target: 'used',
      AuthorizationType: 'used',
      AuthorizerId: 'used',
      RouteResponseSelectionExpression: 'used',
      OperationName: onlyLabel,
    },
  },
  'AWS::ApiGatewayV2::RouteResponse': {
    properties: { ApiId: 'used', RouteId: 'used', RouteResponseKey: 'used' },
  },
  'AWS::ApiGatewayV2::Integration': {
    properties: {
      ApiId: 'used',
      IntegrationType: 'used',
      IntegrationUri: 'used',
      IntegrationMethod: { noEffect: 'functions are invoked by POST whatever it says' },
      PayloadFormatVersion: 'used',
      TimeoutInMillis: 'used',
      Description: onlyLabel,
    },
  },
  'AWS::ApiGatewayV2::Authorizer': {
    properties: {
      ApiId: 'used',
      Name: onlyLabel,
      AuthorizerType: 'used',
      AuthorizerUri: 'used',
      AuthorizerPayloadFormatVersion: 'used',
      AuthorizerResultTtlInSeconds: 'used',
      EnableSimpleResponses: 'used',
      IdentitySource: 'used',
    },
  },
  'AWS::ApiGatewayV2::Deployment': { properties: { ApiId: 'used', Description: onlyLabel } },
  'AWS::ApiGatewayV2::Stage': {
    properties: {
      ApiId: 'used',
      StageName: 'used',
      DeploymentId: 'used',
      AutoDeploy: deploysItself,
      'StageVariables.*': 'used',
      'AccessLogSettings.Format': 'used',
      'AccessLogSettings.DestinationArn': cloudWatch,
      'DefaultRouteSettings.ThrottlingBurstLimit': throttle,
      'DefaultRouteSettings.ThrottlingRateLimit': throttle,
      'DefaultRouteSettings.DetailedMetricsEnabled': cloudWatch,
      'DefaultRouteSettings.LoggingLevel': cloudWatch,
      'DefaultRouteSettings.DataTraceEnabled': cloudWatch,
      Description: onlyLabel,
      Tags: onlyLabel,
    },
  },
};
