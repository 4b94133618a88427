import { ArnFormat, CfnOutput, Duration, Stack, Validations } from 'aws-cdk-lib';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { type EventBus, Match, Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Policy, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { SOURCE } from '../lib/event-bus.ts';
import { OWNER_TAG } from '../lib/managed-secret.schema.ts';
import { BY_LINEAGE } from '../lib/table-layout.ts';
import { LISTED } from './key-attributes.ts';
import { AT_ONCE, type Monitoring } from './monitoring.ts';
import type { ProtectedRestApi } from './protected-rest-api.ts';
import type { MakeFunction } from './rekey-stack.ts';
import { RotatingApiKey } from './rotating-api-key.ts';
import type { RekeySettings } from './settings.ts';
import { eventRecording, indexAccess, itemAccess } from './table-access.ts';
import type { TypeScriptFunction } from './typescript-function.ts';

export interface DeployedKeysProps {
  table: Table;
  api: ProtectedRestApi;
  lambda: MakeFunction;
  /** Tells of keys that are due, and to be delivered. */
  bus: EventBus;
  monitoring: Monitoring;
  settings: RekeySettings;
}

/** A step asks the API and Secrets Manager a few times, and waits up to 6 s for a version to be readable. */
const STEP_TIMEOUT = Duration.seconds(60);
/** How often the administrator's key is rotated. */
const ADMIN_KEY_DAYS = 30;

/**
 * API keys that stacks deploy and Secrets Manager rotates: the two functions that do it, and the first of them all, the
 * administrator's key. docs/secrets-manager.md describes them.
 */
export class DeployedKeys extends Construct {
  readonly deployKey: TypeScriptFunction;
  readonly rotateSecret: TypeScriptFunction;

  constructor(scope: Construct, id: string, props: DeployedKeysProps) {
    super(scope, id);
    const { table, api, lambda, bus, monitoring, settings } = props;
    const stack = Stack.of(this);
    const secrets = stack.formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: '*',
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });

    this.deployKey = lambda(
      'deploy-key',
      'Makes, changes and ends the API keys of stacks, for CloudFormation',
      {
        settings: ['prefix', 'lifetimes', 'retention', 'schedule'],
        access: [
          itemAccess(table, ['GetItem', 'PutItem', 'UpdateItem'], ['key_*']),
          itemAccess(table, ['GetItem', 'PutItem', 'DeleteItem'], ['deployment_*']),
          indexAccess(table, BY_LINEAGE, LISTED),
          eventRecording(table),
          // Whoever may tag a secret says that a key may be written into it. It cannot be read.
          new PolicyStatement({
            actions: ['secretsmanager:DescribeSecret', 'secretsmanager:PutSecretValue'],
            resources: [secrets],
            conditions: { StringLike: { [`aws:ResourceTag/${OWNER_TAG}`]: '*' } },
          }),
        ],
        environment: { REKEY_DEPLOYABLE_KEYS: JSON.stringify(settings.deployableKeys) },
      },
      { timeout: Duration.seconds(60) },
    );
    // So that no request is tried again after CloudFormation has given it up, which would make a key that nobody deletes.
    this.deployKey.configureAsyncInvoke({ maxEventAge: Duration.minutes(5), retryAttempts: 2 });

    this.rotateSecret = lambda(
      'rotate-secret',
      'Rotates the API key in a secret, for Secrets Manager, and has it begin when the key is due',
      {
        settings: [],
        access: [],
        environment: { REKEY_MANAGEMENT_API_URL: api.url, ...monitoring.environment },
      },
      { timeout: STEP_TIMEOUT },
    );
    /** Only the secrets whose schedule names this function. */
    const ours = {
      StringEquals: { 'secretsmanager:resource/AllowRotationLambdaArn': this.rotateSecret.functionArn },
    };
    // Not a part of the role: a function waits for its role, and this names the function.
    const rotation = new Policy(this, 'RotateSecrets', {
      roles: [this.rotateSecret.role!],
      statements: [
        new PolicyStatement({
          actions: [
            'secretsmanager:DescribeSecret',
            'secretsmanager:GetSecretValue',
            'secretsmanager:ListSecretVersionIds',
            'secretsmanager:PutSecretValue',
            'secretsmanager:UpdateSecretVersionStage',
          ],
          resources: [secrets],
          conditions: ours,
        }),
        // To begin, as the secret is set up: the request may not put another function in the place of this one.
        new PolicyStatement({
          actions: ['secretsmanager:RotateSecret'],
          resources: [secrets],
          conditions: { ...ours, Null: { 'secretsmanager:RotationLambdaARN': 'true' } },
        }),
        // Whoever begins a rotation needs it: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
        new PolicyStatement({
          actions: ['lambda:InvokeFunction'],
          resources: [this.rotateSecret.functionArn],
        }),
      ],
    });
    this.rotateSecret.addPermission('SecretsManager', {
      principal: new ServicePrincipal('secretsmanager.amazonaws.com'),
      sourceAccount: stack.account,
    });
    for (const within of [this.deployKey.role!, rotation])
      Validations.of(within).acknowledge({
        id: `AwsSolutions-IAM5[Resource::${'arn:<AWS::Partition>:secretsmanager:<AWS::Region>:<AWS::AccountId>:secret:*'}]`,
        reason: 'Secrets are made by other stacks; the condition says which ones are meant.',
      });

    new Rule(this, 'Deliver', {
      description: 'Has keys rotated that are due and whose successor goes to Secrets Manager',
      eventBus: bus,
      eventPattern: {
        source: [SOURCE],
        detailType: ['api_key.rotation_requested', 'api_key.rotation_due'],
        detail: {
          data: { api_key: { rotation: { deliver: { secrets_manager: { secret_id: Match.exists() } } } } },
        },
      },
      targets: [new LambdaFunction(this.rotateSecret)],
    });
    monitoring.alarm({
      id: 'RotationNotDelivered',
      group: 'Sweep',
      metric: monitoring.metric('rotations_not_delivered', { statistic: 'Sum' }),
      description: 'A key was due and could not be rotated: there was nowhere to put the new one.',
      runbook: 'rotation-not-delivered',
      when: AT_ONCE,
    });

    const adminKey = new RotatingApiKey(this, 'AdminKey', {
      rekey: {
        deployKeyFunctionArn: this.deployKey.functionArn,
        rotateSecretFunctionArn: this.rotateSecret.functionArn,
      },
      scopes: ['*:*'],
      owner: 'administrator',
      name: 'Administrator',
      // Where keys live shorter, it is rotated more often.
      every: Duration.days(Math.max(1, Math.min(ADMIN_KEY_DAYS, Math.floor(settings.maxLifetimeDays / 2)))),
    });
    // Its first test calls the API.
    adminKey.node.addDependency(api.stage, rotation);
    this.deployKey.addEnvironment('REKEY_ADMIN_SECRET_ARN', adminKey.secret.secretArn);
    new CfnOutput(stack, 'AdminKeySecretArn', { value: adminKey.secret.secretArn });
  }
}
