import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { newDelivery } from '../../lib/delivery.ts';
import { getDelivery, listDeliveries, putDelivery } from '../../lib/delivery-table.ts';
import type { Event } from '../../lib/event.schema.ts';
import { systemOrigin } from '../../lib/event.ts';
import { redeliver } from '../../lib/redelivery.ts';
import { readItem } from '../../lib/table-client.ts';
import type { WebhookEndpointRecord } from '../../lib/webhook-endpoint.schema.ts';
import { testEvent } from '../../lib/webhook-endpoint-event.ts';
import { deleteEndpoint, getEndpoint, updateEndpoint } from '../../lib/webhook-endpoint-table.ts';
import { hang, type Receiver, reset, startReceiver, status } from '../lib/webhook-receiver.ts';
import { type Engine, startEngine } from './engine.ts';
import { everything } from './keys.ts';
import { verified, WebhookWorld } from './webhook-world.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
let engine: Engine;
let world: WebhookWorld;
let receiver: Receiver;
let owners = 0;
let owner_id: string;

beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine.close());
beforeEach(async () => {
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
  world = new WebhookWorld(engine.table);
  receiver = await startReceiver();
  owner_id = `owner-${owners++}`;
});
afterEach(async () => {
  jest.restoreAllMocks();
  await receiver.close();
});

const endpointHere = (facts: Partial<WebhookEndpointRecord> = {}) =>
  world.endpoint({ owner_id, url: receiver.url, ...facts });
const deliveryOf = async (endpoint: WebhookEndpointRecord, event: { id: string }) =>
  (await getDelivery({ webhook_endpoint_id: endpoint.id, id: event.id }, engine.table))!;
const endpointNow = async ({ id }: WebhookEndpointRecord) => (await getEndpoint(id, engine.table))!;
const eventsAbout = async ({ id }: WebhookEndpointRecord) =>
  (await everything(engine.table))
    .filter(({ pk }) => pk === `events_${id}`)
    .map(({ event }) => JSON.parse(String(event)) as Event);

/** One event that is on its way to an endpoint. */
async function underWay(facts: Partial<WebhookEndpointRecord> = {}) {
  const endpoint = await endpointHere(facts);
  const event = await world.record(owner_id);
  await world.publish(event);
  return { endpoint, event };
}

/** Messages to an endpoint that are there once the due ones have been sent. */
async function requeued({ id }: WebhookEndpointRecord): Promise<number> {
  await world.requeue();
  return world.messages.filter(({ body }) => body.includes(id)).length;
}

describe('an event', () => {
  it('arrives as it was recorded, to the byte, signed, and is noted as delivered', async () => {
    receiver.answer(status(202, {}, 'thanks'));
    const { endpoint, event } = await underWay();
    await world.deliver('fast');
    expect(receiver.received).toHaveLength(1);
    const [one] = receiver.received;
    const item = await readItem(engine.table, { pk: `events_${event.api_key_id}`, sk: event.id });
    expect(one!.body).toBe(item!['event']);
    expect(verified(endpoint, one!)).toEqual(event);
    expect(one!.headers['webhook-id']).toBe(event.id);
    expect(await deliveryOf(endpoint, event)).toMatchObject({
      status: 'succeeded',
      attempt_count: 1,
      attempts: [{ response_code: 202, response_excerpt: 'thanks', error: null }],
      next_attempt_at: null,
    });
    expect(world.messages).toEqual([]);
    for (const name of ['fanned_out', 'webhook_attempt'])
      expect(world.log.find((line) => line['event'] === name)).toMatchObject({
        event_id: event.id,
        request_id: event.request_id,
      });
    const stored = (await everything(engine.table)).find(({ pk }) => pk === `deliveries_${endpoint.id}`);
    for (const name of ['due_shard', 'next_action_at']) expect(stored).not.toHaveProperty(name);
  });

  it('goes to those that listen to it, of its owner or of all, and to no others', async () => {
    const own = await endpointHere({ events: ['api_key.*'] });
    const all = await world.endpoint({
      owner_id: 'platform',
      all_owners: true,
      webhook_owner: '*',
      url: receiver.url,
    });
    await endpointHere({ events: ['api_key.revoked', 'webhook_endpoint.*'] });
    await world.endpoint({ owner_id: `${owner_id}-other`, url: receiver.url });
    await world.publish(await world.record(owner_id));
    expect(world.messages.map(({ body }) => JSON.parse(body).webhook_endpoint_id).sort()).toEqual(
      [own.id, all.id].sort(),
    );
    await deleteEndpoint(all, systemOrigin('test', world.now()), engine.table);
  });

  it('that comes twice from the bus is delivered once', async () => {
    const { endpoint, event } = await underWay();
    await world.deliver('fast');
    await world.publish(event, event);
    while ((await world.deliver('fast')).batch > 0);
    expect(receiver.received).toHaveLength(1);
    expect(await deliveryOf(endpoint, event)).toMatchObject({ status: 'succeeded', attempt_count: 1 });
  });

  it('whose messages come twice at the same moment is attempted once', async () => {
    const { event } = await underWay();
    await world.publish(event);
    expect(world.messages).toHaveLength(2);
    const [first] = world.messages.splice(0, 1);
    const together = world.deliver('fast');
    world.messages.push(first!);
    await Promise.all([together, world.deliver('fast')]);
    expect(receiver.received).toHaveLength(1);
  });

  it('that nobody can read is received again, and the others go on', async () => {
    const endpoint = await endpointHere();
    const event = await world.record(owner_id);
    const { batchItemFailures } = await world.publish({ ...event, type: 'nonsense' } as never, event);
    expect(batchItemFailures).toEqual([{ itemIdentifier: event.id }]);
    await world.deliver('fast');
    expect(await deliveryOf(endpoint, event)).toMatchObject({ status: 'succeeded' });
  });
});

