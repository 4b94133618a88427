import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  paginateQuery,
  paginateScan,
  QueryCommand,
} from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { beginCompromise } from '../../lib/compromise-table.ts';
import { newDelivery } from '../../lib/delivery.ts';
import { putDelivery } from '../../lib/delivery-table.ts';
import { systemOrigin } from '../../lib/event.ts';
import { factsOfItem } from '../../lib/key-item.ts';
import { BY_OWNER, EVENTS_BY_OWNER, WEBHOOKS_BY_OWNER } from '../../lib/table-layout.ts';
import type { Resources } from '../infra/synthesize.ts';
import { documentsOf } from '../role-documents.ts';
import { type Answer, newOwner, productOf } from './client.ts';
import { askControl, invokeFunction } from './control.ts';
import { advance, forget, type RunningStack, sharedAssembly, startRunningStack } from './running-stack.ts';

/**
 * Every call to AWS of every function that writes is broken, one after the other, and the caller tries again as callers
 * and the platform do. Afterwards state and trail must agree, and what was to be delivered has arrived. The calls are
 * found by running the function, so a new call is covered by itself; so is a new function, which fails the first test
 * until it has a scenario.
 *
 * Each call is broken once here, before it or after it in turn. `npm run test:crashes` breaks each in every way.
 */
const IN_EVERY_WAY = process.env['REKEY_EVERY_FAULT'] !== undefined;

/** What a call to AWS may come to. A read that fails has changed nothing, so it is only crashed. */
const CRASHES = ['crash_before', 'crash_after'];
const WRITE_FAULTS = [...CRASHES, 'timeout', 'throttle', 'error'];
const isWrite = (call: string): boolean => /Put|Update|Delete|Write|Send/.test(call);
const faultsOf = (call: string, index: number): string[] => {
  if (IN_EVERY_WAY) return isWrite(call) ? WRITE_FAULTS : CRASHES;
  return [CRASHES[index % CRASHES.length]!];
};

const MOST_TRIES = 8;
const LONGEST_MS = IN_EVERY_WAY ? 1_800_000 : 600_000;

/** Functions whose writing is another one's code: the limits of time are others, or all they write is what signs cursors. */
const SAME_CODE: Record<string, string> = {
  'deliver-slow-webhook': 'deliver-webhook',
  // What GitHub signs: test/e2e/leaks.test.ts.
  'report-github-leaks': 'report-leaks',
  'list-apis': 'replay-events',
  'list-events': 'replay-events',
  'list-key-events': 'replay-events',
  'list-keys': 'replay-events',
  'list-lineage': 'replay-events',
  'list-scopes': 'replay-events',
  'list-webhook-deliveries': 'replay-events',
  'list-webhook-endpoints': 'replay-events',
};
/** Functions that are broken off elsewhere, most of them called by CloudFormation or Secrets Manager. */
const ELSEWHERE: Record<string, string> = {
  // And what asks Secrets Manager for a rotation: test/e2e/delivered-rotation.test.ts.
  'rotate-secret': 'test/lib/rotate-secret.test.ts',
  // Each deployment calls it again, with all that it writes.
  'register-routes': 'test/engine/apis.test.ts',
  // All that it writes is a beat of its heart; what it did not flush comes again.
  'flush-caches': 'test/engine/flush.test.ts',
};

let stack: RunningStack;
/** Answers are not checked against docs/openapi.json here: a crash is the gateway's 502, which it does not promise. */
let management: ReturnType<typeof productOf>;
let orders: ReturnType<typeof productOf>;
let table: DynamoDBDocumentClient;
/** What came to `/ok/<owner>`, by owner: ids and bodies. All else but CloudFormation's is answered with 410. */
const arrived = new Map<string, { id: string; body: string }[]>();
/** What CloudFormation was told, by logical id. */
const deployed = new Map<string, string>();
const receiver = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const [, resource] = /^\/cloudformation\/(.+)$/.exec(request.url ?? '') ?? [];
  if (resource !== undefined) {
    deployed.set(resource, JSON.parse(Buffer.concat(chunks).toString('utf8')).Status);
    return void response.writeHead(200).end();
  }
  const [, owner] = /^\/ok\/(.+)$/.exec(request.url ?? '') ?? [];
  if (owner === undefined) return void response.writeHead(410).end();
  const one = { id: String(request.headers['webhook-id']), body: Buffer.concat(chunks).toString('utf8') };
  arrived.set(owner, [...(arrived.get(owner) ?? []), one]);
  response.writeHead(204).end();
});
let gone: AddressInfo;

