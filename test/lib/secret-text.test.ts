import { inspect } from 'node:util';
import { serialize } from 'node:v8';
import { describe, expect, it } from '@jest/globals';
import { SecretText } from '../../lib/secret-text.ts';

const PLAIN = 'rk_live_never-to-be-seen';
const secret = new SecretText(PLAIN);

describe('a secret text', () => {
  it('gives its text to whoever reveals it', () => {
    expect(secret.reveal()).toBe(PLAIN);
  });

  it.each([
    ['a template', () => `${secret}`],
    ['String()', () => String(secret)],
    ['a joined list', () => ['key', secret].join(': ')],
    ['JSON', () => JSON.stringify({ key: secret })],
    [
      'inspect, as console.log does',
      () => inspect({ key: secret }, { showHidden: true, depth: 9, getters: true }),
    ],
    ['inspect without custom inspection', () => inspect(secret, { customInspect: false, showHidden: true })],
    [
      'a copy of its fields',
      () => JSON.stringify({ ...secret, ...Object.getOwnPropertyDescriptors(secret) }),
    ],
    ['an error with it as cause', () => inspect(new Error('failed', { cause: secret }))],
    ['structured clone', () => inspect(structuredClone(secret))],
    ['the serializer of worker messages', () => serialize(secret).toString('latin1')],
  ])('does not show it in %s', (_, print) => {
    expect(print()).not.toContain('never');
  });

  it('says that something was left out', () => {
    expect([`${secret}`, JSON.stringify(secret), inspect(secret)]).toEqual([
      '[secret]',
      '"[secret]"',
      '[secret]',
    ]);
  });
});
