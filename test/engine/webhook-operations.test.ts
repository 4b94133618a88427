import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { mockClient } from 'aws-sdk-client-mock';
import { Webhook } from 'standardwebhooks';
import { newDelivery } from '../../lib/delivery.ts';
import { getDelivery, putDelivery } from '../../lib/delivery-table.ts';
import { createWebhookEndpoint } from '../../lib/operations/create-webhook-endpoint.ts';
import type { Operation } from '../../lib/operations/definition.ts';
import { deleteWebhookEndpoint } from '../../lib/operations/delete-webhook-endpoint.ts';
import { getWebhookEndpoint } from '../../lib/operations/get-webhook-endpoint.ts';
import { listWebhookDeliveries } from '../../lib/operations/list-webhook-deliveries.ts';
import { listWebhookEndpoints } from '../../lib/operations/list-webhook-endpoints.ts';
import { redeliverMissedWebhooks } from '../../lib/operations/redeliver-missed-webhooks.ts';
import { redeliverWebhook } from '../../lib/operations/redeliver-webhook.ts';
import { rotateWebhookSecret } from '../../lib/operations/rotate-webhook-secret.ts';
import { testWebhookEndpoint } from '../../lib/operations/test-webhook-endpoint.ts';
import { updateWebhookEndpoint } from '../../lib/operations/update-webhook-endpoint.ts';
import type { WebhookEndpoint } from '../../lib/webhook-endpoint.schema.ts';
import { MOST_ENDPOINTS } from '../../lib/webhook-endpoint-table.ts';
import { ADMIN, type ApiRequest, call } from '../lib/api-event.ts';
import { type Engine, startEngine } from './engine.ts';
import { setEnvironment } from './environment.ts';
import { everything } from './keys.ts';
import { type Fate, type Network, unreliableNetwork } from './unreliable-network.ts';

/** Operations on webhook endpoints over a real engine; the queues and the root secret are played. */

let engine: Engine;
let network: Network;
/** What becomes of the next writes on their way to the engine. */
let fates: Fate[] = [];
const sqs = mockClient(SQSClient);
const secretsManager = mockClient(SecretsManagerClient);
let owners = 0;
const newOwner = () => `owner-${owners++}`;

let restore: () => void;
beforeAll(async () => {
  engine = await startEngine();
  network = await unreliableNetwork(engine.endpoint, (name) =>
    name === 'TransactWriteItems' || name === 'PutItem' || name === 'UpdateItem'
      ? (fates.shift() ?? 'pass')
      : 'pass',
  );
  restore = setEnvironment(
    { endpoint: network.endpoint, tableName: engine.table.tableName },
    {
      REKEY_WEBHOOK_ROOT_SECRET_ARN: 'arn:aws:secretsmanager:us-east-1:000000000000:secret:root',
      REKEY_DELIVERIES_QUEUE_URL: 'http://127.0.0.1/queue/fast',
      REKEY_SLOW_DELIVERIES_QUEUE_URL: 'http://127.0.0.1/queue/slow',
      REKEY_ALLOW_LOOPBACK_HTTP_WEBHOOKS: 'true',
    },
  );
  secretsManager.onAnyCommand().resolves({ SecretString: 'r'.repeat(64) });
});
afterAll(async () => {
  restore();
  await network?.close();
  await engine?.close();
});
beforeEach(() => {
  fates = [];
  sqs.reset();
  sqs.on(SendMessageBatchCommand).resolves({});
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
});
afterEach(() => void jest.restoreAllMocks());

const caller = (owner_id: string, more: Partial<typeof ADMIN> = {}) => ({
  ...ADMIN,
  key_id: `key_${'7'.repeat(22)}`,
  owner_id,
  owner_access: 'own',
  ...more,
});
const wanted = (more: object = {}) => ({ url: 'http://127.0.0.1:8080/hook', events: ['api_key.*'], ...more });
const create = (owner_id: string, more: object = {}, request: ApiRequest = {}) =>
  call(createWebhookEndpoint, { json: wanted({ owner_id, ...more }), ...request });
