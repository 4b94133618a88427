import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { createGithubKeys, isSignedBy } from '../../lib/github-keys.ts';

const URL = 'https://keys.example/';
const pair = (namedCurve = 'P-256') => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve });
  return { pem: String(publicKey.export({ type: 'spki', format: 'pem' })), publicKey, privateKey };
};
const one = pair();

/** A publisher of keys, and how it was asked. */
const publisher = (listed: Record<string, string>) => {
  const asked: (string | undefined)[] = [];
  let answer: () => Response | Promise<Response> = () =>
    new Response(
      JSON.stringify({
        public_keys: Object.entries(listed).map(([key_identifier, key]) => ({
          key_identifier,
          key,
          is_current: true,
        })),
      }),
      { headers: { etag: '"one"' } },
    );
  let at = 1_000_000;
  const keys = createGithubKeys({
    url: URL,
    now: () => at,
    get: async (url, init) => {
      expect(url).toBe(URL);
      expect(init).toMatchObject({ redirect: 'error', signal: expect.anything() });
      asked.push(new Headers(init?.headers).get('if-none-match') ?? undefined);
      return answer();
    },
  });
  return {
    keys,
    asked,
    passes: (ms: number) => {
      at += ms;
    },
    answers: (next: () => Response | Promise<Response>) => {
      answer = next;
    },
  };
};

describe("GitHub's keys", () => {
  it('are fetched once, kept for an hour, and asked for again by their ETag', async () => {
    const { keys, asked, passes, answers } = publisher({ a: one.pem });
    expect(asked).toEqual([]);
    await Promise.all([keys('a'), keys('a')]);
    expect((await keys('a'))?.equals(one.publicKey)).toBe(true);
    passes(3_599_999);
    await keys('a');
    expect(asked).toEqual([undefined]);
    passes(1);
    answers(() => new Response(null, { status: 304 }));
    expect((await keys('a'))?.equals(one.publicKey)).toBe(true);
    passes(3_599_999);
    await keys('a');
    expect(asked).toEqual([undefined, '"one"']);
  });

  it('are asked for again for an unknown identifier, once in five minutes', async () => {
    const { keys, asked, passes } = publisher({ a: one.pem });
    await keys('a');
    for (let tries = 0; tries < 50; tries++) expect(await keys(`unknown-${tries}`)).toBeUndefined();
    expect(asked).toHaveLength(1);
    passes(300_000);
    for (let tries = 0; tries < 50; tries++) expect(await keys(`unknown-${tries}`)).toBeUndefined();
    expect(asked).toHaveLength(2);
  });

  it.each<[string, () => Response | Promise<Response>]>([
    ['do not answer', () => Promise.reject(new TypeError('fetch failed'))],
    ['are over the limit', () => new Response('', { status: 403 })],
    ['are no JSON', () => new Response('<html>')],
    ['are something else', () => new Response('{"keys": []}')],
    ['are endless', () => new Response(`{"public_keys": [], "x": "${'x'.repeat(70_000)}"}`)],
  ])('that %s are believed no longer than an hour, and asked for seldom', async (_, bad) => {
    const { keys, asked, passes, answers } = publisher({ a: one.pem });
    await keys('a');
    answers(bad);
    passes(3_600_000);
    for (let tries = 0; tries < 9; tries++) await expect(keys('a')).rejects.toMatchObject({ status: 503 });
    expect(asked).toHaveLength(2);
    passes(10_000);
    await expect(keys('a')).rejects.toMatchObject({ status: 503 });
    expect(asked).toHaveLength(3);
  });

  it('of another kind than GitHub signs with are none', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey;
    const { keys } = publisher({
      rsa: String(rsa.export({ type: 'spki', format: 'pem' })),
      other: pair('P-384').pem,
      broken: 'no key',
      good: one.pem,
    });
    expect(await keys('rsa')).toBeUndefined();
    expect(await keys('other')).toBeUndefined();
    expect(await keys('broken')).toBeUndefined();
    expect(await keys('good')).toBeDefined();
  });
});

describe('a signature', () => {
  const text = '[{"token":"ä"}]';
  const signature = sign('sha256', Buffer.from(text), one.privateKey).toString('base64');

  it('holds for these very bytes and this key', () => {
    expect(isSignedBy(one.publicKey, text, signature)).toBe(true);
    expect(isSignedBy(one.publicKey, `${text} `, signature)).toBe(false);
    expect(isSignedBy(one.publicKey, text.replace('ä', 'a'), signature)).toBe(false);
    expect(isSignedBy(pair().publicKey, text, signature)).toBe(false);
    for (const other of ['', 'AAAA', 'no base64!', signature.slice(0, 40)])
      expect(isSignedBy(one.publicKey, text, other)).toBe(false);
  });

  // https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partner-program, with GitHub's keys of then
  it.each([
    [
      'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAdAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==',
      '[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]',
      'MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==',
    ],
    [
      'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9MJJHnMfn2+H4xL4YaPDA4RpJqUqkCmRCBnYERxZanmcpzQSXs1X/AljlKkbJ8qpVIW4clayyef9gWhFbNHWAA==',
      '[{"token":"some_token","type":"some_type","url":"some_url"}]',
      'MEUCIQDKZokqnCjrRtw0tni+2Ltvl/uiMJ1EGumEsp1BsNr32AIgQY1YXD2nlj+XNfGK4rBfkMJ1JDOQcYXxa2sY8FNkrKc=',
    ],
  ])('of the documentation holds', async (base64, sample, signed) => {
    const pem = `-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`;
    const key = (await publisher({ documented: pem }).keys('documented'))!;
    expect(isSignedBy(key, sample, signed)).toBe(true);
    expect(isSignedBy(key, sample.replace('some', 'same'), signed)).toBe(false);
  });
});
