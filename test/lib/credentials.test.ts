import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { extractKey, type Headers } from '../../lib/credentials.ts';

const KEY = 'rk_live_035OVLf5NbCkftOoCXHY41003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2Tjvp9';

describe('a key is taken', () => {
  it.each<[string, Headers]>([
    ['from x-api-key', { 'x-api-key': [KEY] }],
    ['from X-Api-Key, in any case', { 'X-Api-KEY': [KEY], accept: ['*/*'] }],
    ['from Authorization: Bearer', { Authorization: [`Bearer ${KEY}`] }],
    ['from a bearer scheme in any case', { authorization: [`bEARER ${KEY}`] }],
    ['from both headers with the same key', { 'x-api-key': [KEY], authorization: [`Bearer ${KEY}`] }],
    ['from single texts (payload 2.0)', { 'x-api-key': KEY }],
    [
      'with blanks around the value, which are no part of it (RFC 9110, 5.5)',
      { 'x-api-key': [` \t${KEY} `] },
    ],
    ['beside an absent header', { 'x-api-key': [KEY], authorization: undefined }],
    ['beside an empty list', { 'x-api-key': [KEY], Authorization: [] }],
  ])('%s', (_, headers) => {
    expect(extractKey(headers)).toEqual({ key: KEY });
  });

  it('from headers only where there are no multiValueHeaders', () => {
    expect(extractKey(null, { 'x-api-key': KEY })).toEqual({ key: KEY });
    expect(extractKey(undefined, { 'x-api-key': KEY })).toEqual({ key: KEY });
    expect(extractKey({}, { 'x-api-key': KEY })).toEqual({ problem: 'missing' });
  });
});

describe('a request is refused', () => {
  it.each<[string, Headers | null | undefined]>([
    ['no headers', {}],
    ['null', null],
    ['undefined', undefined],
    ['other headers', { 'api-key': [KEY], 'x-api-keys': [KEY], 'proxy-authorization': [`Bearer ${KEY}`] }],
    ['an empty list', { 'x-api-key': [] }],
  ])('as missing with %s', (_, headers) => {
    expect(extractKey(headers)).toEqual({ problem: 'missing' });
  });

  it.each<[string, Headers]>([
    ['a header twice', { 'x-api-key': [KEY, 'other'] }],
    ['a header twice with the same value', { 'x-api-key': [KEY, KEY] }],
    ['a header twice, once empty', { 'x-api-key': [KEY, ''] }],
    ['a header under two spellings', { 'x-api-key': [KEY], 'X-Api-Key': [KEY] }],
    ['a header under two spellings as texts', { 'x-api-key': KEY, 'X-API-KEY': 'other' }],
    ['Authorization twice', { authorization: [`Bearer ${KEY}`, `Bearer ${KEY}`] }],
    [
      'Authorization twice beside a good x-api-key',
      { 'x-api-key': [KEY], authorization: ['Bearer a', 'Bearer b'] },
    ],
    ['two keys joined by a comma', { 'x-api-key': `${KEY},${KEY}` }],
    ['two bearers joined by a comma', { authorization: `Bearer ${KEY}, Bearer ${KEY}` }],
    ['a key and a trailing comma', { 'x-api-key': `${KEY},` }],
  ])('as repeated with %s', (_, headers) => {
    expect(extractKey(headers)).toEqual({ problem: 'repeated' });
  });

  it.each<[string, Headers]>([
    ['differ', { 'x-api-key': [KEY], authorization: ['Bearer other'] }],
    ['differ in one letter', { 'x-api-key': [KEY], authorization: [`Bearer ${KEY.slice(0, -1)}8`] }],
    ['differ in case', { 'x-api-key': [KEY], authorization: [`Bearer ${KEY.toUpperCase()}`] }],
  ])('as conflicting when the headers %s', (_, headers) => {
    expect(extractKey(headers)).toEqual({ problem: 'conflicting' });
  });

  it.each<[string, Headers]>([
    ['an empty value', { 'x-api-key': [''] }],
    ['blanks', { 'x-api-key': ['  '] }],
    ['an empty x-api-key beside a good Bearer', { 'x-api-key': [''], authorization: [`Bearer ${KEY}`] }],
    ['Basic', { authorization: [`Basic ${KEY}`] }],
    ['Basic beside a good x-api-key', { 'x-api-key': [KEY], authorization: ['Basic dTpw'] }],
    ['no scheme', { authorization: [KEY] }],
    ['a scheme alone', { authorization: ['Bearer'] }],
    ['a scheme and a blank', { authorization: ['Bearer '] }],
    ['two words', { authorization: [`Bearer ${KEY} x`] }],
    ['a tab after the scheme', { authorization: [`Bearer\t${KEY}`] }],
    ['a scheme that begins like Bearer', { authorization: [`Bearers ${KEY}`] }],
    ['Bearer in x-api-key', { 'x-api-key': [`Bearer ${KEY}`] }],
    ['a line break', { 'x-api-key': [`${KEY}\nx: y`] }],
    ['a trailing line break', { 'x-api-key': [`${KEY}\n`] }],
    ['a null byte', { 'x-api-key': [`${KEY}\0`] }],
    ['other than ASCII', { 'x-api-key': [`${KEY}é`] }],
    ['513 characters', { 'x-api-key': ['a'.repeat(513)] }],
    ['a million characters', { authorization: [`Bearer ${'a'.repeat(1_000_000)}`] }],
    ['something that is no text', { 'x-api-key': [7 as unknown as string] }],
    ['an object', { 'x-api-key': { 0: KEY } as unknown as string }],
    ['a list within a list', { 'x-api-key': [[KEY]] as unknown as string[] }],
  ])('as malformed with %s', (_, headers) => {
    expect(extractKey(headers)).toEqual({ problem: 'malformed' });
  });

  it('with whatever is in the two headers, unless all there is says one and the same key', () => {
    const value = fc.constantFrom(
      KEY,
      'other',
      '',
      `Bearer ${KEY}`,
      'Bearer other',
      'Basic x',
      `${KEY},other`,
    );
    const name = fc.constantFrom('x-api-key', 'X-Api-Key', 'authorization', 'Authorization');
    const anyHeaders = fc.dictionary(name, fc.oneof(value, fc.array(value, { maxLength: 2 })));
    fc.assert(
      fc.property(anyHeaders, (headers) => {
        const result = extractKey(headers);
        if (!('key' in result)) return;
        const all = Object.values(headers).flat();
        expect(all.length).toBeLessThanOrEqual(2);
        for (const one of all) expect([result.key, `Bearer ${result.key}`]).toContain(one);
      }),
      { numRuns: 2000 },
    );
  });
});

it('takes a long list of blanks in linear time', () => {
  const started = performance.now();
  for (let n = 0; n < 1000; n++) extractKey({ 'x-api-key': [`a${' '.repeat(510)}a`] });
  expect(performance.now() - started).toBeLessThan(2000);
});
