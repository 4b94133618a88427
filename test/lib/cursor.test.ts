import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type CursorBinding, readCursor, signCursor } from '../../lib/cursor.ts';
import { InvalidCursor } from '../../lib/problem.ts';

const secret = randomBytes(32);
const bound: CursorBinding = {
  operation: 'list-keys',
  caller_key_id: 'key_0000000000000000000001',
  query: { owner_id: 'team-orders', status: 'active', limit: 20 },
};
const id = 'key_0123456789abcdefghijkl';

describe('a cursor', () => {
  it('gives the position back to the caller and the query it was made for', () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^key_[0-9A-Za-z]{22}$/), fc.nat()), (position) => {
        expect(readCursor(signCursor(position, bound, secret), bound, secret)).toBe(position);
      }),
    );
  });

  it('does not depend on the order in which the query was written', () => {
    const { query } = bound;
    const turned = { ...bound, query: Object.fromEntries(Object.entries(query).reverse()) };
    expect(readCursor(signCursor(id, bound, secret), turned, secret)).toBe(id);
  });

  it('takes a parameter that is undefined for one that is absent', () => {
    const other = { ...bound, query: { ...bound.query, scope: undefined } };
    expect(readCursor(signCursor(id, bound, secret), other, secret)).toBe(id);
  });

  it.each<[string, CursorBinding]>([
    ['caller', { ...bound, caller_key_id: 'key_0000000000000000000002' }],
    ['operation', { ...bound, operation: 'list-lineage' }],
    ['owner', { ...bound, query: { ...bound.query, owner_id: 'team-other' } }],
    ['filter', { ...bound, query: { ...bound.query, environment: 'live' } }],
    ['query that lacks a filter', { ...bound, query: { owner_id: 'team-orders', limit: 20 } }],
  ])('is refused to another %s', (_, other) => {
    expect(() => readCursor(signCursor(id, bound, secret), other, secret)).toThrow(InvalidCursor);
  });

  it('is refused with the secret of another table', () => {
    expect(() => readCursor(signCursor(id, bound, secret), bound, randomBytes(32))).toThrow(InvalidCursor);
  });

  it('is refused when any one character of it is changed, cut or added', () => {
    const cursor = signCursor(id, bound, secret);
    for (let at = 0; at < cursor.length; at++) {
      for (const other of ['A', 'B', '_', '.']) {
        if (cursor[at] === other) continue;
        const changed = cursor.slice(0, at) + other + cursor.slice(at + 1);
        expect(() => readCursor(changed, bound, secret)).toThrow(InvalidCursor);
      }
      expect(() => readCursor(cursor.slice(0, at), bound, secret)).toThrow(InvalidCursor);
    }
    expect(() => readCursor(`${cursor}A`, bound, secret)).toThrow(InvalidCursor);
    expect(() => readCursor(` ${cursor}`, bound, secret)).toThrow(InvalidCursor);
    expect(() => readCursor(`${cursor}\n`, bound, secret)).toThrow(InvalidCursor);
  });

  it('has one spelling: the bits that decoding drops count', () => {
    const cursor = signCursor(id, bound, secret);
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const good = [...letters].filter((letter) => {
      try {
        return readCursor(cursor.slice(0, -1) + letter, bound, secret) === id;
      } catch {
        return false;
      }
    });
    expect(good).toEqual([cursor.at(-1)]);
  });

  it('is refused when its position is forged and the signature kept', () => {
    const [, signature] = signCursor(id, bound, secret).split('.');
    const [payload] = signCursor('key_zzzzzzzzzzzzzzzzzzzzzz', bound, secret).split('.');
    expect(() => readCursor(`${payload}.${signature}`, bound, secret)).toThrow(InvalidCursor);
  });

  it('is refused, and no other error, for any text', () => {
    const refused = (text: string) => expect(() => readCursor(text, bound, secret)).toThrow(InvalidCursor);
    fc.assert(fc.property(fc.string({ maxLength: 400 }), refused));
    fc.assert(fc.property(fc.stringMatching(/^[A-Za-z0-9_-]{1,60}\.[A-Za-z0-9_-]{43}$/), refused));
    refused('a'.repeat(1_000_000));
  });

  it('is short, and safe in a URL', () => {
    expect(signCursor(id, bound, secret)).toMatch(/^[A-Za-z0-9_.-]{1,128}$/);
  });
});
