import { describe, expect, it } from '@jest/globals';
import { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { BY_LINEAGE, BY_OWNER, tableLayout } from '../../lib/table-layout.ts';

const keyIndexes = tableLayout.indexes.filter(({ name }) => name === BY_OWNER || name === BY_LINEAGE);

describe('an index of keys', () => {
  it.each(keyIndexes.map((index) => [index.name, index] as const))(
    '%s holds what callers see of a key, without the digest',
    (_, index) => {
      const held = [index.partitionKey.name, index.sortKey.name, ...index.projection];
      const kept = [
        'digest',
        'version',
        'ttl',
        'swept_until',
        'due_shard',
        'next_action_at',
        'before_rotation',
        'next_generation',
      ];
      expect(held.sort()).toEqual(
        Object.keys(ApiKeyRecord.shape)
          .filter((name) => !kept.includes(name))
          .sort(),
      );
    },
  );

  it.each(keyIndexes.map((index) => [index.name, index] as const))(
    '%s projects at most 20 attributes, the most that DynamoDB takes by name',
    (_, index) => {
      expect(index.projection.length).toBeLessThanOrEqual(20);
    },
  );
});