const made = async (owner_id: string, more: object = {}): Promise<WebhookEndpoint> => {
  const { status, body, text } = await create(owner_id, more);
  if (status !== 201) throw new Error(text);
  return body.webhook_endpoint;
};
const list = async (owner_id: string, query: Record<string, string> = {}, as = ADMIN) =>
  call(listWebhookEndpoints, { query: { owner_id, ...query }, caller: as });
const codeOf = ({ status, body }: { status: number; body: { type?: string } | null }) =>
  [status, body?.type?.split(':').at(-1)] as const;
const eventsOf = async (subject: string): Promise<string[]> =>
  (await everything(engine.table))
    .filter(({ pk }) => pk === `events_${subject}`)
    .map(({ event_type }) => String(event_type));
const countOf = async (owner_id: string): Promise<unknown> =>
  (await everything(engine.table)).find(({ pk }) => pk === `webhooks_${owner_id}`)?.['endpoints'];

/** Deliveries of these states to an endpoint, oldest first. @returns their ids */
const deliveriesTo = async (endpoint: string, count: number, held = false): Promise<string[]> => {
  const now = Date.now() - count * 1_000;
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = now + i * 1_000;
    const id = `evt_${String(i).padStart(3, '0')}${'0'.repeat(19)}`;
    const about = { id, webhook_endpoint_id: endpoint, event_type: 'api_key.created', held };
    await putDelivery(newDelivery(about, { event_pk: `events_key_${'1'.repeat(22)}` }, at), engine.table);
    ids.push(id);
  }
  return ids;
};

/** Pages until there is no other. */
const pages = async (operation: Operation, request: ApiRequest): Promise<{ id: string }[][]> => {
  const found: { id: string }[][] = [];
  let cursor: string | null = null;
  do {
    const query: Record<string, string> = {
      ...(request.query as Record<string, string>),
      ...(cursor && { cursor }),
    };
    const { status, body, text } = await call(operation, { ...request, query });
    if (status !== 200) throw new Error(text);
    found.push(body.data);
    cursor = body.next_cursor;
  } while (cursor !== null);
  return found;
};

describe('an owner', () => {
  it('has twenty endpoints at most, however many are asked for at once', async () => {
    const owner = newOwner();
    const answers = await Promise.all(Array.from({ length: 30 }, () => create(owner)));
    // A transaction that met too many others says so, and may be sent again.
    let done = answers.filter(({ status }) => status === 201).length;
    for (let tries = 0; done < MOST_ENDPOINTS && tries < 30; tries++)
      done += (await create(owner)).status === 201 ? 1 : 0;
    expect(done).toBe(MOST_ENDPOINTS);
    expect((await list(owner, { limit: '100' })).body.data).toHaveLength(MOST_ENDPOINTS);
    expect(codeOf(await create(owner))).toEqual([409, 'webhook_endpoint_limit']);
    expect(codeOf(await create(owner, { all_owners: true }))).toEqual([409, 'webhook_endpoint_limit']);
  });

  it('gets one place free by a deletion, however often it is asked for', async () => {
    const owner = newOwner();
    const endpoints = await Promise.all(Array.from({ length: 3 }, () => made(owner)));
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => call(deleteWebhookEndpoint, { id: endpoints[0]!.id })),
    );
    expect(answers.filter(({ status }) => status === 204).length).toBeLessThanOrEqual(1);
    expect(codeOf(await call(deleteWebhookEndpoint, { id: endpoints[0]!.id }))).toEqual([404, 'not_found']);
    expect(await countOf(owner)).toBe(2);
    expect(await eventsOf(endpoints[0]!.id)).toEqual([
      'webhook_endpoint.created',
      'webhook_endpoint.deleted',
    ]);
  });
});

