import type { Supported } from '../resource.ts';

const onlyLabel = { noEffect: 'a label for people' };
const cloudWatch = {
  noEffect: 'there is no CloudWatch on a laptop; the access log and the functions’ logs are files',
};
const throttle = {
  noEffect: 'AWS applies throttling as a best-effort target for many clients; a laptop has one',
};

/** What the laptop stack does with each `AWS::ApiGateway::*` property. What is not here stops the start. */
export const supported: Supported = {
  'AWS::ApiGateway::RestApi': {
    properties: {
      Name: 'used',
      Description: onlyLabel,
      Tags: onlyLabel,
      'EndpointConfiguration.Types': 'used',
      DisableExecuteApiEndpoint: 'used',
      // What the document says is looked at where it is imported, extension by extension.
      Body: 'used',
      FailOnWarnings: { noEffect: 'what the import does not know stops the start' },
    },
  },
  'AWS::ApiGateway::Resource': { properties: { RestApiId: 'used', ParentId: 'used', PathPart: 'used' } },
  'AWS::ApiGateway::Method': {
    properties: {
      RestApiId: 'used',
      ResourceId: 'used',
      HttpMethod: 'used',
      AuthorizationType: 'used',
      AuthorizerId: 'used',
      ApiKeyRequired: 'used',
      OperationName: onlyLabel,
      RequestValidatorId: {
        noEffect:
          'a validator checks RequestParameters and RequestModels; a method that has one of them stops the start',
      },
      'Integration.Type': 'used',
      'Integration.IntegrationHttpMethod': 'used',
      'Integration.Uri': 'used',
      'Integration.TimeoutInMillis': 'used',
    },
  },
  'AWS::ApiGateway::RequestValidator': {
    properties: {
      RestApiId: 'used',
      Name: onlyLabel,
      ValidateRequestBody: { noEffect: 'no method here has a RequestModel' },
      ValidateRequestParameters: { noEffect: 'no method here has RequestParameters' },
    },
  },
  'AWS::ApiGateway::Authorizer': {
    properties: {
      RestApiId: 'used',
      Name: onlyLabel,
      Type: 'used',
      AuthType: { noEffect: 'only written into an exported OpenAPI document' },
      AuthorizerUri: 'used',
      AuthorizerResultTtlInSeconds: 'used',
      IdentitySource: 'used',
    },
  },
  'AWS::ApiGateway::GatewayResponse': {
    properties: {
      RestApiId: 'used',
      ResponseType: 'used',
      StatusCode: 'used',
      'ResponseParameters.*': 'used',
      'ResponseTemplates.*': 'used',
    },
  },
  'AWS::ApiGateway::Deployment': { properties: { RestApiId: 'used', Description: onlyLabel } },
  'AWS::ApiGateway::Stage': {
    properties: {
      RestApiId: 'used',
      DeploymentId: 'used',
      StageName: 'used',
      Description: onlyLabel,
      Tags: onlyLabel,
      'Variables.*': 'used',
      'AccessLogSetting.Format': 'used',
      'AccessLogSetting.DestinationArn': cloudWatch,
      TracingEnabled: { noEffect: 'there is no X-Ray on a laptop; the trace header is made and passed on' },
      'MethodSettings.HttpMethod': { noEffect: 'says what the other method settings apply to' },
      'MethodSettings.ResourcePath': { noEffect: 'says what the other method settings apply to' },
      'MethodSettings.DataTraceEnabled': cloudWatch,
      'MethodSettings.LoggingLevel': cloudWatch,
      'MethodSettings.MetricsEnabled': cloudWatch,
      'MethodSettings.ThrottlingBurstLimit': throttle,
      'MethodSettings.ThrottlingRateLimit': throttle,
    },
  },
  'AWS::ApiGateway::Account': { properties: { CloudWatchRoleArn: cloudWatch } },
};