/** Something to do to a subject of its own. */
interface Subject {
  owner: string;
  /** Once, as a client would; done again after a failure. @returns whether it is through */
  act(): Promise<boolean>;
  /** The events that it leaves, of all keys of its owner, in no order. */
  events: string[];
}

const control = (method: string, path: string, body?: unknown) => askControl(stack, method, path, body);
const callsOf = async (name: string): Promise<{ call: string; request_id: string }[]> =>
  (await control('GET', `/calls?function=${name}`)).calls;
/** @returns whether the function did not fail */
const invoke = async (name: string, event: object): Promise<boolean> =>
  !(await invokeFunction(stack, name, event)).failed;

const ask = async (
  method: string,
  path: string,
  body: object = {},
  headers: Record<string, string> = {},
): Promise<Answer> => management(method, path, { key: stack.admin_key, body, headers });
/** To set a scene up, on a machine that may be too busy for one request: nothing is broken in what it calls. */
const newKey = async (owner_id: string, more: object = {}): Promise<{ id: string; key: string }> => {
  const wanted = { name: 'a key', owner_id, scopes: ['orders:read'], ...more };
  const headers = idempotency();
  for (let tries = 1; ; tries += 1) {
    const { status, body } = await ask('POST', '/api-keys', wanted, headers);
    if (status === 201) return { id: body.api_key.id, key: body.key };
    if (status < 500 || tries === MOST_TRIES) throw new Error(`no key: ${status} ${JSON.stringify(body)}`);
    await sleep(500 * tries);
  }
};
/** A client goes on after a 5xx; any other answer than the one it wants is wrong. */
const isThrough = ({ status }: { status: number }, wanted: number): boolean => {
  if (status !== wanted && status < 500) throw new Error(`answered ${status} instead of ${wanted}`);
  return status === wanted;
};
const idempotency = () => ({ 'idempotency-key': newOwner('try') });

/** A webhook endpoint, whose receiver has gone unless it is said. Undefined: a fault, to try again. */
const newEndpoint = async (
  owner_id: string,
  path = '/',
  events = ['api_key.revoked'],
): Promise<string | undefined> => {
  const body = { url: `http://127.0.0.1:${gone.port}${path}`, events, owner_id };
  const answer = await ask('POST', '/webhook-endpoints', body);
  return isThrough(answer, 201) ? answer.body.webhook_endpoint.id : undefined;
};

/** The same to set a scene up. */
const someEndpoint = async (...wanted: Parameters<typeof newEndpoint>): Promise<string> => {
  for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
    const id = await newEndpoint(...wanted);
    if (id !== undefined) return id;
    await sleep(500 * tries);
  }
  throw new Error('no endpoint');
};

/** @returns whether something arrives for an owner in the next two seconds, or has */
const arrives = async (owner: string): Promise<boolean> => {
  for (const deadline = Date.now() + 2_000; Date.now() < deadline; await sleep(50))
    if (arrived.has(owner)) return true;
  return false;
};
const mustArrive = async (owner: string): Promise<true> => {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) if (await arrives(owner)) return true;
  throw new Error('nothing arrived');
};

/** Until nothing is on its way from the bus to an endpoint; what was broken off comes back by its time only. */
const settled = async (): Promise<void> => {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await sleep(50)) {
    const queues = (await control('GET', '/queues')) as Record<string, Record<string, number>>;
    const depths = Object.entries(queues).filter(([name]) => !name.includes('DeadLetters'));
    if (depths.every(([, { visible, in_flight }]) => visible === 0 && in_flight === 0)) return;
  }
};

const clockOf = async (): Promise<number> =>
  Date.parse(((await control('GET', '/clock')) as { now: string }).now);

/**
 * A delivery to an endpoint that answers: held, or due ten minutes ago. Of an event that the endpoint does not listen
 * to, so nothing else delivers it.
 */
const newDeliveryTo = async (owner: string, held: boolean): Promise<{ endpoint: string; event: string }> => {
  const { id: key } = await newKey(owner);
  const endpoint = await someEndpoint(owner, `/ok/${owner}`);
  const { Items = [] } = await table.send(
    new QueryCommand({
      TableName: stack.table,
      KeyConditionExpression: 'pk = :trail',
      ExpressionAttributeValues: { ':trail': `events_${key}` },
    }),
  );
  const event = String(Items[0]!['sk']);
  const about = { id: event, webhook_endpoint_id: endpoint, event_type: 'api_key.created', held };
  const delivery = newDelivery(about, { event_pk: `events_${key}` }, (await clockOf()) - 600_000);
  await putDelivery(delivery, { client: table, tableName: stack.table, eventRetentionDays: 400 });
  return { endpoint, event };
};