describe('lists', () => {
  it('of endpoints go newest first, page by page, each once', async () => {
    const owner = newOwner();
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) ids.push((await made(owner)).id);
    const found = await pages(listWebhookEndpoints, { query: { owner_id: owner, limit: '3' } });
    expect(found.map((page) => page.length)).toEqual([3, 3, 1]);
    expect(found.flat().map(({ id }) => id)).toEqual([...ids].sort().reverse());
  });

  it('of deliveries go newest first, page by page, each once; also of one status', async () => {
    const { id } = await made(newOwner());
    const held = await deliveriesTo(id, 5, true);
    const all = await pages(listWebhookDeliveries, { id, query: { limit: '2' } });
    expect(all.map((page) => page.length)).toEqual([2, 2, 1]);
    expect(all.flat().map((delivery) => delivery.id)).toEqual([...held].reverse());
    expect((await pages(listWebhookDeliveries, { id, query: { status: 'held' } })).flat()).toHaveLength(5);
    expect((await pages(listWebhookDeliveries, { id, query: { status: 'succeeded' } })).flat()).toEqual([]);
  });

  it('take a cursor from their own caller, endpoint and query only', async () => {
    const owner = newOwner();
    const [one, other] = [await made(owner), await made(owner)];
    await deliveriesTo(one.id, 3);
    const { next_cursor: ofEndpoints } = (await list(owner, { limit: '1' })).body;
    const query = { limit: '1' };
    const { next_cursor: ofDeliveries } = (await call(listWebhookDeliveries, { id: one.id, query })).body;
    const refused = [
      await list(owner, { limit: '1', cursor: ofEndpoints }, caller(owner)),
      await list(owner, { limit: '2', cursor: ofEndpoints }),
      await list(owner, { limit: '1', cursor: ofDeliveries }),
      await call(listWebhookDeliveries, { id: other.id, query: { limit: '1', cursor: ofDeliveries } }),
      await call(listWebhookDeliveries, {
        id: one.id,
        query: { limit: '1', status: 'pending', cursor: ofDeliveries },
      }),
      await call(redeliverMissedWebhooks, { id: one.id, json: { cursor: ofDeliveries } }),
    ];
    for (const answer of refused) expect(codeOf(answer)).toEqual([400, 'invalid_cursor']);
    expect((await list(owner, { limit: '1', cursor: ofEndpoints })).status).toBe(200);
  });
});

