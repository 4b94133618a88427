import { UpdateCommand } from '@aws-sdk/lib-dynamodb';
import type { Origin } from './event.ts';
import { putEvent } from './event-table.ts';
import { NotFound, Unavailable, WebhookEndpointLimit } from './problem.ts';
import {
  ConditionFailed,
  changing,
  environmentTable,
  type KeyTable,
  names,
  pause,
  queryAll,
  readItem,
  send,
  transact,
} from './table-client.ts';
import { SORT_KEY, WEBHOOKS_BY_OWNER } from './table-layout.ts';
import { nextVersion } from './version.ts';
import { WebhookEndpointRecord } from './webhook-endpoint.schema.ts';
import { ALL_OWNERS, type EndpointDecision } from './webhook-endpoint.ts';
import { endpointEvent } from './webhook-endpoint-event.ts';

/** Of one owner. */
export const MOST_ENDPOINTS = 20;
/** How often a write is decided anew because somebody else's came first. */
const MOST_DECISIONS = 8;

const placeOf = (id: string) => ({ pk: id, sk: SORT_KEY.webhookEndpoint });
const countOf = (owner_id: string) => ({ pk: `webhooks_${owner_id}`, sk: SORT_KEY.webhookCount });

/** `id` is the partition key and not stored again: with it and `owner_id` the item would be in an index of keys. */
const recordOf = (item: Record<string, unknown>): WebhookEndpointRecord =>
  WebhookEndpointRecord.parse({ ...item, id: item['pk'] });
const itemOf = ({ id, ...fields }: WebhookEndpointRecord) => ({ ...placeOf(id), ...fields });

/** The endpoint, read consistently. Whose it is, the caller of this decides. */
export async function getEndpoint(
  id: string,
  table: KeyTable = environmentTable(),
): Promise<WebhookEndpointRecord | undefined> {
  const item = await readItem(table, placeOf(id));
  return item && recordOf(item);
}

/**
 * Stores a new endpoint and counts it.
 *
 * @throws WebhookEndpointLimit when its owner has as many as it may
 */
export async function createEndpoint(
  record: WebhookEndpointRecord,
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const outcome = await transact(table, [
    {
      Update: {
        TableName: table.tableName,
        Key: countOf(record.owner_id),
        UpdateExpression: 'ADD #endpoints :one',
        ConditionExpression: 'attribute_not_exists(#endpoints) OR #endpoints < :most',
        ExpressionAttributeNames: names('endpoints'),
        ExpressionAttributeValues: { ':one': 1, ':most': MOST_ENDPOINTS },
      },
    },
    {
      Put: {
        TableName: table.tableName,
        Item: itemOf(record),
        ConditionExpression: 'attribute_not_exists(#pk)',
        ExpressionAttributeNames: names('pk'),
      },
    },
    putEvent(endpointEvent('webhook_endpoint.created', record, origin), table),
  ]);
  if (!(outcome instanceof ConditionFailed)) return;
  // The SDK sends again what was not answered, and then meets what it has written itself.
  if (await getEndpoint(record.id, table)) return;
  throw new WebhookEndpointLimit(MOST_ENDPOINTS);
}

/**
 * Changes an endpoint as `decide` says, which is asked again with a fresh record when somebody else's write came
 * first. The event is written in the same transaction; no decision, no write.
 *
 * @param seen the record as just read
 * @returns the record as it is now
 * @throws NotFound; Unavailable
 */
