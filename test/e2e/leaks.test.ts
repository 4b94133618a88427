import { generateKeyPairSync, sign } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { digestOf, mintKey, newKeyId } from '../../lib/key-format.ts';
import { managementOf, newOwner, productOf } from './client.ts';
import {
  advance,
  everyItem,
  forget,
  type RunningStack,
  sharedAssembly,
  startRunningStack,
} from './running-stack.ts';
import { eventually } from './until.ts';

const SLOW = 60_000;
/** Seconds that messages and events take at most. */
const MOMENT = 15;
const IDENTIFIER = 'a'.repeat(64);
const signer = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const assembly = mkdtempSync(join(tmpdir(), 'rekey-assembly-'));
/** Publishes the key that this test signs with, as GitHub does. */
const github = createServer((_, response) => {
  const key = signer.publicKey.export({ type: 'spki', format: 'pem' });
  response.end(JSON.stringify({ public_keys: [{ key_identifier: IDENTIFIER, key, is_current: true }] }));
});
let stack: RunningStack;
let management: ReturnType<typeof managementOf>;
let orders: ReturnType<typeof productOf>;

beforeAll(async () => {
  await new Promise<void>((resolve) => github.listen(0, '127.0.0.1', resolve));
  cpSync(sharedAssembly() ?? '', assembly, { recursive: true });
  const file = join(assembly, 'Rekey.template.json');
  const published = `http://127.0.0.1:${(github.address() as AddressInfo).port}/`;
  const template = readFileSync(file, 'utf8');
  const changed = template.replace('https://api.github.com/meta/public_keys/secret_scanning', published);
  expect(changed).not.toBe(template);
  writeFileSync(file, changed);
  stack = await startRunningStack({ assembly });
  management = managementOf(stack.apis.management);
  orders = productOf(stack.apis.orders);
});
afterAll(async () => {
  await stack?.stop();
  github.close();
  forget(assembly);
  if (stack) forget(stack.stateDir);
});

const ask = (method: string, path: string, body?: object) =>
  management(method, path, { key: stack.admin_key, ...(body && { body }) });
const newKey = async (more: object = {}) => {
  const { body } = await ask('POST', '/api-keys', {
    ...{ name: 'n', owner_id: newOwner('leak'), scopes: ['orders:read'] },
    ...more,
  });
  return {
    key: body.key as string,
    id: body.api_key.id as string,
    owner_id: body.api_key.owner_id as string,
  };
};
const use = async (key: string) => (await orders('GET', '/orders', { key })).status;
const eventsOf = async (id: string) => (await ask('GET', `/api-keys/${id}/events`)).body.data;
const find = async (id: string, type: string) =>
  (await eventsOf(id)).find((event: { type: string }) => event.type === type);

describe('whoever finds a key', () => {
  it(
    'kills it without a key of their own, and it is told where that came from',
    async () => {
      const { key, id } = await newKey();
      expect(await use(key)).toBe(200);
      const answer = await management('POST', '/leaks', {
        body: { keys: [key] },
        headers: { 'user-agent': 'finder' },
      });
      expect(answer).toMatchObject({ status: 202, body: { status: 'accepted' } });
      await eventually(async () => (await use(key)) === 401, MOMENT);
      await eventually(async () => (await find(id, 'api_key.leaked')) !== undefined, MOMENT);
      expect(await find(id, 'api_key.leaked')).toMatchObject({
        actor: 'anonymous',
        source_ip: '127.0.0.1',
        user_agent: 'finder',
        data: { found_by: 'report', action: 'revoked' },
      });
      expect(await find(id, 'api_key.revoked')).toMatchObject({ reason: 'leaked' });
    },
    SLOW,
  );

  it('is answered the same for whatever they send', async () => {
    const { key, id } = await newKey();
    const guess = mintKey({ prefix: 'rk', environment: 'live', id }).key.reveal();
    const unknown = mintKey({ prefix: 'rk', environment: 'live', id: newKeyId(Date.now()) }).key.reveal();
    const answers = [];
    for (const keys of [[key], [guess], [unknown], ['nonsense'], [''], Array(20).fill(unknown)])
      answers.push(await management('POST', '/leaks', { body: { keys } }));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(new Set(answers.map(({ headers }) => [...headers.keys()].sort().join())).size).toBe(1);
  });

  it.each([
    ['no keys', { keys: [] }],
    ['too many', { keys: Array(21).fill('x') }],
    ['what is too long', { keys: ['x'.repeat(513)] }],
    ['what is no text', { keys: [7] }],
    ['more than keys', { keys: ['x'], revoke: false }],
    ['a key elsewhere', { key: 'x' }],
  ])('is told when they send %s', async (_, body) => {
    expect((await management('POST', '/leaks', { body })).status).toBe(400);
  });
});

