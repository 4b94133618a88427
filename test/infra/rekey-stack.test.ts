import { describe, expect, it } from '@jest/globals';
import { LONGEST_DECISION_MS } from '../../lib/authorizer.ts';
import {
  BY_DUE,
  BY_LINEAGE,
  BY_OWNER,
  EVENTS_BY_DAY,
  EVENTS_BY_OWNER,
  WEBHOOKS_BY_OWNER,
} from '../../lib/table-layout.ts';
import { ofType, resourcesOf, synthesize } from './synthesize.ts';

const production = synthesize();
const development = synthesize({ mode: 'development' });
const everyTemplate = [production, development].flatMap(({ rekey, orders }) => [rekey, orders]);

const tableOf = ({ rekey }: typeof production) => ofType(resourcesOf(rekey), 'AWS::DynamoDB::Table')[0]![1];

const environments = (settings?: Parameters<typeof synthesize>[0]) =>
  Object.fromEntries(
    ofType(resourcesOf(synthesize(settings).rekey), 'AWS::Lambda::Function').map(([id, { Properties }]) => [
      id.replace(/[0-9A-F]{8}$/, ''),
      Properties.Environment.Variables as Record<string, unknown>,
    ]),
  );

describe('the table', () => {
  it('is paid by request, encrypted, restorable to any second, and forgets by ttl', () => {
    for (const stack of [production, development]) {
      expect(tableOf(stack).Properties).toMatchObject({
        BillingMode: 'PAY_PER_REQUEST',
        SSESpecification: { SSEEnabled: true },
        PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
        TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true },
        KeySchema: [
          { AttributeName: 'pk', KeyType: 'HASH' },
          { AttributeName: 'sk', KeyType: 'RANGE' },
        ],
      });
    }
  });

  it('outlives its stack in production, and goes with it in development', () => {
    expect(tableOf(production)).toMatchObject({
      DeletionPolicy: 'Retain',
      UpdateReplacePolicy: 'Retain',
      Properties: { DeletionProtectionEnabled: true },
    });
    expect(tableOf(development)).toMatchObject({
      DeletionPolicy: 'Delete',
      UpdateReplacePolicy: 'Delete',
      Properties: { DeletionProtectionEnabled: false },
    });
  });

  it('streams what is written, for the bus', () => {
    expect(tableOf(production).Properties.StreamSpecification).toEqual({ StreamViewType: 'NEW_IMAGE' });
  });

  it('has its indexes: those of keys whole, so that a key can grow fields', () => {
    const indexes = tableOf(production).Properties.GlobalSecondaryIndexes;
    const projections = Object.fromEntries(
      indexes.map(({ IndexName, Projection }: { IndexName: string; Projection: object }) => [
        IndexName,
        Projection,
      ]),
    );
    expect(projections).toEqual({
      [BY_OWNER]: { ProjectionType: 'ALL' },
      [BY_LINEAGE]: { ProjectionType: 'ALL' },
      [EVENTS_BY_OWNER]: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['event'] },
      [EVENTS_BY_DAY]: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['event'] },
      [BY_DUE]: { ProjectionType: 'KEYS_ONLY' },
      [WEBHOOKS_BY_OWNER]: { ProjectionType: 'ALL' },
    });
  });
});

