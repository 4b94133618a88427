import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import { CfnAccount } from 'aws-cdk-lib/aws-apigateway';
import { MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import {
  type Attribute,
  AttributeType,
  BillingMode,
  ProjectionType,
  StreamViewType,
  Table,
  TableEncryption,
} from 'aws-cdk-lib/aws-dynamodb';
import type { EventBus } from 'aws-cdk-lib/aws-events';
import { ManagedPolicy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Operation } from '../lib/operations/definition.ts';
import { operations } from '../lib/operations/index.ts';
import { ownScopes } from '../lib/own-scopes.ts';
import { PLACED_FIELDS } from '../lib/placement-table.ts';
import { HOLDER_FIELDS } from '../lib/scope-holders.ts';
import {
  BY_DUE,
  BY_LINEAGE,
  BY_OWNER,
  EVENTS_BY_DAY,
  EVENTS_BY_OWNER,
  tableLayout,
} from '../lib/table-layout.ts';
import { Attachment } from './attachment.ts';
import { bundleTogether } from './bundle.ts';
import { Canary } from './canary.ts';
import { DeployedKeys } from './deployed-keys.ts';
import { EventPublisher, RekeyEventBus } from './event-bus.ts';
import { Flushing, flushAccess } from './flush.ts';
import { CANCELLATION, CHANGE, LISTED, NEW_SECRET, REVOCATION, SWEEP, USE } from './key-attributes.ts';
import { Leaks } from './leaks.ts';
import { Monitoring } from './monitoring.ts';
import { ProtectedRestApi } from './protected-rest-api.ts';
import type { RekeySettings } from './settings.ts';
import { SWEEP_TIMEOUT, Sweep } from './sweep.ts';
import { eventRecording, indexAccess, itemAccess } from './table-access.ts';
import { TypeScriptFunction } from './typescript-function.ts';
import { Webhooks } from './webhooks.ts';

export interface RekeyStackProps extends StackProps {
  settings: RekeySettings;
}

/** The stack's properties that functions read, by the names that lib/environment.ts gives them. */
type Setting =
  | 'prefix'
  | 'age'
  | 'plan'
  | 'lifetimes'
  | 'lines'
  | 'retention'
  | 'schedule'
  | 'sampling'
  | 'misuse'
  | 'bus';

/** What a function needs. */
export interface Needs {
  settings: Setting[];
  access: PolicyStatement[];
  /** Variables that lib/environment.ts reads. */
  environment?: Record<string, string>;
}

/** Makes the function of a file in functions/. */
export type MakeFunction = (
  name: string,
  description: string,
  needs: Needs,
  more?: { timeout?: Duration; memorySize?: number },
) => TypeScriptFunction;

/**
 * Four calls to the table, of which each gives up after 6 s (lib/table-client.ts): a function then still answers 503
 * by itself. API Gateway waits 29 s.
 */
const OPERATION_TIMEOUT = Duration.seconds(28);

const FUNCTIONS = fileURLToPath(new URL('../functions', import.meta.url));
const entryOf = (name: string): string => join(FUNCTIONS, `${name}.ts`);
bundleTogether(readdirSync(FUNCTIONS).map((file) => join(FUNCTIONS, file)));

/** `create-key` becomes `CreateKey`. */
const idOf = (name: string): string =>
  name.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Who may call the route of an operation. */
function accessOf(operation: Operation) {
  if (operation.public) return { public: true as const, throttle: operation.throttle };
  return operation.authenticated ? { authenticated: true as const } : { scopes: [operation.scope] };
}

/** The product: its table, its functions and the management API. */
export class RekeyStack extends Stack {
  constructor(scope: Construct, id: string, props: RekeyStackProps) {
    super(scope, id, props);
    const { settings } = props;
    const production = settings.mode === 'production';
    const logs = {
      logRetention: production ? RetentionDays.THREE_MONTHS : RetentionDays.ONE_WEEK,
      logRemoval: production ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    };

    const monitoring = new Monitoring(this, 'Monitoring', { alarmTopicArn: settings.alarmTopicArn });
    const table = keyTable(this, production);
    const { bus } = new RekeyEventBus(this, 'Events', {
      accountIds: settings.eventBusAccountIds,
      organizationIds: settings.eventBusOrganizationIds,
    });
    new EventPublisher(this, 'EventPublisher', { table, bus, monitoring, logs });
    const age =
      settings.maxAgeDays === undefined ? undefined : { REKEY_MAX_AGE_DAYS: String(settings.maxAgeDays) };
    const settingVariables: Record<Setting, Record<string, string>> = {
      prefix: { REKEY_KEY_PREFIX: settings.keyPrefix },
      lifetimes: {
        REKEY_DEFAULT_LIFETIME_DAYS: String(settings.defaultLifetimeDays),
        REKEY_MAX_LIFETIME_DAYS: String(settings.maxLifetimeDays),
        REKEY_ALLOW_NEVER_EXPIRING: String(settings.allowNeverExpiring),
      },
      lines: {
        REKEY_GRACE_STARTS: settings.graceStarts,
        REKEY_PENDING_DAYS: String(settings.pendingDays),
        REKEY_MOST_VALID_KEYS: String(settings.mostValidKeys),
      },
      age: { ...age },
      plan:
        settings.rotateEveryDays === undefined
          ? {}
          : { REKEY_ROTATE_EVERY_DAYS: String(settings.rotateEveryDays) },
      retention: { REKEY_RETENTION_DAYS: String(settings.retentionDays) },
      schedule: { REKEY_NOTIFY_DAYS_BEFORE: settings.notifyDaysBefore.join(','), ...age },
      misuse: { REKEY_LATE_USE_MINUTES: String(settings.lateUseMinutes) },
      bus: { REKEY_EVENT_BUS_NAME: bus.eventBusName },
      // Not String(): it writes a small number as 1e-6.
      sampling: { REKEY_LOG_SAMPLE_RATE: settings.logSampleRate.toFixed(6) },
    };
    const lambda: MakeFunction = (name, description, needs, more = {}) =>
      new TypeScriptFunction(this, idOf(name), {
        ...logs,
        timeout: OPERATION_TIMEOUT,
        ...more,
        description,
        entry: entryOf(name),
        environment: Object.assign(
          {
            REKEY_TABLE_NAME: table.tableName,
            REKEY_EVENT_RETENTION_DAYS: String(settings.eventRetentionDays),
          },
          ...needs.settings.map((setting) => settingVariables[setting]),
          needs.environment ?? {},
        ),
        access: needs.access,
      });

    const authorizer = lambda(
      'authorizer',
      'Decides whether an API key may call a route',
      {
        settings: ['prefix', 'retention', 'sampling', 'misuse'],
        access: [
          itemAccess(table, ['GetItem'], ['key_*', 'routes_*']),
          itemAccess(table, ['UpdateItem'], ['key_*'], USE),
          eventRecording(table),
        ],
      },
      // A decision makes one call to the table of at most 1.5 s, and with a first use three; that races now and then.
      // Processor time, and so the cold start, comes with memory.
      { timeout: Duration.seconds(10), memorySize: 1024 },
    );
    // Its metrics are log lines that it writes itself.
    authorizer.addEnvironment('POWERTOOLS_SERVICE_NAME', this.stackName);
    const registerRoutes = lambda(
      'register-routes',
      'Keeps the routes of an API and their scopes, for CloudFormation',
      {
        settings: [],
        access: [
          itemAccess(table, ['PutItem', 'UpdateItem'], ['routes_*']),
          itemAccess(table, ['DeleteItem', 'PutItem', 'Query'], ['catalog']),
          indexAccess(table, BY_OWNER, HOLDER_FIELDS, 'Scan'),
          eventRecording(table),
          itemAccess(table, ['GetItem', 'PutItem', 'Query', 'UpdateItem'], ['stages']),
        ],
      },
    );
    const createAdminKey = lambda(
      'create-admin-key',
      'Makes an API key that may do everything; only AWS credentials reach it',
      {
        settings: ['prefix', 'lifetimes', 'retention', 'schedule'],
        access: [itemAccess(table, ['GetItem', 'PutItem'], ['key_*']), eventRecording(table)],
      },
    );

    const sweepKeys = lambda(
      'sweep-keys',
      'Sends the notices of keys that end soon, and records the end of those that have ended',
      {
        settings: ['retention', 'schedule'],
        access: [
          indexAccess(table, BY_DUE),
          itemAccess(table, ['GetItem'], ['key_*']),
          itemAccess(table, ['UpdateItem'], ['key_*'], SWEEP),
          eventRecording(table),
          itemAccess(table, ['GetItem', 'PutItem'], ['heartbeats']),
          indexAccess(table, BY_OWNER, PLACED_FIELDS, 'Scan'),
        ],
      },
      { timeout: SWEEP_TIMEOUT, memorySize: 1024 },
    );

    const api = new ProtectedRestApi(this, 'Api', {
      rekey: {
        authorizerFunctionArn: authorizer.functionArn,
        registerRoutesFunctionArn: registerRoutes.functionArn,
      },
      description: 'The management API of Rekey',
      scopes: ownScopes,
      ...logs,
    });
    new Flushing(this, 'Flushing', {
      table,
      bus,
      lambda,
      monitoring,
      consumerAccounts: settings.consumerAccounts,
    });
    const webhooks = new Webhooks(this, 'Webhooks', { table, bus, lambda, monitoring, settings });
    const leaks = new Leaks(this, 'Leaks', { table, bus, lambda, monitoring, settings });
    const needs = {
      ...operationNeeds(table, bus, settings),
      ...webhooks.operationNeeds(),
      ...leaks.operationNeeds(),
    };
    for (const operation of operations) {
      const own = needs[operation.name];
      if (!own)
        throw new Error(`Operation ${operation.name} has no role: say in rekey-stack.ts what it may do`);
      const handler = lambda(operation.name, operation.summary, own);
      api.addRoute(`${operation.method} ${operation.path}`, { ...accessOf(operation), handler });
    }

    const { deployKey, rotateSecret } = new DeployedKeys(this, 'DeployedKeys', {
      table,
      api,
      lambda,
      bus,
      monitoring,
      settings,
    });

    apiAlarms(monitoring, { authorizer, api, table });
    new Sweep(this, 'Sweep', {
      sweepKeys,
      bus,
      intervalMinutes: settings.sweepIntervalMinutes,
      monitoring,
    });
    if (settings.canary) {
      new Canary(this, 'Canary', {
        table,
        lambda,
        rekey: {
          authorizerFunctionArn: authorizer.functionArn,
          registerRoutesFunctionArn: registerRoutes.functionArn,
        },
        monitoring,
        logs,
        revocation: REVOCATION,
      });
    }
    monitoring.makeDashboard();

    if (settings.manageApiGatewayAccount) apiGatewayAccount(this, api);

    new CfnOutput(this, 'ManagementApiUrl', { value: api.url });
    new CfnOutput(this, 'CreateAdminKeyFunctionName', { value: createAdminKey.functionName });
    new CfnOutput(this, 'TableName', { value: table.tableName });
    new Attachment(this, 'Attachment', {
      authorizer,
      registerRoutes,
      deployKey,
      rotateSecret,
      consumerAccounts: settings.consumerAccounts,
    });
  }
}

/** What the role of each operation may do with the table, and no more; docs/storage.md says why. */
function operationNeeds(
  table: Table,
  bus: EventBus,
  { consumerAccounts, sweepIntervalMinutes }: RekeySettings,
): Record<string, Needs> {
  const read = itemAccess(table, ['GetItem'], ['key_*']);
  // Only what it names: whoever takes over the function that renames keys cannot replace a secret.
  const change = (attributes?: string[]) => itemAccess(table, ['UpdateItem'], ['key_*'], attributes);
  // A retry finds its first request, and replaces the secret of the key that was made.
  const mint = itemAccess(table, ['GetItem', 'PutItem'], ['idempotency_*', 'key_*']);
  const record = eventRecording(table);
  const catalog = itemAccess(table, ['Query'], ['catalog']);
  const registration: Needs = {
    settings: [],
    access: [
      itemAccess(table, ['DeleteItem', 'PutItem', 'Query'], ['catalog']),
      itemAccess(table, ['DeleteItem', 'PutItem'], ['routes_*']),
      itemAccess(table, ['GetItem', 'PutItem', 'Query', 'UpdateItem'], ['stages']),
      indexAccess(table, BY_OWNER, HOLDER_FIELDS, 'Scan'),
      record,
    ],
    environment: { REKEY_ACCOUNT_ID: Stack.of(table).account },
  };
  const signCursors = itemAccess(table, ['GetItem', 'PutItem'], ['secret_cursor']);
  // Not by attributes: its transaction puts a whole key.
  const rotation: Needs = {
    settings: ['prefix', 'lifetimes', 'lines', 'retention', 'schedule'],
    access: [mint, change(), catalog, record],
  };
  const flush = flushAccess(table, consumerAccounts);
  const revocation: Needs = {
    settings: ['retention'],
    access: [read, change(REVOCATION), record, ...flush],
  };
  return {
    'create-key': {
      settings: ['plan', 'prefix', 'lifetimes', 'retention', 'schedule'],
      access: [mint, change(NEW_SECRET), catalog, record],
    },
    'list-keys': { settings: ['age'], access: [indexAccess(table, BY_OWNER, LISTED), signCursors] },
    'get-key': { settings: [], access: [read] },
    'get-self': { settings: [], access: [read] },
    'update-key': {
      settings: ['lifetimes', 'retention', 'schedule'],
      access: [read, change(CHANGE), catalog, record, ...flush],
    },
    'rotate-key': rotation,
    'cancel-rotation': {
      settings: ['lifetimes', 'retention', 'schedule'],
      access: [read, change(CANCELLATION), record],
    },
    'rotate-self': rotation,
    'revoke-key': revocation,
    'compromise-key': {
      settings: ['prefix', 'lifetimes', 'retention', 'schedule'],
      access: [
        mint,
        // The line, and for a repeated Idempotency-Key the secret of the key that replaces it.
        change([...REVOCATION, 'digest', 'hint']),
        indexAccess(table, BY_LINEAGE, LISTED),
        itemAccess(table, ['PutItem', 'DeleteItem'], ['compromise_*']),
        record,
        ...flush,
      ],
    },
    'revoke-self': revocation,
    'list-lineage': { settings: [], access: [read, indexAccess(table, BY_LINEAGE, LISTED), signCursors] },
    'verify-key': {
      settings: ['prefix', 'retention', 'misuse'],
      access: [read, change(USE), record],
    },
    'list-key-events': {
      settings: [],
      access: [read, itemAccess(table, ['Query'], ['events_*']), signCursors],
    },
    'list-events': { settings: [], access: [indexAccess(table, EVENTS_BY_OWNER), signCursors] },
    'put-api': registration,
    'delete-api': registration,
    'get-api': { settings: [], access: [catalog] },
    'list-apis': { settings: [], access: [catalog, signCursors] },
    'list-scopes': {
      settings: [],
      access: [catalog, indexAccess(table, BY_OWNER, HOLDER_FIELDS, 'Scan'), signCursors],
    },
    'list-event-types': { settings: [], access: [] },
    'get-status': {
      settings: [],
      access: [
        itemAccess(table, ['GetItem'], ['heartbeats']),
        itemAccess(table, ['Query'], ['canary_samples']),
        indexAccess(table, BY_DUE),
      ],
      environment: { REKEY_SWEEP_INTERVAL_MINUTES: String(sweepIntervalMinutes) },
    },
    'replay-events': {
      settings: ['bus'],
      access: [
        indexAccess(table, EVENTS_BY_DAY),
        signCursors,
        record,
        new PolicyStatement({ actions: ['events:PutEvents'], resources: [bus.eventBusArn] }),
      ],
    },
  };
}

const attribute = ({ name, type }: { name: string; type: 'S' | 'N' }): Attribute => ({
  name,
  type: type === 'S' ? AttributeType.STRING : AttributeType.NUMBER,
});

/** The one table. docs/storage.md describes every item in it. */
function keyTable(stack: Stack, production: boolean): Table {
  const table = new Table(stack, 'Table', {
    partitionKey: attribute(tableLayout.partitionKey),
    sortKey: attribute(tableLayout.sortKey),
    timeToLiveAttribute: tableLayout.ttlAttribute,
    billingMode: BillingMode.PAY_PER_REQUEST,
    // The account's own aws/dynamodb key, rather than one that AWS owns: its use shows in CloudTrail. The roles
    // need no permission for it, and nobody can delete it, as a key of our own could be with all that it protects.
    encryption: TableEncryption.AWS_MANAGED,
    // What is recorded goes from here to the bus.
    stream: StreamViewType.NEW_IMAGE,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: production,
    removalPolicy: production ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
  for (const index of tableLayout.indexes) {
    table.addGlobalSecondaryIndex({
      indexName: index.name,
      partitionKey: attribute(index.partitionKey),
      sortKey: attribute(index.sortKey),
      ...(typeof index.projection === 'string'
        ? { projectionType: ProjectionType[index.projection] }
        : { projectionType: ProjectionType.INCLUDE, nonKeyAttributes: index.projection }),
    });
  }
  return table;
}

/** Of the API, its authorizer and the table. */
function apiAlarms(
  monitoring: Monitoring,
  { authorizer, api, table }: { authorizer: TypeScriptFunction; api: ProtectedRestApi; table: Table },
): void {
  const period = Duration.minutes(1);
  // Not on the authorizer's own errors: each 401 counts as one, since API Gateway wants an error for it. An
  // authorizer that fails otherwise is a 5XX of the API.
  monitoring.alarm({
    id: 'ApiFaults',
    group: 'API',
    metric: api.stage.metricServerError({ period }),
    description: 'The management API answers 5XX.',
    runbook: 'api-faults',
  });
  monitoring.alarm({
    id: 'AuthorizerErrors',
    group: 'API',
    metric: monitoring.metric('requests_refused', { statistic: 'Sum', dimensions: { reason: 'error' } }),
    description: 'The authorizer cannot decide: requests fail that may be allowed.',
    runbook: 'authorizer-errors',
  });
  // How many are refused says more about the clients than about the product; which ones, about both.
  const refusals = [
    'missing',
    'malformed',
    'expired',
    'revoked',
    'honey',
    'not_found',
    'insufficient_scope',
    'route_not_declared',
  ];
  monitoring.graph(
    'API',
    'Refused, by reason',
    refusals.map((reason) =>
      monitoring.metric('requests_refused', { statistic: 'Sum', dimensions: { reason }, label: reason }),
    ),
  );
  monitoring.alarm({
    id: 'RefusedRequests',
    group: 'API',
    metric: monitoring.metric('requests_refused', { statistic: 'Sum' }),
    threshold: 1_000,
    description: 'More than a thousand requests a minute are refused.',
    runbook: 'refused-requests',
  });
  monitoring.alarm({
    id: 'AuthorizerP99',
    group: 'API',
    metric: authorizer.metricDuration({ period, statistic: 'p99' }),
    threshold: 1_000,
    description: 'One decision of the authorizer in a hundred takes more than a second.',
    runbook: 'authorizer-slow',
  });
  monitoring.alarm({
    id: 'AuthorizerThrottles',
    group: 'API',
    metric: authorizer.metricThrottles({ period }),
    description: 'Lambda throttles the authorizer: requests are refused that may be allowed.',
    runbook: 'authorizer-throttles',
  });
  monitoring.alarm({
    id: 'TableThrottles',
    group: 'Table',
    metric: new MathExpression({
      expression: 'FILL(reads, 0) + FILL(writes, 0)',
      label: 'throttled reads and writes',
      period,
      usingMetrics: {
        reads: table.metric('ReadThrottleEvents', { period, statistic: 'Sum' }),
        writes: table.metric('WriteThrottleEvents', { period, statistic: 'Sum' }),
      },
    }),
    description: 'DynamoDB throttles the table: keys cannot be read or written.',
    runbook: 'table-throttles',
  });
}

/**
 * Lets API Gateway write logs in this account and Region: a setting of the account, so it is only touched when
 * asked for. Without it a stage with logs cannot be deployed.
 */
function apiGatewayAccount(stack: Stack, api: ProtectedRestApi): void {
  const role = new Role(stack, 'ApiGatewayLogsRole', {
    assumedBy: new ServicePrincipal('apigateway.amazonaws.com'),
    managedPolicies: [
      ManagedPolicy.fromAwsManagedPolicyName('service-role/AmazonAPIGatewayPushToCloudWatchLogs'),
    ],
  });
  Validations.of(role).acknowledge({
    id: 'AwsSolutions-IAM4',
    reason: 'The policy that API Gateway documents for this setting, which serves all APIs of the account.',
  });
  const account = new CfnAccount(stack, 'ApiGatewayAccount', { cloudWatchRoleArn: role.roleArn });
  account.applyRemovalPolicy(RemovalPolicy.RETAIN);
  role.applyRemovalPolicy(RemovalPolicy.RETAIN);
  api.stage.node.addDependency(account);
}
