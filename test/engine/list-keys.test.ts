import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord, ListedKey } from '../../lib/api-key.schema.ts';
import { statusOf } from '../../lib/api-key.ts';
import { newKeyId } from '../../lib/key-format.ts';
import { createKey, lineage, listByOwner, rotateKey } from '../../lib/key-table.ts';
import { type Engine, startEngine } from './engine.ts';
import { aKey, by, HOUR, instant, NOW, rotating } from './keys.ts';

const OWNER = 'team-with-many';
const COUNT = 520;

let engine: Engine;
let newestFirst: ApiKeyRecord[];

beforeAll(async () => {
  engine = await startEngine();
  // Every third expired, every fifth of the test environment, every tenth with a scope of its own.
  const keys = Array.from({ length: COUNT }, (_, index) =>
    aKey({
      id: newKeyId(NOW + index),
      owner_id: OWNER,
      environment: index % 5 === 0 ? 'test' : 'live',
      expires_at: index % 3 === 0 ? instant(NOW + HOUR) : instant(NOW + 100 * HOUR),
      scopes: index % 10 === 0 ? ['invoices:read'] : ['orders:read'],
    }),
  );
  const others = Array.from({ length: 30 }, (_, index) =>
    aKey({ id: newKeyId(NOW + index * 17), owner_id: 'team-other' }),
  );
  await Promise.all([...keys, ...others].map((key) => createKey(key, by(), undefined, engine.table)));
  newestFirst = keys.toReversed();
});
afterAll(() => engine?.close());

type Request = Omit<Parameters<typeof listByOwner>[0], 'owner_id' | 'after'>;

/** All pages, one after the other; `between` runs after each. */
async function pages(request: Request, between: () => Promise<void> = async () => {}) {
  const all: ListedKey[][] = [];
  let after: string | undefined;
  do {
    const { keys, last } = await listByOwner({ owner_id: OWNER, after, ...request }, engine.table);
    all.push(keys);
    after = last;
    await between();
  } while (after !== undefined);
  return all;
}
const ids = (keys: { id: string }[]) => keys.map((key) => key.id);

const now = NOW + 2 * HOUR;
const filters: Record<string, (key: ListedKey) => boolean> = {
  'of a status': (key) => statusOf(key, now) === 'expired',
  'of an environment': (key) => key.environment === 'test',
  'of a scope and a status': (key) => key.scopes.includes('invoices:read') && statusOf(key, now) === 'active',
};

describe('a list of one owner', () => {
  it.each([1, 7, 100])('has every key once, newest first, in pages of %i', async (limit) => {
    const some = limit === 1 ? newestFirst.slice(0, 12) : newestFirst;
    if (limit === 1) {
      const got: string[] = [];
      let after: string | undefined;
      for (let page = 0; page < some.length; page++) {
        const { keys, last } = await listByOwner({ owner_id: OWNER, limit, after }, engine.table);
        got.push(...ids(keys));
        after = last;
      }
      expect(got).toEqual(ids(some));
      return;
    }
    const all = await pages({ limit });
    expect(ids(all.flat())).toEqual(ids(some));
    for (const page of all.slice(0, -1)) expect(page).toHaveLength(limit);
    expect(all.at(-1)?.length).toBeGreaterThan(0);
  });

  it.each(Object.entries(filters))('has full pages of the keys %s', async (_, filter) => {
    const wanted = newestFirst.filter(filter);
    const all = await pages({ limit: 13, filter });
    expect(ids(all.flat())).toEqual(ids(wanted));
    for (const page of all.slice(0, -1)) expect(page).toHaveLength(13);
    expect(all.at(-1)?.length).toBeGreaterThan(0);
  });

  it('reads no more than its budget for one page, and goes on where it stopped', async () => {
    const wanted = newestFirst.filter((_, index) => index % 100 === 99);
    const filter = (key: ListedKey) => ids(wanted).includes(key.id);
    const all = await pages({ limit: 3, filter, budget: 60 });
    expect(ids(all.flat())).toEqual(ids(wanted));
    expect(all.length).toBeGreaterThanOrEqual(Math.ceil(COUNT / 60));
    let looked = 0;
    await listByOwner(
      { owner_id: OWNER, limit: 3, budget: 60, filter: () => ++looked > 1_000_000 },
      engine.table,
    );
    expect(looked).toBe(60);
  });

  it('neither repeats nor skips a key while others are created', async () => {
    let created = 0;
    const all = await pages({ limit: 50, filter: (key) => key.owner_id === OWNER }, async () => {
      const more = Array.from({ length: 5 }, () =>
        aKey({ id: newKeyId(NOW + HOUR + created++), owner_id: OWNER }),
      );
      await Promise.all(more.map((key) => createKey(key, by(), undefined, engine.table)));
    });
    expect(created).toBeGreaterThan(40);
    expect(ids(all.flat())).toEqual(ids(newestFirst));
  });

  it('is one empty page for an owner without keys', async () => {
    expect(await listByOwner({ owner_id: 'nobody', limit: 10 }, engine.table)).toEqual({ keys: [] });
  });

  it('holds what callers see of a key, and nothing else', async () => {
    const { keys } = await listByOwner({ owner_id: 'team-other', limit: 1 }, engine.table);
    const inside = [
      'digest',
      'version',
      'ttl',
      'swept_until',
      'due_shard',
      'next_action_at',
      'before_rotation',
      'next_generation',
    ];
    const seen = Object.keys(aKey({ owner_id: 'team-other' })).filter((name) => !inside.includes(name));
    expect(Object.keys(keys[0]!).sort()).toEqual(seen.sort());
  });
});

describe('a lineage', () => {
  it('has every generation once, oldest first, in pages', async () => {
    const root = aKey();
    await createKey(root, by(), undefined, engine.table);
    const expected = [root.id];
    let current = root;
    for (let generation = 1; generation <= 11; generation++) {
      const rotated = await rotateKey(
        current,
        rotating({}, NOW + generation * HOUR),
        by(),
        undefined,
        engine.table,
      );
      if (rotated === 'taken') throw new Error('taken');
      current = rotated.successor;
      expected.push(current.id);
    }
    for (const limit of [1, 4, 12, 50]) {
      const got: string[] = [];
      const sizes: number[] = [];
      let after: number | undefined;
      do {
        const page = await lineage({ root_key_id: root.id, limit, after }, engine.table);
        got.push(...ids(page.keys));
        sizes.push(page.keys.length);
        after = page.last;
      } while (after !== undefined);
      expect(got).toEqual(expected);
      expect(sizes).toHaveLength(Math.ceil(12 / limit));
    }
  });
});