describe('the functions', () => {
  it('run on ARM64 and Node 24, traced, with a time-out and a log group of their own', () => {
    for (const template of everyTemplate) {
      const functions = ofType(resourcesOf(template), 'AWS::Lambda::Function');
      for (const [id, { Properties }] of functions) {
        expect({ id, ...Properties }).toMatchObject({
          Architectures: ['arm64'],
          Runtime: 'nodejs24.x',
          Handler: 'index.handler',
          TracingConfig: { Mode: 'Active' },
          Timeout: expect.any(Number),
        });
      }
      const groups = functions.map(([, { Properties }]) => Properties.LoggingConfig.LogGroup.Ref);
      expect(new Set(groups).size).toBe(functions.length);
    }
  });

  it('have time to answer before API Gateway or the authorizer’s caller gives up', () => {
    for (const template of everyTemplate) {
      for (const [id, { Properties }] of ofType(resourcesOf(template), 'AWS::Lambda::Function')) {
        if (id.startsWith('Authorizer')) {
          expect(Properties.Timeout * 1000).toBeGreaterThan(LONGEST_DECISION_MS);
          expect(Properties.Timeout).toBeLessThan(29);
        }
        // Nobody waits for it.
        else if (id.startsWith('PublishEvents')) expect(Properties.Timeout).toBe(60);
        else if (id.startsWith('SweepKeys')) expect(Properties.Timeout).toBe(300);
        else if (/^(?:FinishCompromises|RunCanary)/.test(id)) expect(Properties.Timeout).toBe(120);
        else if (/^(?:FanOutEvent|DeliverWebhook|FlushCaches)/.test(id)) expect(Properties.Timeout).toBe(30);
        else if (/^(?:DeliverSlowWebhook|RequeueDeliveries|DeployKey|RotateSecret|ActOnLeaks)/.test(id))
          expect(Properties.Timeout).toBe(60);
        else expect(Properties.Timeout).toBeLessThan(29);
      }
    }
  });

  it('have logs that end', () => {
    for (const template of everyTemplate) {
      for (const [, { Properties }] of ofType(resourcesOf(template), 'AWS::Logs::LogGroup')) {
        expect(Properties.RetentionInDays).toBeGreaterThanOrEqual(7);
        expect(Properties.RetentionInDays).toBeLessThanOrEqual(90);
      }
    }
  });

  it('get the settings that they use, and no others', () => {
    const prefix = ['REKEY_KEY_PREFIX'];
    const lifetimes = [
      'REKEY_ALLOW_NEVER_EXPIRING',
      'REKEY_DEFAULT_LIFETIME_DAYS',
      'REKEY_MAX_LIFETIME_DAYS',
    ];
    const lines = ['REKEY_GRACE_STARTS', 'REKEY_PENDING_DAYS', 'REKEY_MOST_VALID_KEYS'];
    const retention = ['REKEY_RETENTION_DAYS'];
    const schedule = ['REKEY_NOTIFY_DAYS_BEFORE'];
    const misuse = ['REKEY_LATE_USE_MINUTES'];
    const metrics = ['POWERTOOLS_METRICS_NAMESPACE', 'POWERTOOLS_SERVICE_NAME'];
    const rootSecret = ['REKEY_WEBHOOK_ROOT_SECRET_ARN'];
    const queues = ['REKEY_DELIVERIES_QUEUE_URL', 'REKEY_SLOW_DELIVERIES_QUEUE_URL'];
    const names = Object.fromEntries(
      Object.entries(environments()).map(([id, variables]) => [id, Object.keys(variables).toSorted()]),
    );
    const and = (...more: string[][]) =>
      [...more.flat(), 'REKEY_EVENT_RETENTION_DAYS', 'REKEY_TABLE_NAME'].toSorted();
    expect(names).toEqual({
      Authorizer: and(prefix, retention, misuse, ['POWERTOOLS_SERVICE_NAME', 'REKEY_LOG_SAMPLE_RATE']),
      RegisterRoutes: and(),
      CreateAdminKey: and(prefix, lifetimes, retention, schedule),
      DeployKey: and(prefix, lifetimes, retention, schedule, [
        'REKEY_ADMIN_SECRET_ARN',
        'REKEY_DEPLOYABLE_KEYS',
      ]),
      RotateSecret: and(metrics, ['REKEY_MANAGEMENT_API_URL']),
      CreateKey: and(prefix, lifetimes, retention, schedule),
      ListKeys: and(),
      GetKey: and(),
      GetSelf: and(),
      UpdateKey: and(lifetimes, retention, schedule),
      RotateKey: and(prefix, lifetimes, lines, retention, schedule),
      CancelRotation: and(lifetimes, retention, schedule),
      RotateSelf: and(prefix, lifetimes, lines, retention, schedule),
      RevokeKey: and(retention),
      CompromiseKey: and(prefix, lifetimes, retention, schedule),
      FinishCompromises: and(retention, metrics),
      ReportLeaks: and(prefix, ['REKEY_LEAKS_QUEUE_URL']),
      ReportGithubLeaks: and(prefix, ['REKEY_LEAKS_QUEUE_URL', 'REKEY_GITHUB_KEYS_URL']),
      ActOnLeaks: and(retention, ['REKEY_LEAKED_KEYS']),
      RevokeSelf: and(retention),
      ListLineage: and(),
      SweepKeys: and(retention, schedule, metrics, ['REKEY_EVENT_BUS_NAME']),
      VerifyKey: and(prefix, retention, misuse),
      PublishEvents: [...metrics, 'REKEY_EVENT_BUS_NAME', 'REKEY_UNPUBLISHED_QUEUE_URL'],
      ListKeyEvents: and(),
      ListEvents: and(),
      ListEventTypes: and(),
      ReplayEvents: and(['REKEY_EVENT_BUS_NAME']),
      CreateWebhookEndpoint: and(rootSecret),
      ListWebhookEndpoints: and(),
      GetWebhookEndpoint: and(),
      UpdateWebhookEndpoint: and(),
      DeleteWebhookEndpoint: and(),
      RotateWebhookSecret: and(rootSecret),
      TestWebhookEndpoint: and(queues),
      ListWebhookDeliveries: and(),
      RedeliverWebhook: and(queues),
      RedeliverMissedWebhooks: and(queues),
      FanOutEvent: and(queues),
      DeliverWebhook: and(rootSecret, queues, metrics),
      DeliverSlowWebhook: and(rootSecret, queues, metrics),
      RequeueDeliveries: and(queues),
      PutApi: and(['REKEY_ACCOUNT_ID']),
      DeleteApi: and(['REKEY_ACCOUNT_ID']),
      GetApi: and(),
      ListApis: and(),
      ListScopes: and(),
      FlushCaches: and(metrics),
      GetStatus: and(['REKEY_SWEEP_INTERVAL_MINUTES']),
      AnswerCanary: and(),
      RunCanary: and(prefix, metrics, ['REKEY_CANARY_CACHED_URL', 'REKEY_CANARY_UNCACHED_URL']),
    });
  });

  it('send webhooks to this machine in no stack but one in development that asks for it', () => {
    const allowed = (settings?: Parameters<typeof environments>[0]) =>
      Object.entries(environments(settings))
        .filter(([, variables]) => 'REKEY_ALLOW_LOOPBACK_HTTP_WEBHOOKS' in variables)
        .map(([id]) => id)
        .toSorted();
    expect(allowed()).toEqual([]);
    expect(allowed({ mode: 'development' })).toEqual([]);
    expect(allowed({ mode: 'development', allowLoopbackHttpWebhooks: true })).toEqual([
      'CreateWebhookEndpoint',
      'DeliverSlowWebhook',
      'DeliverWebhook',
      'UpdateWebhookEndpoint',
    ]);
  });

  it('get what the stack was given', () => {
    const settings = {
      keyPrefix: 'acme',
      defaultLifetimeDays: 30,
      maxLifetimeDays: 60,
      allowNeverExpiring: true,
      retentionDays: 7,
      notifyDaysBefore: [30, 3],
    };
    expect(environments(settings)['CreateKey']).toMatchObject({
      REKEY_KEY_PREFIX: 'acme',
      REKEY_DEFAULT_LIFETIME_DAYS: '30',
      REKEY_MAX_LIFETIME_DAYS: '60',
      REKEY_ALLOW_NEVER_EXPIRING: 'true',
      REKEY_RETENTION_DAYS: '7',
      REKEY_EVENT_RETENTION_DAYS: '400',
      REKEY_NOTIFY_DAYS_BEFORE: '30,3',
    });
  });
});

