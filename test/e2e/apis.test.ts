import { beforeAll, describe, expect, it } from '@jest/globals';
import { authorizerEvent } from '../lib/authorizer-event.ts';
import { management, newKey } from './client.ts';
import { sharedStack } from './running-stack.ts';

const stack = sharedStack();
const put = (id: string, body: object, key = stack.admin_key) =>
  management('PUT', `/apis/${id}`, { key, body });
const scopesOf = async (query = '') => {
  const found = [];
  let cursor = '';
  do {
    const { body } = await management('GET', `/scopes?limit=100${query}${cursor}`, { key: stack.admin_key });
    found.push(...body.data);
    cursor = body.next_cursor ? `&cursor=${body.next_cursor}` : '';
  } while (cursor);
  return new Map(found.map((entry) => [entry.scope, entry]));
};

describe('the registered APIs', () => {
  it('are those of the stacks, with their stages', async () => {
    const { status, body } = await management('GET', '/apis?limit=100', { key: stack.admin_key });
    expect(status).toBe(200);
    const owners = body.data.map(({ owner_id }: { owner_id: string }) => owner_id);
    for (const name of ['Rekey', 'Orders', 'Shipments', 'Notifications'])
      expect(owners).toContain(`stack:000000000000/${name}`);
    const orders = body.data.find(({ owner_id }: { owner_id: string }) => owner_id.endsWith('/Orders'));
    expect(orders).toMatchObject({
      source: 'stack',
      route_count: 3,
      stages: [{ name: 'v1', cache_header: null }],
    });
    const cached = body.data.filter(({ stages }: { stages: { cache_header: string | null }[] }) =>
      stages.some(({ cache_header }) => cache_header === 'x-api-key'),
    );
    expect(cached.length).toBeGreaterThan(0);
    expect(await put(orders.id, { routes: {} })).toMatchObject({ status: 409 });
  });

  it('know every scope there is, our own among them', async () => {
    const scopes = await scopesOf();
    expect(scopes.get('orders:refund')).toMatchObject({
      description: 'Give the money for an order back',
      apis: [{ routes: ['POST /orders/{id}/refund'] }],
    });
    expect(scopes.get('api-keys:create').apis[0].routes).toEqual(['POST /api-keys']);
    expect(scopes.get('scopes:read').description).toEqual(expect.any(String));
  });

  it('decide what a new key may be given', async () => {
    const body = { name: 'n', owner_id: 'o', scopes: ['order:read'] };
    const answer = await management('POST', '/api-keys', { key: stack.admin_key, body });
    expect(answer.status).toBe(422);
    expect(answer.body.detail).toContain('`order:read` is not known; did you mean `orders:read`?');
  });

  it('say how many keys hold a scope', async () => {
    await newKey({ scopes: ['orders:refund'] });
    const { active_keys, active_keys_by_wildcard } = (await scopesOf('&include=keys')).get('orders:refund');
    expect(active_keys).toBeGreaterThan(0);
    expect(active_keys_by_wildcard).toBeGreaterThan(0);
  });
});

describe('an API that was registered by hand', () => {
  const OWNER = 'team-by-hand';
  const ID = 'byhand1';
  let manager: string;
  let user: string;
  const arn = `arn:aws:execute-api:us-east-1:000000000000:${ID}/v1/GET/orders`;

  /** What API Gateway would ask for one request to the API, and what it would make of the answer. */
  const ask = async (key: string, stageVariables: Record<string, string> | null, resource = '/orders') => {
    const name = Object.entries(stack.functions).find(([id]) => /^Rekey\/Authorizer/.test(id))![1];
    const event = authorizerEvent({ resource, headers: { 'x-api-key': [key] } });
    const requestContext = { ...event.requestContext, apiId: ID };
    const methodArn = arn.replace('/orders', resource);
    const answer = await fetch(`${stack.control}/2015-03-31/functions/${name}/invocations`, {
      method: 'POST',
      body: JSON.stringify({ ...event, methodArn, requestContext, stageVariables }),
    });
    const policy = (await answer.json()) as { policyDocument?: { Statement: { Effect: string }[] } };
    return policy.policyDocument?.Statement[0]?.Effect ?? 'error';
  };

  beforeAll(async () => {
    manager = (await newKey({ owner_id: OWNER, scopes: ['apis:manage', 'apis:read'] })).key;
  });

  it('is protected from its next request on, and by nobody else’s registration', async () => {
    const named = { rekeyOwner: OWNER };
    expect((await put(ID, { routes: { 'GET /orders': ['byhand:read'] } }, manager)).status).toBe(200);
    user = (await newKey({ owner_id: OWNER, scopes: ['byhand:read'] })).key;
    expect(await ask(user, named)).toBe('Allow');
    expect(await ask((await newKey({ scopes: ['orders:read'] })).key, named)).toBe('Deny');
    expect(await ask(user, named, '/undeclared')).toBe('Deny');
    // Nobody named, or somebody else: whoever registered it has no say.
    expect(await ask(user, null)).toBe('Deny');
    expect(await ask(user, { rekeyOwner: 'someone-else' })).toBe('Deny');

    const attacker = (await newKey({ owner_id: 'attacker', scopes: ['apis:manage', 'apis:read'] })).key;
    const open = { routes: { 'GET /orders': [[]] } };
    expect(await put(ID, open, attacker)).toMatchObject({
      status: 403,
      body: { type: 'urn:rekey:problem:owner_forbidden' },
    });
    expect((await management('DELETE', `/apis/${ID}?force=true`, { key: attacker })).status).toBe(404);

    expect(
      (await put(ID, { routes: { 'GET /orders': ['byhand:admin', 'byhand:read'] } }, manager)).status,
    ).toBe(200);
    expect(await ask(user, named)).toBe('Deny');
    expect(await management('DELETE', `/apis/${ID}`, { key: manager })).toMatchObject({
      status: 409,
      body: { in_use: [{ scope: 'byhand:read', active_keys: 1 }] },
    });
    expect((await management('DELETE', `/apis/${ID}?force=true`, { key: manager })).status).toBe(204);
    expect(await ask(user, named)).toBe('Deny');
  });

  it('may not be registered before the one who owns it, to any effect', async () => {
    const attacker = (await newKey({ owner_id: 'attacker', scopes: ['apis:manage'] })).key;
    const body = { routes: { 'GET /orders': [[]] } };
    expect((await put(ID, body, attacker)).status).toBe(200);
    expect(await ask(user, { rekeyOwner: OWNER })).toBe('Deny');
    expect((await put(ID, body, manager)).body.detail).toContain('registered by another owner');
    // An administrator clears it away.
    expect((await management('DELETE', `/apis/${ID}`, { key: stack.admin_key })).status).toBe(204);
    expect((await put(ID, body, manager)).status).toBe(200);
  });
});