export async function updateEndpoint(
  seen: WebhookEndpointRecord,
  decide: (record: WebhookEndpointRecord) => EndpointDecision | undefined,
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<WebhookEndpointRecord> {
  let record = seen;
  for (let decisions = 1; ; decisions++) {
    const decision = decide(record);
    if (!decision) return record;
    const { changes, type, reason = null } = decision;
    const after = { ...record, ...changes, version: nextVersion(record, origin.now) };
    const { expression, values } = changing({ ...changes, version: after.version });
    const outcome = await transact(table, [
      {
        Update: {
          TableName: table.tableName,
          Key: placeOf(record.id),
          UpdateExpression: expression,
          ConditionExpression: 'attribute_exists(#pk) AND #version = :version',
          ExpressionAttributeNames: names('pk', 'version', ...Object.keys(changes)),
          ExpressionAttributeValues: { ...values, ':version': record.version },
        },
      },
      putEvent(endpointEvent(type, after, origin, { before: record, reason }), table),
    ]);
    if (!(outcome instanceof ConditionFailed)) return after;
    if (decisions === MOST_DECISIONS) throw new Unavailable(1);
    if (decisions > 1) await pause(decisions);
    const fresh = await getEndpoint(seen.id, table);
    if (!fresh) throw new NotFound();
    record = fresh;
  }
}

/**
 * Deletes an endpoint and gives its place free.
 *
 * @throws NotFound when it is gone already
 */
export async function deleteEndpoint(
  seen: WebhookEndpointRecord,
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const deleted = { ...seen, version: nextVersion(seen, origin.now) };
  const outcome = await transact(table, [
    {
      Delete: {
        TableName: table.tableName,
        Key: placeOf(seen.id),
        ConditionExpression: 'attribute_exists(#pk)',
        ExpressionAttributeNames: names('pk'),
      },
    },
    {
      Update: {
        TableName: table.tableName,
        Key: countOf(seen.owner_id),
        UpdateExpression: 'ADD #endpoints :minus_one',
        ExpressionAttributeNames: names('endpoints'),
        ExpressionAttributeValues: { ':minus_one': -1 },
      },
    },
    putEvent(endpointEvent('webhook_endpoint.deleted', deleted, origin), table),
  ]);
  if (outcome instanceof ConditionFailed) throw new NotFound();
}

/**
 * Notes how deliveries go. It leaves `version` alone, so that deliveries do not disturb what people decide, and
 * it brings no deleted endpoint back.
 */
export async function noteEndpoint(
  id: string,
  noted: Partial<Pick<WebhookEndpointRecord, 'failing_since' | 'slow_until'>>,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const { expression, values } = changing(noted);
  // Many fail at the same time: the first one says since when.
  const first = noted.failing_since ? ' AND attribute_type(#failing_since, :null)' : '';
  await send(
    table,
    new UpdateCommand({
      TableName: table.tableName,
      Key: placeOf(id),
      UpdateExpression: expression,
      ConditionExpression: `attribute_exists(#pk)${first}`,
      ExpressionAttributeNames: names('pk', ...Object.keys(noted)),
      ExpressionAttributeValues: { ...values, ...(first && { ':null': 'NULL' }) },
    }),
  );
}

/**
 * The endpoints that get an owner's events, from an index: an endpoint that was made a moment ago can be missing.
 * Disabled ones are among them.
 */
export async function listenersOf(
  owner_id: string,
  table: KeyTable = environmentTable(),
): Promise<WebhookEndpointRecord[]> {
  const found = await Promise.all([owner_id, ALL_OWNERS].map((owner) => inIndex(owner, table)));
  return found.flat();
}

/** The endpoints that belong to an owner, newest first; those that listen to all owners among them, if asked for. */
export async function endpointsOf(
  owner_id: string,
  { all_owners }: { all_owners: boolean },
  table: KeyTable = environmentTable(),
): Promise<WebhookEndpointRecord[]> {
  const own = await inIndex(owner_id, table);
  const listening = all_owners ? await inIndex(ALL_OWNERS, table) : [];
  return [...own, ...listening.filter((endpoint) => endpoint.owner_id === owner_id)].sort((a, b) =>
    a.id < b.id ? 1 : -1,
  );
}

async function inIndex(webhook_owner: string, table: KeyTable): Promise<WebhookEndpointRecord[]> {
  const found: WebhookEndpointRecord[] = [];
  const items = queryAll(table, {
    IndexName: WEBHOOKS_BY_OWNER,
    KeyConditionExpression: '#webhook_owner = :owner',
    ExpressionAttributeNames: names('webhook_owner'),
    ExpressionAttributeValues: { ':owner': webhook_owner },
  });
  for await (const item of items) found.push(recordOf(item));
  return found;
}