describe('GitHub', () => {
  const send = (body: string, headers: Record<string, string> = {}) =>
    management('POST', '/integrations/github/secret-scanning', {
      body,
      headers: {
        'github-public-key-identifier': IDENTIFIER,
        'github-public-key-signature': sign('sha256', Buffer.from(body), signer.privateKey).toString(
          'base64',
        ),
        ...headers,
      },
    });
  const finding = (token: string, more: object = {}) => ({
    ...{ token, type: 'rekey_api_key', url: 'https://github.com/o/r/blob/1/ä.ts', source: 'content' },
    ...more,
  });

  it(
    'has its batch labelled, and the real keys in it ended',
    async () => {
      const [one, two] = [await newKey(), await newKey()];
      const guess = mintKey({ prefix: 'rk', environment: 'live', id: two.id }).key.reveal();
      // Spaces and order as no serializer writes them: the signature is over the bytes.
      const body = ` [ ${[
        finding(one.key),
        finding(one.key, { url: 'https://github.com/o/r/issues/2' }),
        finding(guess, { more: { than: 'we know' } }),
        finding('ghp_x', { url: null }),
      ]
        .map((each) => JSON.stringify(each))
        .join(' ,\n')} ] `;
      const answer = await send(body);
      expect(answer).toMatchObject({
        status: 200,
        body: [
          { token_hash: digestOf(one.key), token_type: 'rekey_api_key', label: 'true_positive' },
          { token_hash: digestOf(guess), token_type: 'rekey_api_key', label: 'false_positive' },
          { token_hash: digestOf('ghp_x'), token_type: 'rekey_api_key', label: 'false_positive' },
        ],
      });
      await eventually(async () => (await use(one.key)) === 401, MOMENT);
      expect(await use(two.key)).toBe(200);
      await eventually(async () => (await find(one.id, 'api_key.leaked')) !== undefined, MOMENT);
      expect(await find(one.id, 'api_key.leaked')).toMatchObject({
        actor: 'system:report-github-leaks',
        data: {
          found_by: 'github',
          found_at: ['https://github.com/o/r/blob/1/ä.ts', 'https://github.com/o/r/issues/2'],
        },
      });
      // A key that is dead already is a true one all the same.
      expect((await send(JSON.stringify([finding(one.key)]))).body[0].label).toBe('true_positive');
    },
    SLOW,
  );

  it('takes a batch far larger than any other body', async () => {
    const many = Array.from({ length: 3_000 }, (_, i) => finding(`token-${i}`));
    const answer = await send(JSON.stringify(many));
    expect([answer.status, answer.body.length]).toEqual([200, 3_000]);
    expect((await send(' '.repeat(1_048_577))).status).toBe(413);
  });

  it('is believed for nothing that it did not sign', async () => {
    const { key } = await newKey();
    const body = JSON.stringify([finding(key)]);
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const forged: Record<string, string>[] = [
      { 'github-public-key-signature': '' },
      { 'github-public-key-signature': 'no base64!' },
      {
        'github-public-key-signature': sign('sha256', Buffer.from(`${body} `), signer.privateKey).toString(
          'base64',
        ),
      },
      { 'github-public-key-signature': sign('sha256', Buffer.from(body), other).toString('base64') },
      { 'github-public-key-identifier': 'b'.repeat(64) },
      { 'github-public-key-identifier': '' },
    ];
    for (const headers of forged) {
      const answer = await send(body, headers);
      expect(answer).toMatchObject({ status: 401, body: { type: 'urn:rekey:problem:invalid_signature' } });
    }
    expect((await send('not json')).status).toBe(400);
    expect(await use(key)).toBe(200);
  });
});