const newApi = (): string => `/apis/${randomUUID().replaceAll('-', '').slice(0, 10)}`;
const SOME_ROUTES = { routes: { 'GET /orders': ['orders:read'] } };

/** Whether the owner hears of a leak within two seconds. */
async function isToldLeaked(owner: string): Promise<boolean> {
  for (const deadline = Date.now() + 2_000; Date.now() < deadline; await sleep(50))
    if (
      (await everyItem()).some(
        (item) => item['event_owner_id'] === owner && item['event_type'] === 'api_key.leaked',
      )
    )
      return true;
  return false;
}

/** By the function's name. */
const scenarios: Record<string, () => Promise<Subject>> = {
  'create-key': async () => {
    const owner = newOwner('crash');
    const headers = idempotency();
    const body = { name: 'made', owner_id: owner, scopes: ['orders:read'] };
    return {
      owner,
      act: async () => isThrough(await ask('POST', '/api-keys', body, headers), 201),
      events: ['api_key.created'],
    };
  },
  'rotate-key': async () => {
    const owner = newOwner('crash');
    const { id } = await newKey(owner);
    const headers = idempotency();
    return {
      owner,
      act: async () => isThrough(await ask('POST', `/api-keys/${id}/rotate`, {}, headers), 201),
      events: ['api_key.created', 'api_key.rotated', 'api_key.created'],
    };
  },
  'update-key': async () => {
    const owner = newOwner('crash');
    const { id } = await newKey(owner);
    return {
      owner,
      act: async () => isThrough(await ask('PATCH', `/api-keys/${id}`, { name: 'changed' }), 200),
      events: ['api_key.created', 'api_key.updated'],
    };
  },
  'revoke-key': async () => {
    const owner = newOwner('crash');
    const { id } = await newKey(owner);
    return {
      owner,
      act: async () => isThrough(await ask('POST', `/api-keys/${id}/revoke`, { reason: 'lost' }), 200),
      events: ['api_key.created', 'api_key.revoked'],
    };
  },
  'verify-key': async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner);
    return {
      owner,
      act: async () => isThrough(await ask('POST', '/api-keys/verify', { key }), 200),
      events: ['api_key.created', 'api_key.first_used'],
    };
  },
  authorizer: async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner);
    return {
      owner,
      act: async () => isThrough(await orders('GET', '/orders', { key }), 200),
      events: ['api_key.created', 'api_key.first_used'],
    };
  },
  'rotate-self': async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner);
    const headers = idempotency();
    return {
      owner,
      act: async () =>
        isThrough(await management('POST', '/api-keys/self/rotate', { key, body: {}, headers }), 201),
      events: ['api_key.created', 'api_key.first_used', 'api_key.rotated', 'api_key.created'],
    };
  },
  'revoke-self': async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner);
    return {
      owner,
      // A key that is revoked is not let in again to hear of it.
      act: async () => {
        const answer = await management('POST', '/api-keys/self/revoke', { key, body: {} });
        return answer.status === 401 || isThrough(answer, 200);
      },
      events: ['api_key.created', 'api_key.first_used', 'api_key.revoked'],
    };
  },
  'cancel-rotation': async () => {
    const owner = newOwner('crash');
    const { id } = await newKey(owner);
    const twice = idempotency();
    const rotated = async () => isThrough(await ask('POST', `/api-keys/${id}/rotate`, {}, twice), 201);
    for (let tries = 1; !(await rotated()); tries += 1) expect(tries).toBeLessThan(MOST_TRIES);
    return {
      owner,
      // Whoever asks again after a lost answer hears that nothing is left to cancel.
      act: async () => {
        const answer = await ask('POST', `/api-keys/${id}/rotate/cancel`);
        const isDone = answer.body?.type === 'urn:rekey:problem:not_rotated';
        return isDone || isThrough(answer, 200);
      },
      events: ['api_key.created', 'api_key.rotated', 'api_key.created', 'api_key.updated', 'api_key.revoked'],
    };
  },
  'compromise-key': async () => {
    const owner = newOwner('crash');
    const { id } = await newKey(owner);
    const headers = idempotency();
    const body = { scope: 'family', reason: 'found in a log', replace: true };
    return {
      owner,
      act: async () => isThrough(await ask('POST', `/api-keys/${id}/compromise`, body, headers), 200),
      events: ['api_key.created', 'api_key.revoked', 'api_key.created'],
    };
  },
  'finish-compromises': async () => {
    const owner = newOwner('crash');
    const { id } = await newKey(owner);
    // As if the request that began it had ended a minute ago.
    const line = { scope: 'family' as const, key_id: id, root_key_id: id, from_generation: 0 };
    const origin = systemOrigin('test', (await clockOf()) - 60_000);
    await beginCompromise(line, 'found in a log', origin, {
      client: table,
      tableName: stack.table,
      eventRetentionDays: 400,
    });
    return {
      owner,
      act: () => invoke('FinishCompromises', {}),
      events: ['api_key.created', 'api_key.revoked'],
    };
  },
  'report-leaks': async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner);
    return {
      owner,
      // Reported again it is received again, and a key is revoked and told of once.
      act: async () =>
        isThrough(await management('POST', '/leaks', { body: { keys: [key] } }), 202) && isToldLeaked(owner),
      events: ['api_key.created', 'api_key.leaked', 'api_key.revoked'],
    };
  },
  'act-on-leaks': async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner);
    let isReported = false;
    return {
      owner,
      // Nobody calls it: the queue does, and gives again with time what was not done.
      act: async () => {
        if (isReported) await advance(stack, 200);
        else isThrough(await management('POST', '/leaks', { body: { keys: [key] } }), 202);
        isReported = true;
        return isToldLeaked(owner);
      },
      events: ['api_key.created', 'api_key.leaked', 'api_key.revoked'],
    };
  },
  'put-api': async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner, { scopes: ['apis:manage', 'apis:read'] });
    const path = newApi();
    return {
      owner,
      act: async () =>
        isThrough(await management('PUT', path, { key, body: SOME_ROUTES }), 200) &&
        isThrough(await management('GET', path, { key }), 200),
      events: ['api_key.created', 'api_key.first_used', 'api.registered'],
    };
  },
  'delete-api': async () => {
    const owner = newOwner('crash');
    const { key } = await newKey(owner, { scopes: ['apis:manage', 'apis:read'] });
    const path = newApi();
    const put = async () => isThrough(await management('PUT', path, { key, body: SOME_ROUTES }), 200);
    for (let tries = 1; !(await put()); tries += 1) expect(tries).toBeLessThan(MOST_TRIES);
    return {
      owner,
      act: async () => {
        const { status } = await management('DELETE', path, { key });
        return (
          (status === 404 || isThrough({ status }, 204)) &&
          isThrough(await management('GET', path, { key }), 404)
        );
      },
      events: ['api_key.created', 'api_key.first_used', 'api.registered', 'api.deleted'],
    };
  },
  'create-webhook-endpoint': async () => {
    const owner = newOwner('crash');
    // Nothing tells a second try from a first: an endpoint whose secret was lost stays, and its event too.
    return { owner, act: async () => (await newEndpoint(owner)) !== undefined, events: [] };
  },
  'update-webhook-endpoint': async () => {
    const owner = newOwner('crash');
    const id = await someEndpoint(owner);
    return {
      owner,
      act: async () =>
        isThrough(await ask('PATCH', `/webhook-endpoints/${id}`, { description: 'changed' }), 200),
      events: ['webhook_endpoint.created', 'webhook_endpoint.updated'],
    };
  },
  'delete-webhook-endpoint': async () => {
    const owner = newOwner('crash');
    const id = await someEndpoint(owner);
    return {
      owner,
      act: async () => {
        const answer = await management('DELETE', `/webhook-endpoints/${id}`, { key: stack.admin_key });
        return answer.status === 404 || isThrough(answer, 204);
      },
      events: ['webhook_endpoint.created', 'webhook_endpoint.deleted'],
    };
  },
  'rotate-webhook-secret': async () => {
    const owner = newOwner('crash');
    const id = await someEndpoint(owner);
    // A second try makes another secret, and tells so: only that both agree can be asked.
    return {
      owner,
      act: async () => isThrough(await ask('POST', `/webhook-endpoints/${id}/rotate-secret`), 200),
      events: [],
    };
  },
  'test-webhook-endpoint': async () => {
    const owner = newOwner('crash');
    const id = await someEndpoint(owner, `/ok/${owner}`);
    return {
      owner,
      act: async () =>
        isThrough(await ask('POST', `/webhook-endpoints/${id}/test`), 202) && mustArrive(owner),
      events: ['webhook_endpoint.created'],
    };
  },
  'redeliver-webhook': async () => {
    const owner = newOwner('crash');
    const { endpoint, event } = await newDeliveryTo(owner, true);
    const path = `/webhook-endpoints/${endpoint}/deliveries/${event}/redeliver`;
    return {
      owner,
      act: async () => isThrough(await ask('POST', path), 202) && mustArrive(owner),
      events: ['api_key.created', 'webhook_endpoint.created'],
    };
  },
  'redeliver-missed-webhooks': async () => {
    const owner = newOwner('crash');
    const { endpoint } = await newDeliveryTo(owner, true);
    return {
      owner,
      // What was begun again by the first try and lost then is found by the index, five minutes later.
      act: async () => {
        if (!isThrough(await ask('POST', `/webhook-endpoints/${endpoint}/deliveries/redeliver`), 202))
          return false;
        if (await arrives(owner)) return true;
        await advance(stack, 200);
        return arrives(owner);
      },
      events: ['api_key.created', 'webhook_endpoint.created'],
    };
  },
  'fan-out-event': async () => {
    const owner = newOwner('crash');
    await someEndpoint(owner, `/ok/${owner}`, ['api_key.created']);
    await settled();
    let isMade = false;
    return {
      owner,
      // Nobody calls it: the queue does, and gives again with time what was not done.
      act: async () => {
        if (isMade) await advance(stack, 200);
        else await newKey(owner);
        isMade = true;
        return arrives(owner);
      },
      events: ['webhook_endpoint.created', 'api_key.created'],
    };
  },
  'requeue-deliveries': async () => {
    const owner = newOwner('crash');
    await newDeliveryTo(owner, false);
    return {
      owner,
      // What it put off and did not send is due again five minutes later.
      act: async () => {
        await invoke('RequeueDeliveries', {});
        if (await arrives(owner)) return true;
        await advance(stack, 200);
        return false;
      },
      events: ['api_key.created', 'webhook_endpoint.created'],
    };
  },
  'deliver-webhook': async () => {
    const owner = newOwner('crash');
    const id = await someEndpoint(owner);
    let isAsked = false;
    const isDisabled = async () => {
      const key = { pk: id, sk: 'webhook_endpoint' };
      const { Item } = await table.send(new GetCommand({ TableName: stack.table, Key: key }));
      return Item!['disabled_at'] !== null;
    };
    return {
      owner,
      // The receiver answers 410, which disables the endpoint. What is lost comes back to the queue with time.
      act: async () => {
        if (isAsked) await advance(stack, 200);
        else isThrough(await ask('POST', `/webhook-endpoints/${id}/test`), 202);
        isAsked = true;
        for (const deadline = Date.now() + 2_000; Date.now() < deadline; await sleep(50))
          if (await isDisabled()) return true;
        return false;
      },
      events: ['webhook_endpoint.created', 'webhook_endpoint.disabled'],
    };
  },
  'replay-events': async () => {
    const owner = newOwner('crash');
    await newKey(owner);
    const { now } = (await control('GET', '/clock')) as { now: string };
    const around = (seconds: number) => new Date(Date.parse(now) + seconds * 1000).toISOString();
    const body = { from: around(-3600), to: around(60), owner_id: owner };
    // What signs cursors is made once in the life of a table, so each time here its life begins anew.
    await table.send(
      new DeleteCommand({ TableName: stack.table, Key: { pk: 'secret_cursor', sk: 'secret' } }),
    );
    await control('DELETE', '/processes?function=replay-events');
    return {
      owner,
      // Sent again it goes over the bus again: at least once, with the same ids, and each time the caller's trail tells of it.
      act: async () => isThrough(await ask('POST', '/events/replay', body), 200),
      events: ['api_key.created'],
    };
  },
  'publish-events': async () => {
    const owner = newOwner('crash');
    return {
      owner,
      // Nobody calls it: the stream does, and tries again.
      act: async () => {
        await newKey(owner);
        await published(owner);
        return true;
      },
      events: ['api_key.created'],
    };
  },
  'sweep-keys': async () => {
    const owner = newOwner('crash');
    const { now } = (await control('GET', '/clock')) as { now: string };
    // Its one notice is at half of its life. A jump of five minutes would void the signatures of the other lanes' calls.
    await newKey(owner, { expires_at: new Date(Date.parse(now) + 300_000).toISOString() });
    await advance(stack, 160);
    return {
      owner,
      act: () => invoke('SweepKeys', {}),
      events: ['api_key.created', 'api_key.expiring'],
    };
  },
  'deploy-key': async () => {
    const LogicalResourceId = newOwner('Key');
    const resources = JSON.parse(
      readFileSync(join(stack.stateDir, 'custom-resources.json'), 'utf8'),
    ) as Record<string, { type: string; stack: string; properties: { OwnerId: string; SecretArn: string } }>;
    const { properties } = Object.values(resources).find(
      ({ type, stack }) => type === 'Custom::RekeyApiKey' && stack === 'OrdersWorker',
    )!;
    // Lambda begins a request again that broke off, and CloudFormation one that failed: here as one and the same.
    const event = {
      RequestType: 'Create',
      ResponseURL: `http://127.0.0.1:${gone.port}/cloudformation/${LogicalResourceId}`,
      StackId: 'arn:aws:cloudformation:us-east-1:000000000000:stack/Crashes/1',
      RequestId: LogicalResourceId,
      LogicalResourceId,
      ResourceProperties: properties,
    };
    return {
      owner: properties.OwnerId,
      act: async () => {
        await invoke('DeployKey', event);
        return deployed.get(LogicalResourceId) === 'SUCCESS';
      },
      // The owner is that of the secret, and has the keys of all tries.
      events: [],
    };
  },
  'create-admin-key': async () => {
    const owner = newOwner('crash');
    // Nothing tells a second try from a first: a key whose text was lost stays, and its event too.
    return { owner, act: () => invoke('CreateAdminKey', { owner_id: owner }), events: [] };
  },
};