describe('an endpoint that fails', () => {
  it('gets it again after 5 s and 5 min by message, and later by the index, with the same id', async () => {
    receiver.answer(status(503));
    const { endpoint, event } = await underWay();
    const waits = [0, 5_000, 300_000];
    for (const wait of waits) {
      world.ahead += wait;
      await world.deliver('fast');
    }
    expect(receiver.received).toHaveLength(3);
    expect(await requeued(endpoint)).toBe(0);
    world.ahead += 1_800_000;
    expect(await requeued(endpoint)).toBe(1);
    // The next minute finds that a message is under way.
    expect(await requeued(endpoint)).toBe(1);
    receiver.answer(status(200));
    await world.deliver('fast');
    expect(await deliveryOf(endpoint, event)).toMatchObject({ status: 'succeeded', attempt_count: 4 });
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    for (const one of receiver.received) expect(verified(endpoint, one)).toEqual(event);
    expect((await endpointNow(endpoint)).failing_since).toBeNull();
  });

  it('is sent what was lost with its message', async () => {
    const { endpoint, event } = await underWay();
    world.messages = [];
    world.ahead += 290_000;
    expect(await requeued(endpoint)).toBe(0);
    world.ahead += 11_000;
    expect(await requeued(endpoint)).toBe(1);
    await world.deliver('fast');
    expect(await deliveryOf(endpoint, event)).toMatchObject({ status: 'succeeded' });
  });

  it('is attempted again when whoever made an attempt never came back', async () => {
    const { endpoint, event } = await underWay();
    const [message] = world.messages;
    const crashed = world.deliver('fast', { rootSecret: () => Promise.reject(new Error('crashed')) });
    expect((await crashed).batchItemFailures).toHaveLength(1);
    // SQS shows the message again; the attempt that was taken must be over first.
    await world.deliver('fast');
    expect(receiver.received).toHaveLength(0);
    world.messages.push(message!);
    world.ahead += 20_000;
    await world.deliver('fast');
    expect(await deliveryOf(endpoint, event)).toMatchObject({ status: 'succeeded', attempt_count: 1 });
  });

  it('is disabled when it has failed for five days, which is an event; what came is held, and can be had', async () => {
    receiver.answer(status(500));
    const { endpoint, event } = await underWay();
    await world.deliver('fast');
    expect((await endpointNow(endpoint)).failing_since).not.toBeNull();
    world.ahead += 5 * DAY;
    const second = await world.record(owner_id);
    await world.publish(second);
    await world.deliver('fast');
    const disabled = await endpointNow(endpoint);
    expect(disabled).toMatchObject({ disabled_reason: 'failing' });
    const told = (await eventsAbout(endpoint)).find(({ type }) => type === 'webhook_endpoint.disabled');
    expect(told).toMatchObject({ actor: 'system:deliver-webhook', reason: 'failing', owner_id });
    expect(told?.changes.map(({ field }) => field).sort()).toEqual([
      'disabled_at',
      'disabled_reason',
      'status',
    ]);

    const third = await world.record(owner_id);
    await world.publish(third);
    await world.requeue();
    while ((await world.deliver('fast')).batch > 0);
    for (const missed of [event, second, third])
      expect(await deliveryOf(endpoint, missed)).toMatchObject({ status: 'held', next_attempt_at: null });

    receiver.answer(status(200));
    const mended = await updateEndpoint(
      disabled,
      () => ({
        changes: { disabled_at: null, disabled_reason: null, failing_since: null },
        type: 'webhook_endpoint.updated',
      }),
      systemOrigin('test', world.now()),
      engine.table,
    );
    const { deliveries } = await listDeliveries(
      {
        webhook_endpoint_id: endpoint.id,
        order: 'oldest_first',
        limit: 10,
        filter: ({ status }) => status === 'held',
      },
      engine.table,
    );
    await redeliver(mended, deliveries, world.now(), { table: engine.table, send: world.send });
    await world.deliver('fast');
    for (const missed of [event, second, third])
      expect(await deliveryOf(endpoint, missed)).toMatchObject({ status: 'succeeded' });
  });

  it('is disabled at once with 410', async () => {
    receiver.answer(status(410));
    const { endpoint, event } = await underWay();
    await world.deliver('fast');
    expect(await endpointNow(endpoint)).toMatchObject({ disabled_reason: 'gone' });
    expect(await deliveryOf(endpoint, event)).toMatchObject({
      status: 'held',
      attempts: [{ response_code: 410 }],
    });
    expect((await eventsAbout(endpoint)).map(({ type }) => type)).toContain('webhook_endpoint.disabled');
  });

  it('is disabled once, however many attempts find it gone', async () => {
    receiver.answer(status(410));
    const endpoint = await endpointHere();
    await world.publish(...(await Promise.all(Array.from({ length: 8 }, () => world.record(owner_id)))));
    expect((await world.deliver('fast')).batchItemFailures).toEqual([]);
    const told = (await eventsAbout(endpoint)).filter(({ type }) => type === 'webhook_endpoint.disabled');
    expect(told).toHaveLength(1);
    const { deliveries } = await listDeliveries(
      { webhook_endpoint_id: endpoint.id, order: 'oldest_first', limit: 10 },
      engine.table,
    );
    expect(deliveries.map((one) => one.status)).toEqual(Array(8).fill('held'));
  });

  it.each([
    ['resets', reset, null, 'ECONNRESET'],
    ['sends elsewhere', status(302, { location: 'http://127.0.0.1:1/' }), 302, null],
  ] as const)('is noted with what happened when it %s', async (_what, answer, response_code, error) => {
    receiver.answer(answer);
    const { endpoint, event } = await underWay();
    await world.deliver('fast');
    expect(await deliveryOf(endpoint, event)).toMatchObject({
      status: 'pending',
      attempts: [{ response_code, error }],
    });
  });

  it('at an address that is not public any more gets nothing', async () => {
    const { endpoint, event } = await underWay({ url: 'https://rebinding.example.com/' });
    await world.deliver('fast', { resolve: async () => ['10.0.0.1'] });
    expect((await deliveryOf(endpoint, event)).attempts).toMatchObject([
      { error: 'refused: public_address' },
    ]);
  });
});

