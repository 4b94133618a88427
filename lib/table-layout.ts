/** The sort key says what kind of record an item is; the partition keys of the kinds never meet. */
export const SORT_KEY = {
  apiKey: 'api_key',
  idempotency: 'idempotency',
  secret: 'secret',
  deployment: 'deployment',
  webhookEndpoint: 'webhook_endpoint',
  webhookCount: 'webhook_count',
  currentRoutes: 'current',
  compromise: 'compromise',
} as const;

/** The partition of all registered APIs: one read has them. */
export const CATALOG = 'catalog';

/** Keys of one owner, newest first: ids are time-ordered. */
export const BY_OWNER = 'by_owner';
/** Keys that came from one another by rotation, oldest first. */
export const BY_LINEAGE = 'by_lineage';
/** Events of one owner, by time. */
export const EVENTS_BY_OWNER = 'events_by_owner';
/** Events of one part of a day, by time. */
export const EVENTS_BY_DAY = 'events_by_day';
/** What has something ahead, by when: only the keys of those items. */
export const BY_DUE = 'by_due';
/** The webhook endpoints of one owner, or of those that listen to all. */
export const WEBHOOKS_BY_OWNER = 'webhooks_by_owner';

interface Attribute {
  name: string;
  type: 'S' | 'N';
}

export interface Index {
  name: string;
  partitionKey: Attribute;
  sortKey: Attribute;
  /** What it holds beside the keys of the table and its own. */
  projection: 'ALL' | 'KEYS_ONLY' | string[];
}

const text = (name: string): Attribute => ({ name, type: 'S' });

/** The table as infra declares it and the engine tests make it. docs/storage.md explains it. */
export const tableLayout = {
  partitionKey: text('pk'),
  sortKey: text('sk'),
  ttlAttribute: 'ttl',
  indexes: [
    { name: BY_OWNER, partitionKey: text('owner_id'), sortKey: text('id'), projection: 'ALL' },
    {
      name: BY_LINEAGE,
      partitionKey: text('root_key_id'),
      sortKey: { name: 'generation', type: 'N' },
      projection: 'ALL',
    },
    {
      name: EVENTS_BY_OWNER,
      partitionKey: text('event_owner_id'),
      sortKey: text('sk'),
      projection: ['event'],
    },
    { name: EVENTS_BY_DAY, partitionKey: text('event_day'), sortKey: text('sk'), projection: ['event'] },
    {
      name: BY_DUE,
      partitionKey: text('due_shard'),
      sortKey: text('next_action_at'),
      projection: 'KEYS_ONLY',
    },
    {
      name: WEBHOOKS_BY_OWNER,
      partitionKey: text('webhook_owner'),
      sortKey: text('pk'),
      projection: 'ALL',
    },
  ] satisfies Index[] as Index[],
};