interface Item extends Record<string, unknown> {
  pk: string;
  sk: string;
}
async function everyItem(): Promise<Item[]> {
  const items: Item[] = [];
  for await (const page of paginateScan({ client: table }, { TableName: stack.table, ConsistentRead: true }))
    items.push(...((page.Items ?? []) as Item[]));
  return items;
}

/** All that is in the indexes of an owner, as it is in the table. */
async function itemsOf(owner: string): Promise<Item[]> {
  const indexed = async (IndexName: string, partition: string): Promise<Item[]> => {
    const found: Item[] = [];
    const asked = {
      TableName: stack.table,
      IndexName,
      KeyConditionExpression: '#partition = :owner',
      ExpressionAttributeNames: { '#partition': partition },
      ExpressionAttributeValues: { ':owner': owner },
    };
    for await (const page of paginateQuery({ client: table }, asked))
      found.push(...((page.Items ?? []) as Item[]));
    return found;
  };
  const [events, ...subjects] = await Promise.all([
    indexed(EVENTS_BY_OWNER, 'event_owner_id'),
    indexed(BY_OWNER, 'owner_id'),
    indexed(WEBHOOKS_BY_OWNER, 'webhook_owner'),
  ]);
  const places = new Set([
    ...subjects.flat().map(({ pk, sk }) => `${pk} ${sk}`),
    ...events
      .map(({ pk }) => pk.replace('events_', ''))
      .flatMap((id) => [`${id} api_key`, `${id} webhook_endpoint`]),
  ]);
  const records = await Promise.all(
    [...places].map(async (place) => {
      const [pk, sk] = place.split(' ');
      const asked = new GetCommand({ TableName: stack.table, Key: { pk, sk }, ConsistentRead: true });
      return (await table.send(asked)).Item as Item | undefined;
    }),
  );
  return [...events, ...records.filter((record) => record !== undefined)];
}

