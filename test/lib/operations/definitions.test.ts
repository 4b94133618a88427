import { existsSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import type { z } from 'zod';
import { operations } from '../../../lib/operations/index.ts';
import { ownScopes } from '../../../lib/own-scopes.ts';
import { isRequirement } from '../../../lib/scope.ts';
import { call } from '../api-event.ts';

const byName = (name: string) => operations.find((operation) => operation.name === name)!;
const problemsOf = (name: string, body: unknown) => {
  const result = (byName(name).body as z.ZodType).safeParse(body);
  return result.success ? [] : result.error.issues.map((issue) => issue.path.join('.'));
};
const valid = { name: 'n', owner_id: 'team', scopes: ['orders:read'] };

describe('the operations', () => {
  it('are those of the management API, each with its route and scope', () => {
    expect(operations.map(({ name, method, path, scope }) => `${name}: ${method} ${path} ${scope}`)).toEqual([
      'create-key: POST /api-keys api-keys:create',
      'list-keys: GET /api-keys api-keys:read',
      'get-key: GET /api-keys/{id} api-keys:read',
      'update-key: PATCH /api-keys/{id} api-keys:update',
      'rotate-key: POST /api-keys/{id}/rotate api-keys:rotate',
      'cancel-rotation: POST /api-keys/{id}/rotate/cancel api-keys:rotate',
      'revoke-key: POST /api-keys/{id}/revoke api-keys:revoke',
      'compromise-key: POST /api-keys/{id}/compromise api-keys:compromise',
      'report-leaks: POST /leaks undefined',
      'report-github-leaks: POST /integrations/github/secret-scanning undefined',
      'list-lineage: GET /api-keys/{id}/lineage api-keys:read',
      'verify-key: POST /api-keys/verify api-keys:verify',
      // Any valid key, for itself.
      'get-self: GET /api-keys/self undefined',
      'get-status: GET /status status:read',
      'rotate-self: POST /api-keys/self/rotate undefined',
      'revoke-self: POST /api-keys/self/revoke undefined',
      'list-key-events: GET /api-keys/{id}/events api-keys:read',
      'list-events: GET /events api-keys:read',
      'list-event-types: GET /event-types api-keys:read',
      'replay-events: POST /events/replay events:replay',
      'create-webhook-endpoint: POST /webhook-endpoints webhooks:manage',
      'list-webhook-endpoints: GET /webhook-endpoints webhooks:read',
      'get-webhook-endpoint: GET /webhook-endpoints/{id} webhooks:read',
      'update-webhook-endpoint: PATCH /webhook-endpoints/{id} webhooks:manage',
      'delete-webhook-endpoint: DELETE /webhook-endpoints/{id} webhooks:manage',
      'rotate-webhook-secret: POST /webhook-endpoints/{id}/rotate-secret webhooks:manage',
      'test-webhook-endpoint: POST /webhook-endpoints/{id}/test webhooks:manage',
      'list-webhook-deliveries: GET /webhook-endpoints/{id}/deliveries webhooks:read',
      'redeliver-webhook: POST /webhook-endpoints/{id}/deliveries/{delivery_id}/redeliver webhooks:manage',
      'redeliver-missed-webhooks: POST /webhook-endpoints/{id}/deliveries/redeliver webhooks:manage',
      'put-api: PUT /apis/{id} apis:manage',
      'list-apis: GET /apis apis:read',
      'get-api: GET /apis/{id} apis:read',
      'delete-api: DELETE /apis/{id} apis:manage',
      'list-scopes: GET /scopes scopes:read',
    ]);
    expect(Object.keys(ownScopes).sort()).toEqual(
      [...new Set(operations.flatMap(({ scope }) => scope ?? []))].sort(),
    );
    for (const { scope, authenticated, ...operation } of operations)
      expect(scope === undefined ? authenticated || operation.public : isRequirement(scope)).toBe(true);
    expect(operations.flatMap((operation) => (operation.public ? [operation.name] : []))).toEqual([
      'report-leaks',
      'report-github-leaks',
    ]);
  });

  it.each(operations.map((operation) => [operation.name, operation] as const))(
    '%s has a function of its name, whose handler takes two parameters',
    async (name) => {
      expect(existsSync(`functions/${name}.ts`)).toBe(true);
      const { handler } = await import(`../../../functions/${name}.ts`);
      expect(handler.length).toBeLessThanOrEqual(2);
    },
  );

  it.each(operations.map((operation) => [operation.name, operation] as const))(
    '%s takes and answers its own examples',
    async (_name, operation) => {
      const { examples, path } = operation;
      expect(operation.answer.schema.safeParse(examples.answer).error).toBeUndefined();
      const answer = await call(
        // No example has GitHub's signature.
        { ...operation, admit: async () => undefined, run: async () => examples.answer },
        {
          ...(examples.body !== undefined && { json: examples.body }),
          ...(examples.query && { query: examples.query }),
          ids: {
            id: path.startsWith('/apis')
              ? 'a1b2c3d4e5'
              : `${path.startsWith('/webhook-endpoints') ? 'whe' : 'key'}_0000000000000000000009`,
            delivery_id: 'evt_0000000000000000000009',
          },
        },
      );
      expect(answer.status).toBe(operation.answer.status);
      expect(answer.body).toEqual(examples.answer);
    },
  );
});

describe('what a caller may write into a key', () => {
  it.each(['a', 'Ünïcode 名前', '👩‍👩‍👧', 'x'.repeat(100)])('may be named %j', (name) => {
    expect(problemsOf('create-key', { ...valid, name })).toEqual([]);
  });
  it.each([
    '',
    ' ',
    'x'.repeat(101),
    'a\nb',
    'a\u0000b',
    '\u007f',
    'a\u202eb',
    '\ud800',
    'a\u2028b',
    5,
    null,
    '\u200b\u2060',
  ])('may not be named %j', (name) => {
    expect(problemsOf('create-key', { ...valid, name })).toContain('name');
  });

  it.each(['a', 'team-billing', 'user:42', 'a@b.c', 'org/team_1+x', '1'.repeat(128)])(
    'may be of the owner %j',
    (owner_id) => {
      expect(problemsOf('create-key', { ...valid, owner_id })).toEqual([]);
    },
  );
  it.each(['', ' ', 'a b', '-a', '/a', 'x'.repeat(129), 'é', 'a"b', 'a\\b', 'a,b', 'a\n', '${x}', 1, null])(
    'may not be of the owner %j',
    (owner_id) => {
      expect(problemsOf('create-key', { ...valid, owner_id })).toContain('owner_id');
    },
  );

  it('has 1 to 100 scopes, each well formed', () => {
    const many = (n: number) => Array.from({ length: n }, (_, i) => `orders:a${i}`);
    expect(problemsOf('create-key', { ...valid, scopes: many(100) })).toEqual([]);
    expect(problemsOf('create-key', { ...valid, scopes: many(101) })).toEqual(['scopes']);
    expect(problemsOf('create-key', { ...valid, scopes: [] })).toEqual(['scopes']);
    expect(problemsOf('create-key', { ...valid, scopes: 'orders:read' })).toEqual(['scopes']);
    expect(problemsOf('create-key', { ...valid, scopes: ['orders:read', 'orders', '*', 5] })).toEqual([
      'scopes.1',
      'scopes.2',
      'scopes.3',
    ]);
  });

  it('has metadata of at most 50 entries of 40 and 500 characters', () => {
    const entries = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v']));
    expect(problemsOf('create-key', { ...valid, metadata: entries(50) })).toEqual([]);
    expect(problemsOf('create-key', { ...valid, metadata: entries(51) })).toEqual(['metadata']);
    expect(problemsOf('create-key', { ...valid, metadata: { ['k'.repeat(40)]: 'v'.repeat(500) } })).toEqual(
      [],
    );
    expect(problemsOf('create-key', { ...valid, metadata: { a: 'v'.repeat(501) } })).toEqual(['metadata.a']);
    for (const name of ['k'.repeat(41), '', 'a\nb'])
      expect(problemsOf('create-key', { ...valid, metadata: { [name]: 'v' } })).toHaveLength(1);
    for (const metadata of [{ a: 1 }, { a: null }, { a: '\ud800' }, { a: '\u0000' }, [], 'x', null])
      expect(problemsOf('create-key', { ...valid, metadata }).length).toBeGreaterThan(0);
  });

  it.each(['2027-01-31T12:00:00Z', '2027-01-31T12:00:00.5Z', '2028-02-29T00:00:00.000Z', null])(
    'may end at %j',
    (expires_at) => {
      expect(problemsOf('create-key', { ...valid, expires_at })).toEqual([]);
    },
  );
  it.each(['2027-01-31', '2027-01-31T12:00:00', '2027-01-31T12:00:00+01:00', '2027-02-30T12:00:00Z', '', 5])(
    'may not end at %j',
    (expires_at) => {
      expect(problemsOf('create-key', { ...valid, expires_at })).toEqual(['expires_at']);
    },
  );

  it.each([0, -1, 1.5, '30', null, 36_501, 1e300])('may not live for %j days', (expires_in_days) => {
    expect(problemsOf('create-key', { ...valid, expires_in_days })).toContain('expires_in_days');
  });

  it.each(['status', 'id', 'digest', 'version', 'ttl', 'created_by', 'first_used_at', 'root_key_id'])(
    'has no %s',
    (name) => {
      expect((byName('create-key').body as z.ZodType).safeParse({ ...valid, [name]: 'x' }).success).toBe(
        false,
      );
      expect((byName('update-key').body as z.ZodType).safeParse({ name: 'n', [name]: 'x' }).success).toBe(
        false,
      );
    },
  );

  it('is changed by a PATCH that has something in it', () => {
    expect(problemsOf('update-key', {})).toEqual(['']);
    expect(problemsOf('update-key', { name: 'n' })).toEqual([]);
    expect((byName('update-key').body as z.ZodType).safeParse({ owner_id: 'x' }).success).toBe(false);
    expect((byName('update-key').body as z.ZodType).safeParse({ environment: 'test' }).success).toBe(false);
  });

  it.each([0, 24, 720])('is rotated with a grace of %i hours', (grace_period_hours) => {
    expect(problemsOf('rotate-key', { grace_period_hours })).toEqual([]);
  });
  it.each([-1, 721, 0.5, '24', null])('is not rotated with a grace of %j hours', (grace_period_hours) => {
    expect(problemsOf('rotate-key', { grace_period_hours })).toContain('grace_period_hours');
  });
});

describe('a list', () => {
  const list = (query: unknown) => (byName('list-keys').query as z.ZodType).safeParse(query);

  it.each(['1', '50', '100'])('may have %s keys in a page', (limit) => {
    expect(list({ limit }).data).toEqual({ limit: Number(limit) });
  });
  it.each(['0', '101', '-1', '1.5', '1e1', '0x10', ' 5', '05', '', 'ten', '5\n'])(
    'may not have %j keys in a page',
    (limit) => {
      expect(list({ limit }).success).toBe(false);
    },
  );
  it('has 50 keys in a page when nobody says', () => {
    expect(list({}).data).toEqual({ limit: 50 });
  });
});