describe('an endpoint that hangs', () => {
  it('is given up after 3 s in the fast lane, and has its time in the slow one', async () => {
    receiver.answer(hang);
    const { endpoint, event } = await underWay();
    const { counts } = await world.deliver('fast');
    expect(counts.moved).toBe(1);
    expect(world.messages).toMatchObject([{ lane: 'slow' }]);
    expect((await endpointNow(endpoint)).failing_since).toBeNull();
    // It takes 4 s, which the slow lane waits for.
    receiver.answer((response) => void setTimeout(() => response.writeHead(200).end(), 4_000));
    await world.deliver('slow');
    expect(await deliveryOf(endpoint, event)).toMatchObject({
      status: 'succeeded',
      attempts: [{ error: 'slow' }, { response_code: 200 }],
    });
  });

  it('once is served with the others again as soon as it answers in time', async () => {
    const { endpoint, event } = await underWay({ slow_until: new Date(world.now() + HOUR).toISOString() });
    const other = await world.record(owner_id);
    await world.publish(other);
    expect(world.messages.map(({ lane }) => lane)).toEqual(['slow', 'slow']);
    const [second] = world.messages.splice(1, 1);
    await world.deliver('slow');
    expect((await endpointNow(endpoint)).slow_until).toBeNull();
    world.messages.push(second!);
    await world.deliver('slow');
    expect(world.messages).toMatchObject([{ lane: 'fast' }]);
    await world.deliver('fast');
    for (const one of [event, other])
      expect(await deliveryOf(endpoint, one)).toMatchObject({ status: 'succeeded' });
  });

  it('does not delay another one’s events', async () => {
    const healthy = await startReceiver();
    const hanging = await endpointHere();
    const quick = await endpointHere({ url: healthy.url });
    receiver.answer(hang);
    const events = await Promise.all(Array.from({ length: 60 }, () => world.record(owner_id)));
    for (let i = 0; i < events.length; i += 10) await world.publish(...events.slice(i, i + 10));
    const started = performance.now();
    // Four processes, as the laptop has.
    const process = async () => {
      while ((await world.deliver('fast')).batch > 0);
    };
    await Promise.all([process(), process(), process(), process()]);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(new Set(healthy.received.map(({ headers }) => headers['webhook-id'])).size).toBe(60);
    for (const one of healthy.received) verified(quick, one);
    expect(world.messages.filter(({ lane }) => lane === 'slow')).toHaveLength(60);
    // No more than five at a time were tried in each of the first batches.
    expect(receiver.received.length).toBeLessThanOrEqual(20);
    expect((await endpointNow(hanging)).slow_until).not.toBeNull();
    await healthy.close();
  });
});