describe('the stacks', () => {
  it('put out what their users need, and nothing secret', () => {
    expect(Object.keys(production.rekey.toJSON()['Outputs']).toSorted()).toEqual([
      'AdminKeySecretArn',
      'AuthorizerFunctionArn',
      'CreateAdminKeyFunctionName',
      'DeployKeyFunctionArn',
      'EventBusArn',
      'EventBusName',
      'ManagementApiUrl',
      'RegisterRoutesFunctionArn',
      'RotateSecretFunctionArn',
      'TableName',
    ]);
    expect(Object.keys(production.orders.toJSON()['Outputs'])).toEqual(['OrdersApiUrl']);
  });

  it('let API Gateway call a function for its own routes, a rule the sweep and deliveries, Secrets Manager the rotation, and nothing else any', () => {
    for (const { rekey, orders } of [production, development]) {
      for (const template of [rekey, orders]) {
        const permissions = ofType(resourcesOf(template), 'AWS::Lambda::Permission');
        expect(permissions.length).toBeGreaterThan(0);
        for (const [, { Properties }] of permissions) {
          if (Properties.Principal === 'secretsmanager.amazonaws.com') {
            expect(JSON.stringify(Properties.FunctionName)).toContain('RotateSecretD');
            expect(Properties).toEqual({
              Action: 'lambda:InvokeFunction',
              FunctionName: expect.anything(),
              Principal: 'secretsmanager.amazonaws.com',
              SourceAccount: { Ref: 'AWS::AccountId' },
            });
            continue;
          }
          expect(Properties).toMatchObject({
            Action: 'lambda:InvokeFunction',
            Principal: /SweepKeys|RequeueDeliveries|FinishCompromises|RunCanary|RotateSecretD/.test(
              JSON.stringify(Properties.FunctionName),
            )
              ? 'events.amazonaws.com'
              : 'apigateway.amazonaws.com',
            SourceArn: expect.anything(),
          });
        }
        expect(JSON.stringify(permissions)).not.toContain('CreateAdminKey');
        expect(JSON.stringify(permissions)).not.toContain('RegisterRoutes');
        expect(JSON.stringify(permissions)).not.toContain('DeployKey');
      }
    }
  });

  it('touch the setting of the account for logs of API Gateway only when asked to', () => {
    expect(ofType(resourcesOf(production.rekey), 'AWS::ApiGateway::Account')).toEqual([]);
    const managed = resourcesOf(synthesize({ manageApiGatewayAccount: true }).rekey);
    const [id, account] = ofType(managed, 'AWS::ApiGateway::Account')[0]!;
    expect(account.DeletionPolicy).toBe('Retain');
    expect(ofType(managed, 'AWS::ApiGateway::Stage')[0]![1].DependsOn).toContain(id);
  });

  it('are the same in each synthesis', () => {
    expect(synthesize().rekey.toJSON()).toEqual(production.rekey.toJSON());
    expect(synthesize().orders.toJSON()).toEqual(production.orders.toJSON());
  });
});