describe('an endpoint', () => {
  const everyOperation = (endpoint: string, delivery: string): [Operation, ApiRequest][] => [
    [getWebhookEndpoint, { id: endpoint }],
    [updateWebhookEndpoint, { id: endpoint, json: { description: 'mine' } }],
    [deleteWebhookEndpoint, { id: endpoint }],
    [rotateWebhookSecret, { id: endpoint, json: {} }],
    [testWebhookEndpoint, { id: endpoint }],
    [listWebhookDeliveries, { id: endpoint }],
    [redeliverWebhook, { ids: { id: endpoint, delivery_id: delivery } }],
    [redeliverMissedWebhooks, { id: endpoint, json: {} }],
  ];

  it('of another owner, or that listens to all, is not there for who acts for one', async () => {
    const owner = newOwner();
    const [theirs, forAll] = [await made(newOwner()), await made(owner, { all_owners: true })];
    for (const endpoint of [theirs, forAll]) {
      const [delivery] = await deliveriesTo(endpoint.id, 1, true);
      for (const [operation, request] of everyOperation(endpoint.id, delivery!))
        expect([
          operation.name,
          codeOf(await call(operation, { ...request, caller: caller(owner) })),
        ]).toEqual([operation.name, [404, 'not_found']]);
      expect(await eventsOf(endpoint.id)).toEqual(['webhook_endpoint.created']);
      expect(
        (await getDelivery({ webhook_endpoint_id: endpoint.id, id: delivery! }, engine.table))?.status,
      ).toBe('held');
    }
    expect((await list(owner, {}, caller(owner))).body.data).toEqual([]);
    expect(codeOf(await list(newOwner(), {}, caller(owner)))).toEqual([403, 'owner_forbidden']);
    expect(codeOf(await create(newOwner(), {}, { caller: caller(owner) }))).toEqual([403, 'owner_forbidden']);
    expect(codeOf(await create(owner, { all_owners: true }, { caller: caller(owner) }))).toEqual([
      403,
      'owner_forbidden',
    ]);
    expect(sqs.commandCalls(SendMessageBatchCommand)).toEqual([]);
  });

  it('is managed by live keys that hold the scope, and read by those that may read', async () => {
    const owner = newOwner();
    const endpoint = await made(owner);
    const [delivery] = await deliveriesTo(endpoint.id, 1, true);
    const reading = [getWebhookEndpoint, listWebhookDeliveries].map(({ name }) => name);
    for (const [operation, request] of everyOperation(endpoint.id, delivery!)) {
      const reads = reading.includes(operation.name);
      const as = (more: Partial<typeof ADMIN>) =>
        call(operation, { ...request, caller: caller(owner, more) });
      expect([operation.name, operation.scope]).toEqual([
        operation.name,
        reads ? 'webhooks:read' : 'webhooks:manage',
      ]);
      const test = codeOf(await as({ environment: 'test' }));
      expect([operation.name, test]).toEqual([
        operation.name,
        reads ? [200, undefined] : [403, 'environment_forbidden'],
      ]);
    }
    expect(codeOf(await create(owner, {}, { caller: caller(owner, { environment: 'test' }) }))).toEqual([
      403,
      'environment_forbidden',
    ]);
    expect(await eventsOf(endpoint.id)).toEqual(['webhook_endpoint.created']);
  });

  it('that is disabled begins no delivery again, and one that is not there none either', async () => {
    const endpoint = await made(newOwner());
    const [delivery] = await deliveriesTo(endpoint.id, 1, true);
    await call(updateWebhookEndpoint, { id: endpoint.id, json: { status: 'disabled' } });
    const again = (delivery_id: string) => call(redeliverWebhook, { ids: { id: endpoint.id, delivery_id } });
    expect(codeOf(await again(delivery!))).toEqual([409, 'webhook_endpoint_disabled']);
    expect(codeOf(await call(redeliverMissedWebhooks, { id: endpoint.id, json: {} }))).toEqual([
      409,
      'webhook_endpoint_disabled',
    ]);
    await call(updateWebhookEndpoint, { id: endpoint.id, json: { status: 'enabled' } });
    expect(codeOf(await again(`evt_${'9'.repeat(22)}`))).toEqual([404, 'not_found']);
    expect((await again(delivery!)).body.delivery.status).toBe('pending');
  });
});

describe('what is asked for again', () => {
  it('changes nothing more: an update', async () => {
    const { id } = await made(newOwner());
    const change = () =>
      call(updateWebhookEndpoint, { id, json: { description: 'Pages the team', events: ['*'] } });
    const first = await change();
    expect(first.status).toBe(200);
    expect((await change()).body).toEqual(first.body);
    expect(await eventsOf(id)).toEqual(['webhook_endpoint.created', 'webhook_endpoint.updated']);
  });

  it('keeps what the receiver has: both secrets sign, also when the answer of a rotation was lost', async () => {
    const owner = newOwner();
    const answer = await create(owner);
    const { id } = answer.body.webhook_endpoint;
    const secrets = [answer.body.secret];
    for (let i = 0; i < 2; i++) secrets.push((await call(rotateWebhookSecret, { id, json: {} })).body.secret);
    expect(new Set(secrets).size).toBe(3);
    for (const secret of secrets) expect(() => new Webhook(secret)).not.toThrow();
    expect((await call(getWebhookEndpoint, { id })).body.webhook_endpoint).toMatchObject({
      secret_version: 3,
      previous_secret_until: expect.any(String),
    });
    expect((await eventsOf(id)).filter((type) => type === 'webhook_endpoint.secret_rotated')).toHaveLength(2);
  });

  it('begins each missed delivery once, page by page, oldest first', async () => {
    const { id } = await made(newOwner());
    const ids = await deliveriesTo(id, 130, true);
    const first = await call(redeliverMissedWebhooks, { id, json: {} });
    expect([first.status, first.body.redelivered]).toEqual([202, 100]);
    const second = await call(redeliverMissedWebhooks, { id, json: { cursor: first.body.next_cursor } });
    expect([second.body.redelivered, second.body.next_cursor]).toEqual([30, null]);
    const sent = sqs
      .commandCalls(SendMessageBatchCommand)
      .flatMap((sending) => sending.args[0].input.Entries ?? [])
      .map(({ MessageBody }) => JSON.parse(MessageBody!).event_id);
    expect(sent.sort()).toEqual(ids);
    expect((await call(redeliverMissedWebhooks, { id, json: {} })).body).toEqual({
      redelivered: 0,
      next_cursor: null,
    });
  });
});