interface RecordedEvent {
  id: string;
  type: string;
  owner_id: string;
  reason: string | null;
  changes: { field: string; from: unknown; to: unknown }[];
  /** The record at that moment, as `api_key` or `webhook_endpoint`. */
  data: Record<string, Record<string, unknown>>;
}

/**
 * Fails unless each key and each webhook endpoint and its trail tell the same: the first event is its creation, each
 * event's changes begin where the last one ended, the last event shows it as it is (or tells that it is deleted), and
 * nothing is without its trail.
 *
 * @returns the types of all events of the owner; without those of a secret that a retry replaced
 */
async function trailsAgree(owner?: string): Promise<string[]> {
  const items = await (owner === undefined ? everyItem() : itemsOf(owner));
  const types: string[] = [];
  const subjects = new Map(
    items
      .filter(({ sk }) => sk === 'api_key' || sk === 'webhook_endpoint')
      .map((item) => [item.pk, factsOfItem(item)]),
  );
  const trails = new Map<string, RecordedEvent[]>([...subjects.keys()].map((id) => [id, []]));
  for (const { pk, event } of items.sort((a, b) => (a.sk < b.sk ? -1 : 1))) {
    const id = /^events_(.*)$/.exec(pk)?.[1];
    if (id === undefined) continue;
    if (!trails.has(id)) trails.set(id, []);
    trails.get(id)!.push(JSON.parse(String(event)));
  }

  for (const [id, trail] of trails) {
    const record = subjects.get(id);
    // The registration of an API is told by its scenario.
    if (trail.length > 0 && trail.every(({ type }) => type.startsWith('api.'))) {
      if (trail[0]?.owner_id === owner) types.push(...trail.map(({ type }) => type));
      continue;
    }
    if (owner !== undefined && (record?.['owner_id'] ?? trail[0]?.owner_id) !== owner) continue;
    expect([id, trail[0]?.type]).toEqual([id, expect.stringMatching(/\.created$/)]);
    let shown: Record<string, unknown> = {};
    for (const { type, reason, changes, data } of trail) {
      // It is in the trail of the key that asked, and says nothing of it.
      if (type === 'events.replayed') continue;
      // It follows from the other facts.
      const told = { ...(data['api_key'] ?? data['webhook_endpoint']), status: undefined };
      for (const { field, from, to } of changes.filter((change) => change.field !== 'status')) {
        expect({ id, type, field, value: shown[field] ?? null }).toEqual({ id, type, field, value: from });
        shown[field] = to;
      }
      // What changed without being told by an event would be here.
      if (!type.endsWith('.created')) expect({ type, ...told }).toEqual({ type, ...shown });
      shown = told;
      if (reason !== 'secret_replaced') types.push(type);
    }
    if (record === undefined) {
      expect([id, trail.at(-1)?.type]).toEqual([id, 'webhook_endpoint.deleted']);
      continue;
    }
    const fields = Object.keys(shown).filter((field) => field !== 'status' && field !== 'id');
    const stored = Object.fromEntries(fields.map((field) => [field, record[field] ?? null]));
    expect({ id, ...stored }).toEqual(
      Object.fromEntries(['id', ...fields].map((field) => [field, shown[field]])),
    );
  }
  return types;
}

