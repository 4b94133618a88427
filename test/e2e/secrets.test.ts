import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { operations } from '../../lib/operations/index.ts';
import { type Receiver, startReceiver } from '../lib/webhook-receiver.ts';
import type { Answer } from './client.ts';
import { managementOf, productOf } from './client.ts';
import { everyFile, everyItem, forget, type RunningStack, startRunningStack } from './running-stack.ts';
import { until } from './until.ts';

/** Every operation and every refusal, then a search of every byte that was written anywhere. */
describe('the plaintext of a key', () => {
  let stack: RunningStack;
  const answers: { what: string; answer: Answer }[] = [];
  /** Each key ever minted, and the one answer that returned it. */
  const minted: { key: string; by: Answer }[] = [];
  const trail: { user_agent: string | null; data: object }[] = [];

  let receiver: Receiver;

  beforeAll(async () => {
    receiver = await startReceiver();
    stack = await startRunningStack();
    const management = managementOf(stack.apis.management);
    const orders = productOf(stack.apis.orders);
    const noted = (what: string, answer: Answer): Answer => {
      answers.push({ what, answer });
      const shown = answer.body?.key ?? answer.body?.secret;
      if (typeof shown === 'string') minted.push({ key: shown, by: answer });
      return answer;
    };
    const call = async (method: string, path: string, body?: unknown, key = stack.admin_key, headers = {}) =>
      noted(
        `${method} ${path}`,
        await management(method, path, { key, ...(body !== undefined && { body }), headers }),
      );
    const body = { name: 'n', owner_id: 'team', scopes: ['orders:read'], metadata: { a: 'b' } };

    const { key, api_key } = (await call('POST', '/api-keys', body)).body;
    const id = api_key.id;
    await call('POST', '/api-keys', body, stack.admin_key, { 'idempotency-key': 'one' });
    await call('POST', '/api-keys', body, stack.admin_key, { 'idempotency-key': 'one' });
    await call('GET', `/api-keys/${id}`);
    await call('GET', '/api-keys?owner_id=team&limit=1');
    await call('PATCH', `/api-keys/${id}`, { name: 'new' });
    await call('POST', '/api-keys/verify', { key, required_scopes: ['orders:read'] });
    noted('orders', await orders('GET', '/orders', { key }));
    noted('orders', await orders('POST', '/orders', { key, body: {} }));
    const { key: next } = (await call('POST', `/api-keys/${id}/rotate`, {})).body;
    await call('POST', `/api-keys/${id}/rotate`, {});
    await call('GET', `/api-keys/${id}/lineage`);
    await call('POST', `/api-keys/${id}/revoke`, { reason: 'gone' });
    await call('POST', '/api-keys/verify', { key });
    noted('orders', await orders('GET', '/orders', { key }));

    // Whatever a client calls itself, it is not repeated into the trail.
    await call('PATCH', `/api-keys/${id}`, { name: 'no longer' }, stack.admin_key, { 'user-agent': key });
    const { api_key: other } = (
      await call('POST', '/api-keys', body, stack.admin_key, { 'user-agent': next })
    ).body;
    trail.push((await call('GET', `/api-keys/${other.id}/events`)).body.data[0]);
    trail.push(...(await call('GET', '/events?owner_id=team')).body.data);
    await call('GET', '/event-types');

    // Where a key belongs that has leaked, and a line that is ended with a fresh key in the answer.
    const leaking = (await call('POST', '/api-keys', body)).body;
    noted(
      'POST /leaks',
      await management('POST', '/leaks', { body: { keys: [leaking.key, next, `${next}x`] } }),
    );
    await call('GET', '/status');
    noted('leaks', await management('POST', '/leaks', { body: { keys: [leaking.key], more: next } }));
    noted('leaks', await management('POST', '/leaks', { body: { [next]: 1 } }));
    noted(
      'github',
      await management('POST', '/integrations/github/secret-scanning', {
        body: [{ token: leaking.key, type: leaking.key, url: leaking.key }],
        headers: { 'github-public-key-identifier': leaking.key, 'github-public-key-signature': leaking.key },
      }),
    );
    const trap = (await call('POST', '/api-keys', { ...body, honey: true })).body;
    noted('orders', await orders('GET', '/orders', { key: trap.key, headers: { 'user-agent': trap.key } }));
    const lost = (await call('POST', '/api-keys', body)).body;
    const ending = { scope: 'family', reason: 'lost', replace: true };
    await call('POST', `/api-keys/${lost.api_key.id}/compromise`, { ...ending, dry_run: true });
    await call('POST', `/api-keys/${lost.api_key.id}/compromise`, ending);
    await call('POST', `/api-keys/${lost.api_key.id}/compromise`, { ...ending, reason: next });

    // What a key does to itself, a rotation that is taken back, and the end of a compromised line.
    const own = (await call('POST', '/api-keys', body)).body.key;
    await call('GET', '/api-keys/self', undefined, own);
    const heir = (await call('POST', '/api-keys/self/rotate', {}, own)).body.key;
    await call('POST', '/api-keys/self/revoke', {}, heir);
    const kept = (await call('POST', '/api-keys', body)).body.api_key.id;
    await call('POST', `/api-keys/${kept}/rotate`, {});
    await call('POST', `/api-keys/${kept}/rotate/cancel`, {});
    const compromised = { scope: 'family', reason: 'found in a log', replace: true };
    await call('POST', `/api-keys/${kept}/compromise`, compromised);
    const now = Date.now();
    const hour = { from: new Date(now - 3_600_000).toISOString(), to: new Date(now + 60_000).toISOString() };
    await call('POST', '/events/replay', { ...hour, owner_id: 'team' });

    // Webhooks, whose secrets are shown once too.
    const hook = { url: receiver.url, events: ['*'], owner_id: 'team' };
    const endpoint = (await call('POST', '/webhook-endpoints', hook)).body.webhook_endpoint.id;
    await call('GET', '/webhook-endpoints?owner_id=team');
    await call('GET', `/webhook-endpoints/${endpoint}`);
    await call('PATCH', `/webhook-endpoints/${endpoint}`, { description: 'a receiver' });
    await call('POST', `/webhook-endpoints/${endpoint}/rotate-secret`, {});
    await call('POST', `/webhook-endpoints/${endpoint}/test`);
    await call('POST', '/api-keys', body);
    await until(() => receiver.received.length >= 2, 30);
    const [delivery] = (await call('GET', `/webhook-endpoints/${endpoint}/deliveries`)).body.data;
    await call('POST', `/webhook-endpoints/${endpoint}/deliveries/${delivery.id}/redeliver`);
    await call('POST', `/webhook-endpoints/${endpoint}/deliveries/redeliver`);
    await call('DELETE', `/webhook-endpoints/${endpoint}`);

    // APIs and their scopes.
    const api = { routes: { 'GET /orders': ['orders:read'] } };
    await call('PUT', '/apis/secrets1', api);
    await call('GET', '/apis/secrets1');
    await call('GET', '/apis');
    await call('GET', '/scopes');
    await call('DELETE', '/apis/secrets1');

    // A key where it does not belong: refused, and not repeated.
    await call('POST', '/api-keys', { ...body, colour: next });
    await call('POST', '/api-keys', { ...body, scopes: [next] });
    await call('POST', '/api-keys', { ...body, owner_id: `${next} ` });
    await call('POST', '/api-keys', { ...body, expires_at: next });
    await call('POST', '/api-keys', `{"key": "${next}"`);
    await call('POST', '/api-keys/verify', { key: next, more: next });
    await call('POST', '/api-keys/verify', { key: [next] });
    await call('GET', `/api-keys?cursor=${next}`);
    await call('GET', `/api-keys?${next}=1`);
    await call('GET', `/api-keys/${next}`);
    await call('GET', `/${next}`);
    noted('orders', await orders('GET', `/orders?key=${next}`, { headers: { 'x-note': next } }));
    noted('orders', await orders('GET', '/orders', { headers: { authorization: `Basic ${next}` } }));
    noted(
      'orders',
      await orders('GET', '/orders', { key: next, headers: { authorization: `Bearer ${key}` } }),
    );
  });

  afterAll(async () => {
    await receiver?.close();
    await stack?.stop();
    if (stack) forget(stack.stateDir);
  });

  it('is in the one answer that returns it, and nowhere else', async () => {
    expect(minted.length).toBeGreaterThanOrEqual(4);
    const keys = [...minted.map(({ key }) => key), stack.admin_key];
    // Any twelve characters of the secret part would be a leak too. That of a webhook is shorter.
    const needles = keys.flatMap((key) => [
      key,
      ...(key.startsWith('whsec_') ? [10, 25] : [30, 45]).map((from) => key.slice(from, from + 12)),
    ]);

    const places = [
      ...everyFile(stack.stateDir)
        .filter(({ path }) => !path.endsWith('stack.json'))
        .map(({ path, bytes }) => ({ where: path, text: bytes.toString('latin1') })),
      ...receiver.received.map(({ body, headers }) => ({
        where: `the webhook ${headers['webhook-id']}`,
        text: `${body} ${JSON.stringify(headers)}`,
      })),
      { where: 'the table', text: JSON.stringify(await everyItem(stack)) },
      ...answers.map(({ what, answer }) => ({
        where: `the answer to ${what} (${answer.status})`,
        text: `${answer.text} ${JSON.stringify([...answer.headers])}`,
        answer,
      })),
    ];
    const logs = places.filter(({ where }) => where.includes('/logs/'));
    expect(logs.length).toBeGreaterThan(5);

    const leaks = places.flatMap((place) => {
      const own =
        'answer' in place ? minted.filter(({ by }) => by === place.answer).map(({ key }) => key) : [];
      const text = own.reduce((rest, key) => rest.replace(key, ''), place.text);
      return needles.some((needle) => text.includes(needle)) ? [place.where] : [];
    });
    expect(leaks).toEqual([]);
  });

  it('was looked for in what every operation does', () => {
    const done = answers
      .filter(({ answer }) => answer.status < 300)
      .map(({ what }) => what.replace(/\?.*/, '').replace(/(?:key|whe|evt)_\w{22}|secrets1/g, '{}'));
    const operation = ({ method, path }: { method: string; path: string }) =>
      `${method} ${path.replace(/\{\w+\}/g, '{}')}`;
    // GitHub alone can sign what it sends: test/lib/github-keys.test.ts.
    const signed = ['POST /integrations/github/secret-scanning'];
    expect(operations.map(operation).filter((one) => !done.includes(one))).toEqual(signed);
    expect(receiver.received.length).toBeGreaterThan(1);
  });

  it('is masked where a client put it into its user agent, and the trail has no hint of it', () => {
    expect(trail[0]).toMatchObject({ type: 'api_key.created', user_agent: '[secret]' });
    expect(trail.length).toBeGreaterThan(5);
    for (const { data } of trail) expect(JSON.stringify(data)).not.toMatch(/"(?:hint|digest)"/);
  });

  it('is what the search would find, if it were there', () => {
    expect(minted.every(({ key, by }) => by.text.includes(key))).toBe(true);
  });
});