describe('a compromise', () => {
  it('ends the line of a key for the very next request, and gives a fresh key', async () => {
    const old = await newKey();
    const next = (await ask('POST', `/api-keys/${old.id}/rotate`, {})).body.key;
    const about = { scope: 'family', reason: 'found on a forum' };
    const dry = await ask('POST', `/api-keys/${old.id}/compromise`, { ...about, dry_run: true });
    expect(dry).toMatchObject({ status: 200, body: { dry_run: true, stopped_count: 2 } });
    expect([await use(old.key), await use(next)]).toEqual([200, 200]);

    const { status, body } = await ask('POST', `/api-keys/${old.id}/compromise`, { ...about, replace: true });
    expect([status, body.stopped_count, body.finished]).toEqual([200, 2, true]);
    expect([await use(old.key), await use(next), await use(body.key)]).toEqual([401, 401, 200]);
    expect(body.api_key).toMatchObject({ parent_key_id: null, replaces_key_id: old.id });
  });
});

describe('a trap', () => {
  it('looks real to everybody but its owner, opens nothing, and tells who used it', async () => {
    const owner_id = newOwner('trap');
    const { key, id } = await newKey({ owner_id, honey: true, scopes: ['*:*'] });
    const own = (await ask('POST', '/api-keys', { name: 'o', owner_id, scopes: ['api-keys:read'] })).body.key;
    const shown = async (by: string, path: string) => (await management('GET', path, { key: by })).body;
    expect((await shown(own, `/api-keys/${id}`)).api_key.honey).toBe(true);
    expect((await shown(stack.admin_key, `/api-keys/${id}`)).api_key).not.toHaveProperty('honey');
    const listed = (await shown(own, '/api-keys')).data.find((each: { id: string }) => each.id === id);
    expect(listed.honey).toBe(true);
    const { data } = await shown(stack.admin_key, `/api-keys?owner_id=${owner_id}`);
    expect(JSON.stringify(data)).not.toContain('honey');
    expect(data.map((each: { id: string }) => each.id)).toContain(id);

    expect((await management('GET', '/api-keys', { key })).status).toBe(401);
    expect(await use(key)).toBe(401);
    const told = await find(id, 'api_key.honey_used');
    expect(told).toMatchObject({
      actor: id,
      source_ip: '127.0.0.1',
      data: { route: 'GET /api-keys' },
    });
    expect((await ask('POST', '/api-keys/verify', { key })).body).toMatchObject({ code: 'not_found' });
  });
});

describe('a key that is used after its grace', () => {
  it(
    'is told as late, then as reused, and ends its line where it is to do so',
    async () => {
      const old = await newKey({ on_reuse: 'revoke_family' });
      const next = (await ask('POST', `/api-keys/${old.id}/rotate`, { grace_period_hours: 0 })).body.key;
      expect([await use(old.key), await use(next)]).toEqual([401, 200]);
      expect(await find(old.id, 'api_key.used_late')).toMatchObject({ data: { route: 'GET /orders' } });
      expect(await use(next)).toBe(200);

      await advance(stack, 3_700);
      expect(await use(old.key)).toBe(401);
      expect(await find(old.id, 'api_key.reuse_detected')).toMatchObject({ source_ip: '127.0.0.1' });
      await eventually(async () => (await use(next)) === 401, MOMENT);
      expect(
        (await everyItem(stack)).filter((item) => JSON.stringify(item).includes('compromise_0')),
      ).toEqual([]);
    },
    SLOW,
  );
});
