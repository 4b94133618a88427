import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compilePattern } from '../../local/event-pattern.ts';

/**
 * What each operator means, said once more and in another way than the code says it, over values that often come near
 * to matching. The rules: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
 */

const RUNS = { numRuns: 500 };

/** Few letters, so that texts often begin, end and continue alike. */
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '.', '*', '\\', '\n'), maxLength: 6 });
const plainText = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '.'), maxLength: 6 });
const number = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom(0.5, -0.5, 3.018e2, 1e9, -1e9));
const leaf = fc.oneof(text, number, fc.boolean(), fc.constant(null));
/** What a field of an event can hold; undefined: it is not there. */
const held = fc.oneof(
  { weight: 5, arbitrary: leaf },
  { weight: 1, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.record({ inner: leaf }) },
);

const eventOf = (value: unknown): object => (value === undefined ? {} : { f: value });
const matches = (operator: unknown, value: unknown): boolean =>
  compilePattern({ f: [operator] })(eventOf(value));

const isLeaf = (value: unknown): boolean =>
  value === null || ['string', 'number', 'boolean'].includes(typeof value);

/** Walks through both texts at once; the code makes a regular expression. */
const matchesWildcard = (pattern: string, value: string): boolean => {
  const [first, ...rest] = pattern.match(/\\.|./gs) ?? [];
  if (first === undefined) return value === '';
  if (first.length === 2) return value[0] === first[1] && matchesWildcard(rest.join(''), value.slice(1));
  if (first === '*')
    return Array.from({ length: value.length + 1 }, (_, skipped) => value.slice(skipped)).some((left) =>
      matchesWildcard(rest.join(''), left),
    );
  return value[0] === first && matchesWildcard(rest.join(''), value.slice(1));
};

/** With stars that stand for anything, and some that are only stars; never two of the first kind in a row. */
const wildcard = fc
  .array(fc.constantFrom('a', 'b', '*', '.', '\\*', '\\\\'), { maxLength: 5 })
  .map((parts) => parts.filter((part, at) => part !== '*' || parts[at - 1] !== '*').join(''));

/** Of an operator on one leaf: what it says. */
const operators: Record<string, fc.Arbitrary<{ operator: unknown; says: (value: unknown) => boolean }>> = {
  'a value': leaf.map((wanted) => ({
    operator: wanted,
    says: (value) => Object.is(value, wanted) || (value === 0 && wanted === 0),
  })),
  prefix: plainText.map((prefix) => ({
    operator: { prefix },
    says: (value) => typeof value === 'string' && value.slice(0, prefix.length) === prefix,
  })),
  'prefix, ignoring case': plainText.map((prefix) => ({
    operator: { prefix: { 'equals-ignore-case': prefix } },
    says: (value) =>
      typeof value === 'string' && value.slice(0, prefix.length).toUpperCase() === prefix.toUpperCase(),
  })),
  suffix: plainText.map((suffix) => ({
    operator: { suffix },
    says: (value) =>
      typeof value === 'string' &&
      value.length >= suffix.length &&
      value.slice(value.length - suffix.length) === suffix,
  })),
  'equals-ignore-case': plainText.map((wanted) => ({
    operator: { 'equals-ignore-case': wanted },
    says: (value) => typeof value === 'string' && value.toUpperCase() === wanted.toUpperCase(),
  })),
  wildcard: wildcard.map((pattern) => ({
    operator: { wildcard: pattern },
    says: (value) => typeof value === 'string' && matchesWildcard(pattern, value),
  })),
  numeric: fc
    .array(fc.tuple(fc.constantFrom('=', '<', '<=', '>', '>='), number), { minLength: 1, maxLength: 2 })
    .map((comparisons) => ({
      operator: { numeric: comparisons.flat() },
      says: (value) =>
        typeof value === 'number' &&
        comparisons.every(([sign, limit]) => {
          const order = Math.sign(value - limit);
          return { '=': [0], '<': [-1], '<=': [-1, 0], '>': [1], '>=': [1, 0] }[sign]!.some(
            (one) => one === order,
          );
        }),
    })),
  'anything-but': fc
    .oneof(
      leaf.map((one) => [one]),
      fc.array(leaf, { minLength: 1, maxLength: 3 }),
    )
    .map((none) => ({
      operator: { 'anything-but': none.length === 1 ? none[0] : none },
      says: (value) => value !== undefined && !none.includes(value as string),
    })),
  'anything-but a prefix': fc.array(plainText, { minLength: 1, maxLength: 3 }).map((none) => ({
    operator: { 'anything-but': { prefix: none.length === 1 ? none[0] : none } },
    says: (value) =>
      value !== undefined &&
      !(typeof value === 'string' && none.some((prefix) => value.indexOf(prefix) === 0)),
  })),
  'anything-but a suffix': plainText.map((suffix) => ({
    operator: { 'anything-but': { suffix } },
    says: (value) =>
      value !== undefined &&
      !(
        typeof value === 'string' &&
        value.length >= suffix.length &&
        value.lastIndexOf(suffix) === value.length - suffix.length
      ),
  })),
  'anything-but a wildcard': wildcard.map((pattern) => ({
    operator: { 'anything-but': { wildcard: pattern } },
    says: (value) => value !== undefined && !(typeof value === 'string' && matchesWildcard(pattern, value)),
  })),
  exists: fc
    .boolean()
    .map((wanted) => ({ operator: { exists: wanted }, says: (value) => isLeaf(value) === wanted })),
};