/** What arrived at endpoints is in the trail, to the byte, but for tests. */
async function arrivedAsRecorded(): Promise<void> {
  const recorded = new Map((await everyItem()).map(({ sk, event }) => [sk, String(event)]));
  for (const { id, body } of [...arrived.values()].flat())
    if (JSON.parse(body).type !== 'webhook_endpoint.test') expect([id, body]).toEqual([id, recorded.get(id)]);
}

/** Resolves when every event (of an owner) that is in the table is on the bus, as it was recorded. */
async function published(owner?: string): Promise<void> {
  const recorded = (await (owner === undefined ? everyItem() : itemsOf(owner)))
    .filter(({ pk }) => pk.startsWith('events_'))
    .map(({ event }) => String(event));
  for (const deadline = Date.now() + 30_000; ; ) {
    const { events } = (await control('GET', '/events')) as {
      events: { event: { detail: unknown } }[];
    };
    const seen = new Set(events.map(({ event }) => JSON.stringify(event.detail)));
    const missing = recorded.filter((text) => !seen.has(text));
    if (missing.length === 0) return;
    if (Date.now() > deadline) throw new Error(`${missing.length} events are not on the bus: ${missing[0]}`);
    await sleep(200);
  }
}

/** @returns how often it was tried */
async function untilThrough({ act }: Subject): Promise<number> {
  for (let tries = 1; tries <= MOST_TRIES; tries += 1) if (await act()) return tries;
  throw new Error(`not through after ${MOST_TRIES} tries`);
}

