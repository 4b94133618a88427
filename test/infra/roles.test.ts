import { describe, expect, it } from '@jest/globals';
import { ListedKey } from '../../lib/api-key.schema.ts';
import { operations } from '../../lib/operations/index.ts';
import { evaluatePolicies } from '../../local/iam.ts';
import { documentsOf } from '../role-documents.ts';
import { ofType, type Resources, resourcesOf, synthesize } from './synthesize.ts';

interface Statement {
  Effect: string;
  Action: string | string[];
  Resource: unknown;
  Condition?: Record<string, Record<string, unknown>>;
}

const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);

/** `table` and `log` stand for the two resources there are; everything else is shown as it is. */
const nameOf = (resource: unknown, resources: Resources): string => {
  const text = JSON.stringify(resource);
  if (/:secretsmanager:.*:secret:\*"\]\]\}$/.test(text)) return 'any secret';
  const join = /^\{"Fn::Join":\["",\[(\{.*\}),"([^"]*)"\]\]\}$/.exec(text);
  if (join) return nameOf(JSON.parse(join[1]!), resources) + join[2];
  const [, arn, attribute] = /^\{"Fn::GetAtt":\["([^"]+)","(Arn|StreamArn)"\]\}$/.exec(text) ?? [];
  const type = arn && resources[arn]?.Type;
  if (type === 'AWS::DynamoDB::Table') return attribute === 'StreamArn' ? 'stream' : 'table';
  if (type === 'AWS::Events::EventBus') return 'bus';
  if (type === 'AWS::SQS::Queue') return `queue ${arn?.replace(/[0-9A-F]{8}$/, '')}`;
  const ref = /^\{"Ref":"([^"]+)"\}$/.exec(text)?.[1];
  if (ref && resources[ref]?.Type === 'AWS::SecretsManager::Secret') return 'the root secret';
  const cache = /::\/(restapis|apis)\/\*\/stages\/\*\/cache\/authorizers"\]\]\}$/.exec(text)?.[1];
  if (cache) return `the caches of ${cache === 'apis' ? 'HTTP' : 'REST'} APIs`;
  if (type === 'AWS::Lambda::Function') return `function ${arn?.replace(/[0-9A-F]{8}$/, '')}`;
  if (type === 'AWS::Logs::LogGroup') return `log ${arn?.replace(/Logs[0-9A-F]{8}$/, '')}`;
  return text;
};

/** One statement as a line: what may be done to what, and on which conditions. */
const lineOf = (
  { Effect, Action, Resource, Condition, ...rest }: Statement,
  resources: Resources,
): string => {
  expect(rest).toEqual({});
  expect(Effect).toBe('Allow');
  const what = list(Action).map((action) => action.replace(/^dynamodb:/, ''));
  const keys = Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'] as string[] | undefined;
  const attributes = Condition?.['ForAllValues:StringLike']?.['dynamodb:Attributes'] as string[] | undefined;
  const entry = Condition?.['ForAllValues:StringEquals']?.['events:source'];
  const ofSecrets = Object.entries({ ...Condition?.['StringLike'], ...Condition?.['StringEquals'] })
    .filter(([key]) => /ResourceTag|AllowRotationLambdaArn/.test(key))
    .map(([key, value]) => `${key} ${nameOf(value, resources)}`);
  const enclosing = Condition?.['StringEquals']?.['dynamodb:EnclosingOperation'] as string | undefined;
  const listed = Condition?.['ForAllValues:StringEquals']?.['dynamodb:Attributes'] as string[] | undefined;
  if (listed) {
    expect(Condition).toEqual({
      'ForAllValues:StringEquals': { 'dynamodb:Attributes': listed },
      StringEquals: { 'dynamodb:Select': 'SPECIFIC_ATTRIBUTES' },
      Null: { 'dynamodb:Attributes': 'false' },
    });
  } else if (entry) {
    expect(Condition).toEqual({
      'ForAllValues:StringEquals': { 'events:source': entry },
      Null: { 'events:source': 'false' },
      StringEquals: { 'events:detail-type': 'sweep.unfinished' },
    });
  } else if (ofSecrets.length > 0) {
    const { Null: absent, ...present } = Condition!;
    expect(Object.values(present).flatMap(Object.keys)).toHaveLength(1);
    // Of a request that could name another function.
    if (absent) expect(absent).toEqual({ 'secretsmanager:RotationLambdaARN': 'true' });
    expect(absent !== undefined).toBe(list(Action).includes('secretsmanager:RotateSecret'));
  } else if (Condition) {
    // A condition that would be met by a request without the key must demand the key.
    expect(Condition).toEqual({
      'ForAllValues:StringLike': {
        'dynamodb:LeadingKeys': keys,
        ...(attributes && { 'dynamodb:Attributes': attributes }),
      },
      Null: { 'dynamodb:LeadingKeys': 'false', ...(attributes && { 'dynamodb:Attributes': 'false' }) },
      ...(enclosing && { StringEquals: { 'dynamodb:EnclosingOperation': enclosing } }),
    });
  }
  return [
    `${what.join('+')} on ${list(Resource)
      .map((one) => nameOf(one, resources))
      .join('+')}`,
    ...(entry ? [`of ${entry} sweep.unfinished`] : []),
    ...ofSecrets.map((line) => `with ${line}`),
    ...(keys ? [`of ${keys.join(' ')}`] : []),
    ...(enclosing ? [`within ${enclosing}`] : []),
    ...(attributes ? [`naming ${attributes.join(' ')}`] : []),
    ...(listed ? [`seeing ${listed.join(' ')}`] : []),
  ].join(' ');
};

/** By the function's id: every statement of its role. */
function statementsByFunction(resources: Resources): Record<string, string[]> {
  const result: Record<string, string[]> = {};
  for (const [functionId, { Properties }] of ofType(resources, 'AWS::Lambda::Function')) {
    const roleId: string = Properties.Role['Fn::GetAtt'][0];
    const role = resources[roleId]!;
    expect(role.Properties).not.toHaveProperty('ManagedPolicyArns');
    expect(role.Properties.AssumeRolePolicyDocument.Statement).toEqual([
      { Action: 'sts:AssumeRole', Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' } },
    ]);
    result[functionId.replace(/[0-9A-F]{8}$/, '')] = documentsOf(roleId, resources).flatMap(({ Statement }) =>
      Statement.map((statement: Statement) => lineOf(statement, resources)),
    );
  }
  return result;
}

const traces = 'xray:PutTelemetryRecords+xray:PutTraceSegments on "*"';
const logs = (id: string) => `logs:CreateLogStream+logs:PutLogEvents on log ${id}`;
const cursors = 'GetItem+PutItem on table of secret_cursor';
const naming = (attributes: string) =>
  `UpdateItem on table of key_* naming pk sk revoked_at first_used_at version event event_type event_owner_id event_day ttl ${attributes}`;
const listing = `seeing ${Object.keys(ListedKey.shape).join(' ')}`;
const due = 'due_shard next_action_at';
const use = naming(
  `${due} swept_until digest told_at pending_until pending_grace_hours expires_at rotated_at successor_key_id last_used_at last_used_ip last_used_route`,
);
const recording = 'PutItem on table of events_* within TransactWriteItems';
const flushing = [
  'Query on table of stages',
  'GetItem+UpdateItem on table of flushes',
  'apigateway:DELETE on the caches of HTTP APIs+the caches of REST APIs',
];
const beating = 'PutItem on table of heartbeats';
const endpoint = 'GetItem on table of whe_*';
const counting = 'UpdateItem on table of webhooks_*';
const rootSecret = 'secretsmanager:GetSecretValue on the root secret';
const sending = 'sqs:SendMessage on queue WebhooksDeliveriesQueue+queue WebhooksSlowDeliveriesQueue';
const receiving = (queue: string) =>
  `sqs:ChangeMessageVisibility+sqs:DeleteMessage+sqs:GetQueueAttributes+sqs:GetQueueUrl+sqs:ReceiveMessage on queue ${queue}`;
const delivering = [
  'GetItem on table of whe_* deliveries_* events_*',
  'UpdateItem on table of whe_* deliveries_*',
  recording,
  rootSecret,
  sending,
];

const catalog = 'Query on table of catalog';
const countingHolders =
  'Scan on table/index/by_owner seeing scopes expires_at rotated_at revoked_at pending_until';
const registering = [
  'DeleteItem+PutItem+Query on table of catalog',
  'DeleteItem+PutItem on table of routes_*',
  'GetItem+PutItem+Query+UpdateItem on table of stages',
  countingHolders,
  recording,
];

const access: Record<string, string[]> = {
  Authorizer: ['GetItem on table of key_* routes_*', use, recording],
  RegisterRoutes: [
    'PutItem+UpdateItem on table of routes_*',
    'DeleteItem+PutItem+Query on table of catalog',
    countingHolders,
    recording,
    'GetItem+PutItem+Query+UpdateItem on table of stages',
  ],
  PutApi: registering,
  DeleteApi: registering,
  GetApi: [catalog],
  ListApis: [catalog, cursors],
  ListScopes: [catalog, countingHolders, cursors],
  CreateAdminKey: ['GetItem+PutItem on table of key_*', recording],
  DeployKey: [
    'GetItem+PutItem+UpdateItem on table of key_*',
    'DeleteItem+GetItem+PutItem on table of deployment_*',
    `Query on table/index/by_lineage ${listing}`,
    recording,
    // Not GetSecretValue: it writes secrets and reads none.
    'secretsmanager:DescribeSecret+secretsmanager:PutSecretValue on any secret with aws:ResourceTag/rekey:owner "*"',
  ],
  RotateSecret: [
    'secretsmanager:DescribeSecret+secretsmanager:GetSecretValue+secretsmanager:ListSecretVersionIds+secretsmanager:PutSecretValue+secretsmanager:UpdateSecretVersionStage on any secret with secretsmanager:resource/AllowRotationLambdaArn function RotateSecret',
    'secretsmanager:RotateSecret on any secret with secretsmanager:resource/AllowRotationLambdaArn function RotateSecret',
    // Which AWS asks of whoever begins a rotation.
    'lambda:InvokeFunction on function RotateSecret',
  ],
  CreateKey: ['GetItem+PutItem on table of idempotency_* key_*', naming('digest hint'), catalog, recording],
  ListKeys: [`Query on table/index/by_owner ${listing}`, cursors],
  GetKey: ['GetItem on table of key_*'],
  UpdateKey: [
    'GetItem on table of key_*',
    naming(
      `${due} swept_until expires_at metadata name notify_days_before on_reuse scopes grace_starts rotation rotation_due_at rotation_told`,
    ),
    catalog,
    recording,
    ...flushing,
  ],
  RotateKey: [
    'GetItem+PutItem on table of idempotency_* key_*',
    'UpdateItem on table of key_*',
    catalog,
    recording,
  ],
  CancelRotation: [
    'GetItem on table of key_*',
    naming(
      `${due} swept_until expires_at revoked_reason pending_until pending_grace_hours before_rotation next_generation rotated_at successor_key_id`,
    ),
    recording,
  ],
  RevokeKey: ['GetItem on table of key_*', naming(`${due} revoked_reason`), recording, ...flushing],
  CompromiseKey: [
    'GetItem+PutItem on table of idempotency_* key_*',
    naming(`${due} revoked_reason digest hint`),
    `Query on table/index/by_lineage ${listing}`,
    'DeleteItem+PutItem on table of compromise_*',
    recording,
    ...flushing,
  ],
  ReportLeaks: ['sqs:SendMessage on queue LeaksReportsQueue'],
  ReportGithubLeaks: ['GetItem on table of key_*', 'sqs:SendMessage on queue LeaksReportsQueue'],
  ActOnLeaks: [
    'GetItem on table of key_*',
    naming(`${due} revoked_reason digest leaked_at`),
    recording,
    'sqs:ChangeMessageVisibility+sqs:DeleteMessage+sqs:GetQueueAttributes+sqs:GetQueueUrl+sqs:ReceiveMessage on queue LeaksReportsQueue',
  ],
  FinishCompromises: [
    'Query on table/index/by_due',
    `Query on table/index/by_lineage ${listing}`,
    'GetItem on table of key_* compromise_*',
    naming(`${due} revoked_reason`),
    'DeleteItem+PutItem on table of compromise_*',
    recording,
  ],
  GetSelf: ['GetItem on table of key_*'],
  RotateSelf: [
    'GetItem+PutItem on table of idempotency_* key_*',
    'UpdateItem on table of key_*',
    catalog,
    recording,
  ],
  RevokeSelf: ['GetItem on table of key_*', naming(`${due} revoked_reason`), recording, ...flushing],
  ListLineage: ['GetItem on table of key_*', `Query on table/index/by_lineage ${listing}`, cursors],
  SweepKeys: [
    'Query on table/index/by_due',
    'GetItem on table of key_*',
    naming(
      `${due} swept_until revoked_reason pending_until pending_grace_hours successor_key_id next_generation rotation_told rotation_due_at overdue_counted_at`,
    ),
    recording,
    'GetItem+PutItem on table of heartbeats',
    'Scan on table/index/by_owner seeing pk sk owner_id id',
    'events:PutEvents on bus of rekey.system sweep.unfinished',
  ],
  ListKeyEvents: ['GetItem on table of key_*', 'Query on table of events_*', cursors],
  ListEvents: ['Query on table/index/events_by_owner', cursors],
  ListEventTypes: [],
  GetStatus: [
    'GetItem on table of heartbeats',
    'Query on table of canary_samples',
    'Query on table/index/by_due',
  ],
  RunCanary: [
    'GetItem+PutItem on table of key_*',
    naming(`${due} revoked_reason`),
    recording,
    'PutItem on table of canary_samples',
    ...flushing,
  ],
  AnswerCanary: [],
  ReplayEvents: ['Query on table/index/events_by_day', cursors, recording, 'events:PutEvents on bus'],
  VerifyKey: ['GetItem on table of key_*', use, recording],
  PublishEvents: [
    'events:PutEvents on bus',
    'sqs:SendMessage on queue EventPublisherUnpublished',
    // Listing streams has no resource either, so it is one statement with the traces.
    `ListStreams+${traces}`,
    'DescribeStream+GetRecords+GetShardIterator on stream',
  ],
  CreateWebhookEndpoint: ['GetItem+PutItem on table of whe_*', counting, recording, rootSecret],
  ListWebhookEndpoints: ['Query on table/index/webhooks_by_owner', cursors],
  GetWebhookEndpoint: [endpoint],
  UpdateWebhookEndpoint: ['GetItem+UpdateItem on table of whe_*', recording],
  DeleteWebhookEndpoint: ['DeleteItem+GetItem on table of whe_*', counting, recording],
  RotateWebhookSecret: ['GetItem+UpdateItem on table of whe_*', recording, rootSecret],
  TestWebhookEndpoint: [endpoint, 'PutItem on table of deliveries_*', sending],
  ListWebhookDeliveries: [endpoint, 'Query on table of deliveries_*', cursors],
  RedeliverWebhook: [endpoint, 'GetItem+UpdateItem on table of deliveries_*', sending],
  RedeliverMissedWebhooks: [endpoint, 'GetItem+Query+UpdateItem on table of deliveries_*', cursors, sending],
  FanOutEvent: [
    'Query on table/index/webhooks_by_owner',
    'PutItem on table of deliveries_*',
    sending,
    receiving('WebhooksEventsQueue'),
  ],
  FlushCaches: [...flushing, beating, receiving('FlushingFirstQueue+queue FlushingSecondQueue')],
  DeliverWebhook: [...delivering, receiving('WebhooksDeliveriesQueue')],
  DeliverSlowWebhook: [...delivering, receiving('WebhooksSlowDeliveriesQueue')],
  RequeueDeliveries: [
    'Query on table/index/by_due',
    'UpdateItem on table of deliveries_* naming pk sk next_action_at',
    beating,
    sending,
  ],
};

/** Every role of a template with its policy documents, the table's ARN put in for the references to it. */
function policiesByRole(resources: Resources, tableArn: string): Record<string, object[]> {
  const tableId = ofType(resources, 'AWS::DynamoDB::Table')[0]![0];
  const known = (document: object): object =>
    JSON.parse(
      JSON.stringify(document)
        .replaceAll(`{"Fn::GetAtt":["${tableId}","Arn"]}`, JSON.stringify(tableArn))
        .replace(/\{"Fn::Join":\["",\["([^"]*)","([^"]*)"\]\]\}/g, '"$1$2"')
        // What is left names other resources.
        .replace(
          /\{"(?:Fn::GetAtt|Fn::Join|Ref)":(?:"[^"]*"|\[(?:[^[\]]|\[[^[\]]*\])*\])\}/g,
          '"arn:aws:other:::x"',
        ),
    );
  return Object.fromEntries(
    ofType(resources, 'AWS::IAM::Role').map(([roleId]) => [
      roleId,
      documentsOf(roleId, resources).map(known),
    ]),
  );
}

describe('the trail', () => {
  const TABLE = 'arn:aws:dynamodb:us-east-1:000000000000:table/Keys';
  const roles = policiesByRole(resourcesOf(synthesize().rekey), TABLE);
  const EVENT = 'events_key_0000000000000000000001';
  const item = ['pk', 'sk', 'event', 'event_type', 'event_owner_id', 'event_day', 'ttl'];
  const enclosed = { 'dynamodb:EnclosingOperation': 'TransactWriteItems' };
  const allowed = async (role: string, action: string, context: Record<string, string | string[]>) => {
    const { allowed } = await evaluatePolicies({
      policies: roles[role]!,
      principal: 'arn:aws:sts::000000000000:assumed-role/r/s',
      action: `dynamodb:${action}`,
      resource: TABLE,
      context,
    });
    return allowed;
  };

  it.each(Object.keys(roles))('cannot be changed or shortened by %s', async (role) => {
    const ways: Record<string, string | string[]>[] = [{}, enclosed].flatMap((more) => [
      { 'dynamodb:LeadingKeys': [EVENT], 'dynamodb:Attributes': item, ...more },
      { 'dynamodb:LeadingKeys': [EVENT], 'dynamodb:Attributes': ['pk', 'sk'], ...more },
      { 'dynamodb:LeadingKeys': [EVENT], ...more },
      more,
    ]);
    const actions = ['UpdateItem', 'DeleteItem', 'BatchWriteItem'];
    const partiQl = ['PartiQLInsert', 'PartiQLUpdate', 'PartiQLDelete'];
    const ofTable = ['DeleteTable', 'UpdateTable', 'UpdateTimeToLive', 'RestoreTableToPointInTime'];
    for (const action of [...actions, ...partiQl, ...ofTable])
      for (const way of ways)
        expect([action, way, await allowed(role, action, way)]).toEqual([action, way, false]);
  });

  it.each(Object.keys(roles))(
    'is written by %s, if at all, within the transaction of a change',
    async (role) => {
      const keys = { 'dynamodb:LeadingKeys': [EVENT], 'dynamodb:Attributes': item };
      expect(await allowed(role, 'PutItem', keys)).toBe(false);
      expect(await allowed(role, 'PutItem', {})).toBe(false);
    },
  );

  it('is written by those that change keys, and by none that only read', async () => {
    const keys = { 'dynamodb:LeadingKeys': [EVENT], 'dynamodb:Attributes': item, ...enclosed };
    const mayWrite = async (name: string) =>
      allowed(Object.keys(roles).find((role) => role.startsWith(name))!, 'PutItem', keys);
    for (const name of ['Authorizer', 'CreateKey', 'RotateKey', 'RevokeKey', 'UpdateKey', 'VerifyKey'])
      expect([name, await mayWrite(name)]).toEqual([name, true]);
    for (const name of ['GetKey', 'ListKeys', 'GetApi'])
      expect([name, await mayWrite(name)]).toEqual([name, false]);
  });
});

describe('a list of keys', () => {
  const TABLE = 'arn:aws:dynamodb:us-east-1:000000000000:table/Keys';
  const roles = policiesByRole(resourcesOf(synthesize().rekey), TABLE);
  const shown = ['id', 'owner_id', 'name', 'scopes', 'expires_at', 'revoked_at'];
  const hidden = ['digest', 'version', 'ttl', 'swept_until', 'before_rotation'];
  const some = { 'dynamodb:Select': 'SPECIFIC_ATTRIBUTES' };

  it.each([
    ['ListKeys', 'by_owner'],
    ['ListLineage', 'by_lineage'],
  ])('%s sees the public fields of %s and nothing else', async (name, index) => {
    const role = Object.keys(roles).find((one) => one.startsWith(name))!;
    const may = async (context: Record<string, string | string[]>) => {
      const { allowed } = await evaluatePolicies({
        policies: roles[role]!,
        principal: 'arn:aws:sts::000000000000:assumed-role/r/s',
        action: 'dynamodb:Query',
        resource: `${TABLE}/index/${index}`,
        context,
      });
      return allowed;
    };
    expect(await may({ ...some, 'dynamodb:Attributes': shown })).toBe(true);
    for (const field of hidden)
      expect([field, await may({ ...some, 'dynamodb:Attributes': [...shown, field] })]).toEqual([
        field,
        false,
      ]);
    expect(await may({ 'dynamodb:Attributes': shown, 'dynamodb:Select': 'ALL_ATTRIBUTES' })).toBe(false);
    expect(await may({ 'dynamodb:Attributes': shown, 'dynamodb:Select': 'ALL_PROJECTED_ATTRIBUTES' })).toBe(
      false,
    );
    expect(await may(some)).toBe(false);
  });
});

describe('the roles', () => {
  const templates = synthesize();

  it.each(Object.keys(access))('of %s has exactly what the function uses', (id) => {
    const statements = statementsByFunction(resourcesOf(templates.rekey))[id];
    const own = access[id]!.some((line) => line.endsWith(traces)) ? access[id]! : [...access[id]!, traces];
    expect(statements?.toSorted()).toEqual([logs(id), ...own].toSorted());
  });

  it('are these and no others', () => {
    const resources = resourcesOf(templates.rekey);
    expect(Object.keys(statementsByFunction(resources)).toSorted()).toEqual(Object.keys(access).toSorted());
    expect(ofType(resources, 'AWS::IAM::Role')).toHaveLength(Object.keys(access).length);
    expect(Object.keys(access)).toHaveLength(operations.length + 16);
  });

  it('of the Orders example may write logs and traces, and know nothing of the table', () => {
    const orders = statementsByFunction(resourcesOf(templates.orders));
    expect(Object.keys(orders).toSorted()).toEqual(['ListOrders', 'PlaceOrder', 'RefundOrder']);
    for (const [id, statements] of Object.entries(orders)) {
      expect(statements.toSorted()).toEqual([logs(id), traces]);
    }
  });
});
