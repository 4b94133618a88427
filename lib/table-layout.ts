import type { z } from 'zod';
import { ApiKeyRecord } from './api-key.schema.ts';

/** The sort key says what kind of record an item is; the partition keys of the kinds never meet. */
export const SORT_KEY = { apiKey: 'api_key', idempotency: 'idempotency', secret: 'secret' } as const;

/** Keys of one owner, newest first: ids are time-ordered. */
export const BY_OWNER = 'by_owner';
/** Keys that came from one another by rotation, oldest first. */
export const BY_LINEAGE = 'by_lineage';

/** A key as the indexes hold it: without what only deciding and writing need. The digest never leaves the table. */
export const ListedKey = ApiKeyRecord.omit({ digest: true, version: true, ttl: true });
export type ListedKey = z.infer<typeof ListedKey>;

/** The table as infra declares it and the engine tests make it. docs/storage.md explains it. */
export const tableLayout = {
  partitionKey: { name: 'pk', type: 'S' },
  sortKey: { name: 'sk', type: 'S' },
  ttlAttribute: 'ttl',
  indexes: [
    {
      name: BY_OWNER,
      partitionKey: { name: 'owner_id', type: 'S' },
      sortKey: { name: 'id', type: 'S' },
    },
    {
      name: BY_LINEAGE,
      partitionKey: { name: 'root_key_id', type: 'S' },
      sortKey: { name: 'generation', type: 'N' },
    },
  ],
  /** What an index projects beside the keys. */
  projected: (index: { partitionKey: { name: string }; sortKey: { name: string } }): string[] =>
    Object.keys(ListedKey.shape).filter(
      (name) => name !== index.partitionKey.name && name !== index.sortKey.name,
    ),
} as const;