/** Whether the last fault for a function has met its call. What a queue feeds may go on after its work shows. */
async function isHit(physical: string): Promise<boolean> {
  for (const deadline = Date.now() + 1_500; Date.now() < deadline; await sleep(50)) {
    const { faults } = (await control('GET', '/faults')) as {
      faults: { function: string; hit: unknown }[];
    };
    if (faults.findLast((each) => each.function === physical)?.hit !== null) return true;
  }
  return false;
}

/** Breaks each call of a function in each way. */
async function breakEachCall(name: string): Promise<string[]> {
  const scenario = scenarios[name]!;
  const check = async ({ owner, events }: Subject, what: string) => {
    const types = await trailsAgree(owner);
    if (events.length > 0) expect([what, ...types.sort()]).toEqual([what, ...[...events].sort()]);
  };
  /** A cold start makes calls that a process makes once. */
  const cool = () => control('DELETE', `/processes?function=${name}`);
  const first = await scenario();
  await cool();
  const before = (await callsOf(name)).length;
  await untilThrough(first);
  const made = (await callsOf(name)).slice(before);
  // Of the last invocation: a schedule may have started one of its own.
  const calls = made.filter(({ request_id: id }) => id === made.at(-1)?.request_id).map(({ call }) => call);
  await check(first, 'nothing broken');

  for (const [index, call] of calls.entries()) {
    const nth = calls.slice(0, index + 1).filter((other) => other === call).length;
    for (const fault of faultsOf(call, index + name.length)) {
      const what = `${fault} at ${call} ${nth}`;
      let physical = '';
      // A process that was still busy when the others were ended has made its first calls before.
      for (let tries = 1; ; tries += 1) {
        const subject = await scenario();
        if (!isWrite(call)) await cool();
        if (tries === 1) {
          const asked = await control('POST', '/faults', { function: name, call, nth, fault });
          physical = asked.function;
        }
        try {
          await untilThrough(subject);
        } catch (error) {
          throw new Error(`${what}: ${(error as Error).message}`);
        }
        await check(subject, what);
        if (await isHit(physical)) break;
        if (tries === MOST_TRIES) throw new Error(`${what}: there was no such call`);
      }
    }
  }
  return calls;
}