const anyOperator = fc.oneof(...Object.values(operators));

describe('a pattern', () => {
  it.each(Object.keys(operators))('matches one value by what its operator says: %s', (name) => {
    fc.assert(
      fc.property(operators[name]!, held, ({ operator, says }, value) => {
        expect(matches(operator, value)).toBe(says(value));
      }),
      RUNS,
    );
  });

  it.each(['**', 'a**b', '\\', 'a\\b'])('refuses the wildcard %s, as EventBridge does', (pattern) => {
    expect(() => compilePattern({ f: [{ wildcard: pattern }] })).toThrow('does not know');
  });

  it('matches an address by the bits of its network', () => {
    const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    const written = (bits: number) =>
      [24, 16, 8, 0].map((shift) => Math.floor(bits / 2 ** shift) % 256).join('.');
    // Addresses that differ in one bit, so that a network's edge is met.
    fc.assert(
      fc.property(
        address,
        fc.integer({ min: 0, max: 32 }),
        fc.integer({ min: 0, max: 32 }),
        (network, bits, flipped) => {
          const other = flipped === 32 ? network : Number(BigInt(network) ^ (1n << BigInt(flipped)));
          const same = BigInt(network) >> BigInt(32 - bits) === BigInt(other) >> BigInt(32 - bits);
          expect(matches({ cidr: `${written(network)}/${bits}` }, written(other))).toBe(same);
        },
      ),
      RUNS,
    );
    for (const value of ['::1', '10.0.0', 'text', 10, null, undefined])
      expect(matches({ cidr: '10.0.0.0/8' }, value)).toBe(false);
  });

  it('matches a field when one of the choices does', () => {
    fc.assert(
      fc.property(fc.array(anyOperator, { minLength: 1, maxLength: 4 }), held, (choices, value) => {
        const pattern = { f: choices.map(({ operator }) => operator) };
        expect(compilePattern(pattern)(eventOf(value))).toBe(choices.some(({ says }) => says(value)));
      }),
      RUNS,
    );
  });

  it('matches a list when an entry does; one that says that nothing is there, when no entry is a leaf', () => {
    fc.assert(
      fc.property(
        anyOperator,
        fc.array(
          held.filter((one) => one !== undefined),
          { maxLength: 4 },
        ),
        ({ operator, says }, list) => {
          const isAbsence = JSON.stringify(operator) === '{"exists":false}';
          const expected =
            list.length === 0 ? says(undefined) : isAbsence ? !list.some(isLeaf) : list.some(says);
          expect(matches(operator, list)).toBe(expected);
          expect(matches(operator, [list])).toBe(expected);
        },
      ),
      RUNS,
    );
  });

  it('matches when every field that it names does, whatever else is there', () => {
    fc.assert(
      fc.property(anyOperator, anyOperator, held, held, leaf, (first, second, f, g, other) => {
        const event = { ...eventOf(f), ...(g !== undefined && { g }), other };
        const pattern = { f: [first.operator], g: [second.operator] };
        expect(compilePattern(pattern)(event)).toBe(first.says(f) && second.says(g));
        const either = { $or: [{ f: [first.operator] }, { g: [second.operator] }] };
        expect(compilePattern(either)(event)).toBe(first.says(f) || second.says(g));
        expect(compilePattern({ ...pattern, ...either })(event)).toBe(first.says(f) && second.says(g));
      }),
      RUNS,
    );
  });

  it('matches below a field as it would there, and of a list of objects one that does as a whole', () => {
    fc.assert(
      fc.property(
        anyOperator,
        anyOperator,
        fc.array(fc.tuple(held, held), { minLength: 1, maxLength: 3 }),
        (first, second, pairs) => {
          const items = pairs.map(([f, g]) => ({ ...eventOf(f), ...(g !== undefined && { g }) }));
          const below = { f: [first.operator], g: [second.operator] };
          const expected = pairs.map(([f, g]) => first.says(f) && second.says(g));
          expect(compilePattern({ detail: below })({ detail: items[0] })).toBe(expected[0]);
          expect(compilePattern({ detail: below })({ detail: items })).toBe(expected.includes(true));
        },
      ),
      RUNS,
    );
  });
});
