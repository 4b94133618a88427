import { describe, expect, it } from '@jest/globals';
import { compilePattern } from '../../local/event-pattern.ts';

const event = {
  source: 'rekey',
  'detail-type': 'api_key.revoked',
  detail: {
    owner: 'Acme',
    days: 14,
    tags: ['a', 'b'],
    nothing: null,
    empty: [],
    items: [{ n: 1 }, { n: 2 }],
    ip: '10.0.0.24',
    ip6: '2001:db8::1',
  },
};
const matches = (pattern: unknown): boolean => compilePattern(pattern)(event);

/** Each from https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html */
const cases: [what: string, matching: unknown, not: unknown][] = [
  ['values', { source: ['other', 'rekey'] }, { source: ['Rekey'] }],
  ['numbers, not their text', { detail: { days: [14] } }, { detail: { days: ['14'] } }],
  ['null', { detail: { nothing: [null] } }, { detail: { owner: [null] } }],
  ['all fields', { source: ['rekey'], detail: { days: [14] } }, { source: ['rekey'], detail: { days: [1] } }],
  ['any entry of a list', { detail: { tags: ['b'] } }, { detail: { tags: ['c'] } }],
  ['any object of a list', { detail: { items: { n: [2] } } }, { detail: { items: { n: [3] } } }],
  ['a prefix', { 'detail-type': [{ prefix: 'api_key.' }] }, { 'detail-type': [{ prefix: 'key' }] }],
  [
    'a prefix in any case',
    { detail: { owner: [{ prefix: { 'equals-ignore-case': 'aC' } }] } },
    { detail: { owner: [{ prefix: 'aC' }] } },
  ],
  ['a suffix', { 'detail-type': [{ suffix: '.revoked' }] }, { 'detail-type': [{ suffix: 'revoke' }] }],
  [
    'a text in any case',
    { detail: { owner: [{ 'equals-ignore-case': 'ACME' }] } },
    { detail: { owner: [{ 'equals-ignore-case': 'ACM' }] } },
  ],
  ['a wildcard', { 'detail-type': [{ wildcard: 'api_*.rev*' }] }, { 'detail-type': [{ wildcard: 'api_' }] }],
  [
    'anything but values',
    { detail: { days: [{ 'anything-but': [1, 2] }] } },
    { detail: { days: [{ 'anything-but': 14 }] } },
  ],
  [
    'anything but prefixes',
    { source: [{ 'anything-but': { prefix: ['aws.', 'x'] } }] },
    { source: [{ 'anything-but': { prefix: ['aws.', 're'] } }] },
  ],
  [
    'a range',
    { detail: { days: [{ numeric: ['>', 0, '<=', 14] }] } },
    { detail: { days: [{ numeric: ['>', 14] }] } },
  ],
  [
    'an address of a network',
    { detail: { ip: [{ cidr: '10.0.0.0/24' }] } },
    { detail: { ip: [{ cidr: '10.0.1.0/24' }] } },
  ],
  [
    'an address of a network of IPv6',
    { detail: { ip6: [{ cidr: '2001:db8::/32' }] } },
    { detail: { ip6: [{ cidr: '0.0.0.0/0' }] } },
  ],
  ['a field that is there', { source: [{ exists: true }] }, { source: [{ exists: false }] }],
  [
    'a field that is not there',
    { detail: { gone: [{ exists: false }] }, also: { gone: [{ exists: false }] } },
    { detail: { gone: [{ exists: true }] } },
  ],
  ['an empty list as no field', { detail: { empty: [{ exists: false }] } }, { detail: { empty: ['a'] } }],
  [
    'one of several fields',
    { $or: [{ source: ['other'] }, { detail: { days: [14] } }] },
    { $or: [{ source: ['other'] }, { detail: { days: [1] } }] },
  ],
];

describe('a pattern', () => {
  it.each(cases)('takes %s', (_what, matching, not) => {
    expect(matches(matching)).toBe(true);
    expect(matches(not)).toBe(false);
  });

  it('of nothing but a value that is not there is not met by anything-but', () => {
    expect(matches({ detail: { gone: [{ 'anything-but': 'x' }] } })).toBe(false);
  });

  it.each([
    ['text', 'rekey'],
    ['no fields', {}],
    ['a value without a list', { source: 'rekey' }],
    ['an empty list', { source: [] }],
    ['a list in a list', { source: [['rekey']] }],
    ['an operator that is not known', { source: [{ 'sounds-like': 'x' }] }],
    ['two operators at once', { source: [{ prefix: 'a', suffix: 'b' }] }],
    ['an operand of another type', { source: [{ prefix: 1 }] }],
    ['a network that is none', { ip: [{ cidr: '10.0.0.0/33' }] }],
    ['half a range', { source: [{ numeric: ['>'] }] }],
    ['an unknown comparison', { source: [{ numeric: ['=>', 1] }] }],
    ['one choice', { $or: [{ source: ['a'] }] }],
    ['an unknown operator within anything-but', { source: [{ 'anything-but': { soundex: 'x' } }] }],
  ])('is refused with %s', (_what, pattern) => {
    expect(() => compilePattern(pattern)).toThrow();
  });
});
