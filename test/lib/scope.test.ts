import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { covers, isGrant, isRequirement, missingScopes, normalizeScopes } from '../../lib/scope.ts';

/** Few letters, so that parts meet often. */
const name = fc.constantFrom('a', 'b', 'a.b', 'a-b', 'ab');
const part = fc.oneof(name, fc.constant('*'));
const grant = fc.tuple(part, part).map((parts) => parts.join(':'));
const requirement = fc.tuple(name, name).map((parts) => parts.join(':'));

/** The oracle: what a scope opens in a world with these names. `new` stands for every name not thought of. */
const WORLD = ['a', 'b', 'a.b', 'a-b', 'ab', 'new'];
const opens = (scope: string): Set<string> => {
  const [resource, action] = scope.split(':');
  const matching = (wanted: string | undefined) => WORLD.filter((one) => wanted === '*' || wanted === one);
  return new Set(matching(resource).flatMap((r) => matching(action).map((a) => `${r}:${a}`)));
};

describe('a grant', () => {
  it.each([
    ['orders:write', 'orders:write', true],
    ['orders:*', 'orders:write', true],
    ['*:write', 'orders:write', true],
    ['*:*', 'orders:write', true],
    ['orders:read', 'orders:write', false],
    ['orders:*', 'order:write', false],
    ['orders:*', 'orders2:write', false],
    ['order:*', 'orders:write', false],
    ['*:read', 'orders:write', false],
    ['*:*', '*:*', true],
    ['*:*', 'orders:*', true],
    ['orders:*', 'orders:*', true],
    ['orders:*', '*:*', false],
    ['orders:*', '*:read', false],
    ['orders:read', 'orders:*', false],
    ['*:read', '*:*', false],
  ])('%s covers %s: %s', (held, wanted, expected) => {
    expect(covers(held, wanted)).toBe(expected);
  });

  it('covers exactly the scopes that open nothing more (compared with an oracle that lists everything)', () => {
    fc.assert(
      fc.property(grant, grant, (held, wanted) => {
        const opened = opens(held);
        expect(covers(held, wanted)).toBe([...opens(wanted)].every((scope) => opened.has(scope)));
      }),
      { numRuns: 1000 },
    );
  });

  it('covers itself', () => {
    fc.assert(fc.property(grant, (scope) => covers(scope, scope)));
  });

  it('covers what is covered by what it covers', () => {
    fc.assert(
      fc.property(grant, grant, grant, (a, b, c) => {
        fc.pre(covers(a, b) && covers(b, c));
        expect(covers(a, c)).toBe(true);
      }),
    );
  });

  it('*:* covers every scope there is', () => {
    fc.assert(fc.property(grant, (scope) => covers('*:*', scope)));
  });

  it('that is malformed covers nothing and is covered by nothing', () => {
    const odd = [
      '',
      '*',
      ':',
      'orders',
      'orders:',
      ':write',
      'orders:write:all',
      'or*:write',
      'orders:**',
      'Orders:write',
    ];
    odd.push(
      ' orders:write',
      'orders:write\n',
      'orders:write,*:*',
      '__proto__:x',
      '-a:b',
      `${'a'.repeat(64)}:b`,
    );
    for (const scope of odd) {
      expect(isGrant(scope)).toBe(false);
      for (const other of ['*:*', 'orders:write', scope]) {
        expect(covers(scope, other)).toBe(false);
        expect(covers(other, scope)).toBe(false);
      }
    }
  });
});

describe('the form of scopes', () => {
  it('allows 63 characters in each part, and dots, dashes and underscores after the first', () => {
    for (const scope of [
      'a:b',
      '0:9',
      'api-keys:create',
      'a.b_c-d:x',
      `${'a'.repeat(63)}:${'b'.repeat(63)}`,
    ]) {
      expect([isGrant(scope), isRequirement(scope)]).toEqual([true, true]);
    }
    for (const scope of [
      `${'a'.repeat(64)}:b`,
      `a:${'b'.repeat(64)}`,
      '.a:b',
      'a:_b',
      'a:B',
      'a b:c',
      'ä:b',
    ]) {
      expect([isGrant(scope), isRequirement(scope)]).toEqual([false, false]);
    }
  });

  it('allows the wildcard in grants only, and only for a whole part', () => {
    for (const scope of ['*:*', 'a:*', '*:b'])
      expect([isGrant(scope), isRequirement(scope)]).toEqual([true, false]);
  });
});

describe('missing scopes', () => {
  it('are those that no single grant covers, in the order they were asked for', () => {
    expect(
      missingScopes(['orders:*', '*:read'], ['users:write', 'users:read', 'orders:refund', 'a:b']),
    ).toEqual(['users:write', 'a:b']);
    expect(missingScopes(['orders:read'], [])).toEqual([]);
    expect(missingScopes([], ['orders:read'])).toEqual(['orders:read']);
  });

  it('do not vanish because several grants together would cover a wildcard', () => {
    expect(missingScopes(['a:read', 'a:write'], ['a:*'])).toEqual(['a:*']);
  });

  it('are those of the alternative that lacks the fewest, and none where one is held whole', () => {
    const wanted = [['a:b', 'c:d'], ['e:f'], ['g:h']];
    expect(missingScopes(['a:b'], wanted)).toEqual(['c:d']);
    expect(missingScopes([], wanted)).toEqual(['e:f']);
    expect(missingScopes(['g:*'], wanted)).toEqual([]);
    expect(missingScopes(['a:b', 'e:x'], wanted)).not.toEqual([]);
    expect(missingScopes([], [[]])).toEqual([]);
  });

  it('are none exactly when everything asked for is opened', () => {
    const grants = fc.array(grant, { maxLength: 5 });
    fc.assert(
      fc.property(grants, fc.array(requirement, { maxLength: 5 }), (held, wanted) => {
        const opened = new Set(held.flatMap((scope) => [...opens(scope)]));
        expect(missingScopes(held, wanted)).toEqual(wanted.filter((scope) => !opened.has(scope)));
      }),
    );
  });
});

describe('normalized scopes', () => {
  it('are sorted and unique, and the given list is left as it was', () => {
    const given = ['b:b', 'a:a', 'b:b', '*:a'];
    expect(normalizeScopes(given)).toEqual(['*:a', 'a:a', 'b:b']);
    expect(given).toHaveLength(4);
  });
});
