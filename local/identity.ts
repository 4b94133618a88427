import { createHash } from 'node:crypto';
import { type Identity, stableUuid } from './intrinsics.ts';

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Lower-case base-36 text, the form of API Gateway's ids. */
const base36 = (text: string, length: number): string =>
  BigInt(`0x${digest(text)}`)
    .toString(36)
    .padStart(50, '0')
    .slice(-length);

/** `<Stack>-<LogicalId>`, cut to what the service allows; the cut part is replaced by a hash, so that names stay apart. */
function physicalName(stack: string, logicalId: string, longest: number): string {
  const name = `${stack}-${logicalId}`;
  return name.length <= longest ? name : `${name.slice(0, longest - 9)}-${digest(name).slice(0, 8)}`;
}

/**
 * The names that resources go by on a laptop: the template's, or made of stack and logical id, so that they are the
 * same in each start. Custom resources name themselves and are not known here.
 *
 * @param world `aws` is the URL where the services of AWS are here
 * @returns undefined for a type that the laptop stack does not know
 */
export function identityOf(
  {
    stack,
    logicalId,
    type,
    properties,
  }: { stack: string; logicalId: string; type: string; properties: Record<string, unknown> },
  { account, region, aws }: { account: string; region: string; aws: string },
): Identity | undefined {
  const arn = (service: string, resource: string): string =>
    `arn:aws:${service}:${region}:${account}:${resource}`;
  const global = (service: string, resource: string): string => `arn:aws:${service}::${account}:${resource}`;
  const named = (property: string, longest: number): string =>
    typeof properties[property] === 'string' ? properties[property] : physicalName(stack, logicalId, longest);
  const id = base36(`${stack}/${logicalId}`, 10);
  const path = typeof properties['Path'] === 'string' ? properties['Path'] : '/';

  switch (type) {
    case 'AWS::Lambda::Function': {
      const name = named('FunctionName', 64);
      return { ref: name, attributes: { Arn: arn('lambda', `function:${name}`) } };
    }
    case 'AWS::IAM::Role': {
      const name = named('RoleName', 64);
      const RoleId = `AROA${digest(name).slice(0, 17).toUpperCase()}`;
      return { ref: name, attributes: { Arn: global('iam', `role${path}${name}`), RoleId } };
    }
    case 'AWS::IAM::ManagedPolicy': {
      const policyArn = global('iam', `policy${path}${named('ManagedPolicyName', 128)}`);
      return { ref: policyArn, attributes: { PolicyArn: policyArn } };
    }
    case 'AWS::DynamoDB::Table':
    case 'AWS::DynamoDB::GlobalTable': {
      const name = named('TableName', 255);
      const Arn = arn('dynamodb', `table/${name}`);
      // The label is the time at which the stream was made; it must be the same in each start.
      const StreamArn = `${Arn}/stream/2026-01-01T00:00:00.000`;
      return { ref: name, attributes: { Arn, StreamArn, TableId: stableUuid(`${stack}/${logicalId}`) } };
    }
    case 'AWS::SQS::Queue': {
      const QueueName = named('QueueName', 80);
      // The SDK sends a request to the host of the queue's URL, whatever its endpoint is set to.
      const QueueUrl = `${aws}/${account}/${QueueName}`;
      return { ref: QueueUrl, attributes: { Arn: arn('sqs', QueueName), QueueName, QueueUrl } };
    }
    case 'AWS::SecretsManager::Secret': {
      const name = named('Name', 512);
      // Six characters that AWS chooses, so that a secret of the same name made later is another one.
      const secret = arn('secretsmanager', `secret:${name}-${base36(`${stack}/${logicalId}`, 6)}`);
      return { ref: secret, attributes: { Id: secret, Name: name } };
    }
    case 'AWS::Events::EventBus': {
      const name = String(properties['Name']);
      return { ref: name, attributes: { Arn: arn('events', `event-bus/${name}`), Name: name } };
    }
    case 'AWS::Events::Rule': {
      const name = named('Name', 64);
      const bus = /[^/]+$/.exec(String(properties['EventBusName'] ?? 'default'))![0];
      const ofDefault = bus === 'default';
      return {
        ref: ofDefault ? name : `${bus}|${name}`,
        attributes: { Arn: arn('events', ofDefault ? `rule/${name}` : `rule/${bus}/${name}`) },
      };
    }
    case 'AWS::Logs::LogGroup': {
      const name = named('LogGroupName', 512);
      return { ref: name, attributes: { Arn: arn('logs', `log-group:${name}:*`) } };
    }
    case 'AWS::SSM::Parameter': {
      const name = named('Name', 2048);
      return {
        ref: name,
        attributes: { Type: String(properties['Type']), Value: String(properties['Value']) },
      };
    }
    case 'AWS::CloudWatch::Alarm': {
      const name = named('AlarmName', 255);
      return { ref: name, attributes: { Arn: arn('cloudwatch', `alarm:${name}`) } };
    }
    case 'AWS::CloudWatch::Dashboard':
      return { ref: named('DashboardName', 255), attributes: {} };
    case 'AWS::ApiGateway::RestApi':
      return {
        ref: id,
        attributes: { RestApiId: id, RootResourceId: base36(`${stack}/${logicalId}/root`, 10) },
      };
    case 'AWS::ApiGateway::Resource':
      return { ref: id, attributes: { ResourceId: id } };
    case 'AWS::ApiGateway::Deployment':
      return { ref: id, attributes: { DeploymentId: id } };
    case 'AWS::ApiGateway::Authorizer':
      return { ref: id, attributes: { AuthorizerId: id } };
    case 'AWS::ApiGateway::RequestValidator':
      return { ref: id, attributes: { RequestValidatorId: id } };
    case 'AWS::ApiGateway::Stage':
      return { ref: String(properties['StageName']), attributes: {} };
    case 'AWS::ApiGateway::Model':
      return { ref: named('Name', 255), attributes: {} };
    case 'AWS::ApiGateway::Account':
      return { ref: id, attributes: { Id: id } };
    case 'AWS::ApiGatewayV2::Api':
      return {
        ref: id,
        attributes: { ApiId: id, ApiEndpoint: `https://${id}.execute-api.${region}.amazonaws.com` },
      };
    case 'AWS::ApiGatewayV2::Route':
      return { ref: id, attributes: { RouteId: id } };
    case 'AWS::ApiGatewayV2::RouteResponse':
      return { ref: id, attributes: { RouteResponseId: id } };
    case 'AWS::ApiGatewayV2::Integration':
      return { ref: id, attributes: { IntegrationId: id } };
    case 'AWS::ApiGatewayV2::Authorizer':
      return { ref: id, attributes: { AuthorizerId: id } };
    case 'AWS::ApiGatewayV2::Deployment':
      return { ref: id, attributes: { DeploymentId: id } };
    case 'AWS::ApiGatewayV2::Stage':
      return { ref: String(properties['StageName']), attributes: {} };
    case 'AWS::ApiGateway::Method':
    case 'AWS::ApiGateway::GatewayResponse':
    case 'AWS::IAM::Policy':
    case 'AWS::Lambda::EventSourceMapping': {
      const Id = stableUuid(`${stack}/${logicalId}`);
      return {
        ref: Id,
        attributes: { Id, EventSourceMappingArn: arn('lambda', `event-source-mapping:${Id}`) },
      };
    }
    case 'AWS::Lambda::EventInvokeConfig':
    case 'AWS::Lambda::Permission':
    case 'AWS::SQS::QueuePolicy':
    case 'AWS::SecretsManager::ResourcePolicy':
    case 'AWS::SecretsManager::RotationSchedule':
    case 'AWS::Events::EventBusPolicy':
    case 'AWS::CDK::Metadata':
      return {
        ref: physicalName(stack, logicalId, 255),
        attributes: { Id: physicalName(stack, logicalId, 255) },
      };
    default:
      return undefined;
  }
}
