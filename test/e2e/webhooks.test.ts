import { describe, expect, it } from '@jest/globals';
import { status } from '../lib/webhook-receiver.ts';
import { admin, management, newKey, newOwner } from './client.ts';
import { until } from './until.ts';
import { keyIn, type Registered, recorded, registersForEachTest } from './webhook-endpoints.ts';

const registered = registersForEachTest();
const deliveries = async ({ id }: Registered, query = '') =>
  (await management('GET', `/webhook-endpoints/${id}/deliveries${query}`, { key: admin })).body.data;

describe('a webhook', () => {
  it('tells of a key that was made, signed and to the byte as it was recorded', async () => {
    const owner_id = newOwner();
    const { id, secret, receiver } = await registered(owner_id);
    const key = await newKey({ owner_id });
    expect(await until(() => receiver.received.length > 0, 20)).toBe(true);
    const [one] = receiver.received;
    expect(keyIn(secret, one!)).toBe(key.id);
    expect(one!.body).toBe((await recorded(owner_id)).get(one!.headers['webhook-id']!));
    expect(one!.body).not.toContain(key.key.slice(30));
    const [delivery] = await deliveries({ id, secret, receiver });
    expect(delivery).toMatchObject({ status: 'succeeded', event_type: 'api_key.created', attempt_count: 1 });
  });

  it('that was missed is sent again when the receiver is mended', async () => {
    const owner_id = newOwner();
    const endpoint = await registered(owner_id, status(410));
    const { id, secret, receiver } = endpoint;
    const first = await newKey({ owner_id });
    const isDisabled = async () =>
      (await management('GET', `/webhook-endpoints/${id}`, { key: admin })).body.webhook_endpoint.status ===
      'disabled';
    expect(await until(isDisabled, 20)).toBe(true);
    const second = await newKey({ owner_id });
    expect(await until(async () => (await deliveries(endpoint, '?status=held')).length === 2, 20)).toBe(true);

    const path = `/webhook-endpoints/${id}/deliveries/redeliver`;
    expect((await management('POST', path, { key: admin })).status).toBe(409);
    receiver.answer(status(200));
    await management('PATCH', `/webhook-endpoints/${id}`, { key: admin, body: { status: 'enabled' } });
    const again = await management('POST', path, { key: admin });
    expect(again).toMatchObject({ status: 202, body: { redelivered: 2, next_cursor: null } });
    expect(await until(async () => (await deliveries(endpoint, '?status=succeeded')).length === 2, 20)).toBe(
      true,
    );
    expect(new Set(receiver.received.map((one) => keyIn(secret, one)))).toEqual(
      new Set([first.id, second.id]),
    );
    const about = (await management('GET', `/events?owner_id=${owner_id}`, { key: admin })).body.data;
    expect(about.map(({ type }: { type: string }) => type)).toContain('webhook_endpoint.disabled');
  });

  it('is not sent to other owners, and its endpoint is nothing to them', async () => {
    const owner_id = newOwner();
    const { id, receiver } = await registered(owner_id);
    const other = await newKey({ owner_id: newOwner(), scopes: ['webhooks:*', 'api-keys:*'] });
    const asked = [
      ['GET', `/webhook-endpoints/${id}`],
      ['DELETE', `/webhook-endpoints/${id}`],
      ['POST', `/webhook-endpoints/${id}/rotate-secret`],
      ['POST', `/webhook-endpoints/${id}/test`],
      ['GET', `/webhook-endpoints/${id}/deliveries`],
    ] as const;
    for (const [method, path] of asked)
      expect((await management(method, path, { key: other.key })).status).toBe(404);
    expect(receiver.received).toEqual([]);
  });

  it('goes to no address inside, not even on this machine', async () => {
    for (const url of [
      'https://127.0.0.1/',
      'http://localhost:3000/',
      'https://169.254.169.254/',
      'http://10.0.0.1/',
    ]) {
      const answer = await management('POST', '/webhook-endpoints', {
        key: admin,
        body: { url, events: ['*'], owner_id: newOwner() },
      });
      expect([url, answer.status, answer.body.type]).toEqual([
        url,
        422,
        'urn:rekey:problem:webhook_url_refused',
      ]);
    }
  });
});