describe('a deleted endpoint', () => {
  it('gets nothing more', async () => {
    const { endpoint, event } = await underWay();
    await deleteEndpoint(endpoint, systemOrigin('test', world.now()), engine.table);
    await world.deliver('fast');
    expect(receiver.received).toEqual([]);
    expect(await deliveryOf(endpoint, event)).toMatchObject({ status: 'failed', next_attempt_at: null });
    expect(await getEndpoint(endpoint.id, engine.table)).toBeUndefined();
  });
});

describe('a test', () => {
  it('is sent once, also to a disabled endpoint, and changes nothing of its failing', async () => {
    const endpoint = await endpointHere({
      disabled_at: new Date(world.now()).toISOString(),
      disabled_reason: 'gone',
    });
    const event = testEvent(endpoint, systemOrigin('test', world.now()));
    const about = { id: event.id, webhook_endpoint_id: endpoint.id, event_type: event.type, held: false };
    await putDelivery(newDelivery(about, { event: JSON.stringify(event) }, world.now()), engine.table);
    await world.send([{ webhook_endpoint_id: endpoint.id, id: event.id, lane: 'fast' }]);
    await world.deliver('fast');
    expect(verified(endpoint, receiver.received[0]!)).toMatchObject({ type: 'webhook_endpoint.test' });
    expect(await deliveryOf(endpoint, event)).toMatchObject({ status: 'succeeded' });
  });
});

describe('requeueing', () => {
  it('sends each due delivery once, of many, whoever else does the same', async () => {
    const endpoint = await endpointHere();
    const events = await Promise.all(Array.from({ length: 40 }, () => world.record(owner_id)));
    for (let i = 0; i < 40; i += 10) await world.publish(...events.slice(i, i + 10));
    world.messages = [];
    world.ahead += HOUR;
    const sent = await Promise.all([world.requeue(), world.requeue(), world.requeue()]);
    const ours = world.messages.filter(({ body }) => body.includes(endpoint.id));
    expect(ours).toHaveLength(40);
    expect(sent.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(40);
  });
});
