import { describe, expect, it } from '@jest/globals';
import { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { tableLayout } from '../../lib/table-layout.ts';

describe('an index', () => {
  it.each(tableLayout.indexes.map((index) => [index.name, index] as const))(
    '%s holds what callers see of a key, without the digest',
    (_, index) => {
      const held = [index.partitionKey.name, index.sortKey.name, ...tableLayout.projected(index)];
      const kept = ['digest', 'version', 'ttl'];
      expect(held.sort()).toEqual(
        Object.keys(ApiKeyRecord.shape)
          .filter((name) => !kept.includes(name))
          .sort(),
      );
    },
  );

  it.each(tableLayout.indexes.map((index) => [index.name, index] as const))(
    '%s projects at most 20 attributes, the most that DynamoDB takes by name',
    (_, index) => {
      expect(tableLayout.projected(index).length).toBeLessThanOrEqual(20);
    },
  );
});