/** Names of the functions whose role may write anything, or send it, by the templates. */
function writingFunctions(): string[] {
  const names: string[] = [];
  const directory = sharedAssembly() ?? '';
  for (const file of readdirSync(directory).filter((each) => each.endsWith('.template.json'))) {
    const template = JSON.parse(readFileSync(join(directory, file), 'utf8')) as { Resources: Resources };
    const resources = template.Resources;
    for (const [id, { Type, Properties }] of Object.entries(resources)) {
      if (Type !== 'AWS::Lambda::Function') continue;
      const documents = documentsOf(Properties.Role['Fn::GetAtt'][0], resources);
      if (!/"dynamodb:(?:Put|Update|Delete)Item"|"sqs:Send|"events:Put/.test(JSON.stringify(documents)))
        continue;
      names.push(
        id
          .replace(/[0-9A-F]{8}$/, '')
          .replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `-${letter}`)
          .toLowerCase(),
      );
    }
  }
  return names;
}

describe('a crash at any call', () => {
  beforeAll(async () => {
    await new Promise<void>((listening) => receiver.listen(0, '127.0.0.1', listening));
    gone = receiver.address() as AddressInfo;
    stack = await startRunningStack();
    management = productOf(stack.apis.management);
    orders = productOf(stack.apis.orders);
    table = DynamoDBDocumentClient.from(
      new DynamoDBClient({
        endpoint: stack.dynamodb,
        region: 'us-east-1',
        credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      }),
    );
  });
  afterAll(async () => {
    table?.destroy();
    receiver.close();
    await stack?.stop();
    if (stack) forget(stack.stateDir);
  });

  it('is tried for every function that may write or send', () => {
    const known = writingFunctions()
      .filter((name) => !Object.hasOwn(ELSEWHERE, name))
      .map((name) => SAME_CODE[name] ?? name);
    for (const file of Object.values(ELSEWHERE)) expect([file, existsSync(file)]).toEqual([file, true]);
    expect(Object.keys(scenarios).sort()).toEqual([...new Set(known)].sort());
  });

  // Faults and calls are those of one function, so functions can be broken side by side; but for those that take part in
  // what is done for another one.
  it(
    'leaves each key and its trail in agreement, with every event once',
    async () => {
      const found: Record<string, string[]> = {};
      const lane = async (...names: string[]) => {
        for (const name of names) found[name] = await breakEachCall(name);
      };
      await Promise.all([lane('create-key', 'rotate-key'), lane('create-webhook-endpoint')]);
      await Promise.all([
        lane('update-key', 'revoke-key'),
        lane('verify-key', 'rotate-self'),
        lane('revoke-self', 'cancel-rotation'),
        // Both sign cursors, and the first forgets each time what with.
        lane('replay-events', 'redeliver-missed-webhooks'),
        lane('rotate-webhook-secret', 'test-webhook-endpoint', 'redeliver-webhook'),
        lane('update-webhook-endpoint', 'delete-webhook-endpoint'),
        lane('sweep-keys', 'create-admin-key', 'deploy-key'),
        lane('compromise-key', 'finish-compromises'),
        lane('put-api', 'delete-api'),
      ]);
      await lane('authorizer');
      await lane('publish-events', 'fan-out-event', 'deliver-webhook', 'requeue-deliveries');
      await lane('report-leaks', 'act-on-leaks');
      await trailsAgree();
      await arrivedAsRecorded();
      await published();
      for (const [name, calls] of Object.entries(found))
        expect([name, calls.some(isWrite)]).toEqual([name, true]);
    },
    LONGEST_MS,
  );
});