describe('over a network that loses answers', () => {
  const losing = (count: number): Fate[] => Array.from({ length: count }, () => 'lose answer' as const);
  /** More than the SDK makes attempts. */
  const ALL = 3;

  it('an endpoint is made, counted and told once', async () => {
    const owner = newOwner();
    fates = losing(1);
    const { id } = await made(owner);
    expect(await countOf(owner)).toBe(1);
    expect(await eventsOf(id)).toEqual(['webhook_endpoint.created']);
  });

  it('an endpoint of which no answer came is there, is counted, and can be found and deleted', async () => {
    const owner = newOwner();
    fates = losing(ALL);
    expect(codeOf(await create(owner))).toEqual([503, 'unavailable']);
    const [found] = (await list(owner)).body.data;
    expect(await countOf(owner)).toBe(1);
    expect((await call(deleteWebhookEndpoint, { id: found.id })).status).toBe(204);
    expect(await countOf(owner)).toBe(0);
  });

  it.each([1, ALL])(
    'an update is told once, when %d answers are lost and it is asked for again',
    async (answers) => {
      const { id } = await made(newOwner());
      fates = losing(answers);
      const change = () => call(updateWebhookEndpoint, { id, json: { description: 'changed' } });
      expect((await change()).status).toBe(answers < ALL ? 200 : 503);
      expect((await change()).body.webhook_endpoint.description).toBe('changed');
      expect(await eventsOf(id)).toEqual(['webhook_endpoint.created', 'webhook_endpoint.updated']);
    },
  );

  it.each([1, ALL])(
    'a deletion gives one place free, when %d answers are lost and it is asked for again',
    async (answers) => {
      const owner = newOwner();
      const { id } = await made(owner);
      fates = losing(answers);
      expect((await call(deleteWebhookEndpoint, { id })).status).toBe(answers < ALL ? 204 : 503);
      expect((await call(deleteWebhookEndpoint, { id })).status).toBe(404);
      expect(await countOf(owner)).toBe(0);
      expect(await eventsOf(id)).toEqual(['webhook_endpoint.created', 'webhook_endpoint.deleted']);
    },
  );

  it('a rotation makes one secret more, and not two, when one answer is lost', async () => {
    const { id } = await made(newOwner());
    fates = losing(1);
    expect((await call(rotateWebhookSecret, { id, json: {} })).body.webhook_endpoint.secret_version).toBe(2);
    expect(await eventsOf(id)).toEqual(['webhook_endpoint.created', 'webhook_endpoint.secret_rotated']);
  });

  it('a test and a redelivery are begun and sent', async () => {
    const { id } = await made(newOwner());
    const [delivery] = await deliveriesTo(id, 1, true);
    fates = losing(1);
    expect((await call(testWebhookEndpoint, { id })).status).toBe(202);
    fates = losing(1);
    expect((await call(redeliverWebhook, { ids: { id, delivery_id: delivery! } })).status).toBe(202);
    expect(sqs.commandCalls(SendMessageBatchCommand)).toHaveLength(2);
  });

  it('what the queue does not take is 503, and the delivery is due without it', async () => {
    const { id } = await made(newOwner());
    const [delivery] = await deliveriesTo(id, 1, true);
    sqs.on(SendMessageBatchCommand).rejects(new Error('no'));
    expect(codeOf(await call(redeliverWebhook, { ids: { id, delivery_id: delivery! } }))).toEqual([
      503,
      'unavailable',
    ]);
    const begun = await getDelivery({ webhook_endpoint_id: id, id: delivery! }, engine.table);
    expect(begun).toMatchObject({
      status: 'pending',
      due_shard: expect.any(String),
      next_action_at: expect.any(String),
    });
  });
});
