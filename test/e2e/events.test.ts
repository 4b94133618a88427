import { beforeAll, describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner, orders, stack } from './client.ts';
import { until } from './until.ts';

interface ListedEvent {
  id: string;
  type: string;
  occurred_at: string;
  actor: string;
  api_key_id: string;
  owner_id: string;
}

const owner_id = newOwner();
const stranger_id = newOwner();
let reader: string;
let stranger: string;
let used: { key: string; id: string };
let successor_id: string;

beforeAll(async () => {
  reader = (await newKey({ owner_id, scopes: ['api-keys:read'] })).key;
  stranger = (await newKey({ owner_id: stranger_id, scopes: ['api-keys:read'] })).key;
  used = await newKey({ owner_id, name: 'To be used' });
  const path = `/api-keys/${used.id}`;
  await orders('GET', '/orders', { key: used.key, headers: { 'user-agent': 'orders client' } });
  await management('PATCH', path, { key: admin, body: { name: 'Used' } });
  await management('PATCH', path, { key: admin, body: { name: 'Used' } });
  const rotated = await management('POST', `${path}/rotate`, { key: admin, body: {} });
  successor_id = rotated.body.api_key.id;
  await management('POST', `${path}/revoke`, { key: admin, body: { reason: 'leaked' } });
});

const read = (path: string, key = reader) => management('GET', path, { key });
const trailOf = async (id: string): Promise<ListedEvent[]> =>
  (await read(`/api-keys/${id}/events`)).body.data;
const typesOf = (events: ListedEvent[]) => events.map(({ type }) => type);

/** All pages, and how long each was. */
const all = async (query: string, key = reader) => {
  const events: ListedEvent[] = [];
  const sizes: number[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const { status, body }: Awaited<ReturnType<typeof read>> = await read(
      `/events?${query}${cursor && `&cursor=${cursor}`}`,
      key,
    );
    expect(status).toBe(200);
    events.push(...body.data);
    sizes.push(body.data.length);
    cursor = body.next_cursor;
  }
  return { events, sizes };
};

describe('GET /api-keys/{id}/events', () => {
  it('tells all that happened to the key, newest first, and nothing that did not', async () => {
    const events = await trailOf(used.id);
    expect(typesOf(events)).toEqual([
      'api_key.revoked',
      'api_key.rotated',
      'api_key.updated',
      'api_key.first_used',
      'api_key.created',
    ]);
    expect(events).toEqual([...events].sort((a, b) => (a.id < b.id ? 1 : -1)));
    expect(new Set(events.map(({ api_key_id }) => api_key_id))).toEqual(new Set([used.id]));
  });

  it('says by whom and from where: the caller, or the key itself when it is first used', async () => {
    const [revoked, , updated, firstUsed] = await trailOf(used.id);
    expect(revoked).toMatchObject({
      actor: expect.stringMatching(/^key_/),
      request_id: expect.any(String),
      source_ip: '127.0.0.1',
      user_agent: 'node',
      reason: 'leaked',
      data: { api_key: { status: 'revoked', revoked_reason: 'leaked' } },
    });
    expect(updated).toMatchObject({ changes: [{ field: 'name', from: 'To be used', to: 'Used' }] });
    expect(firstUsed).toMatchObject({ actor: used.id, source_ip: '127.0.0.1', user_agent: 'orders client' });
  });

  it('tells of a successor that it was made', async () => {
    expect(await trailOf(successor_id)).toMatchObject([
      { type: 'api_key.created', data: { api_key: { parent_key_id: used.id } } },
    ]);
  });

  it('is the same 404 for a key of another owner and for an id that never was', async () => {
    const foreign = await read(`/api-keys/${used.id}/events`, stranger);
    const never = await read(`/api-keys/key_${'0'.repeat(22)}/events`, stranger);
    expect([foreign.status, never.status]).toEqual([404, 404]);
    const { request_id: _one, ...one } = foreign.body;
    const { request_id: _other, ...other } = never.body;
    expect(one).toEqual(other);
  });

  it('goes page by page', async () => {
    const first = await read(`/api-keys/${used.id}/events?limit=3`);
    const second = await read(`/api-keys/${used.id}/events?limit=3&cursor=${first.body.next_cursor}`);
    expect(first.body.data).toHaveLength(3);
    expect(second.body).toMatchObject({ next_cursor: null });
    expect([...first.body.data, ...second.body.data]).toEqual(await trailOf(used.id));
  });
});

describe('GET /events', () => {
  it('has the caller’s own owner’s, each once, in full pages', async () => {
    const { events, sizes } = await all('limit=3');
    // reader; used: five; its successor.
    expect(typesOf(events).filter((type) => type === 'api_key.created')).toHaveLength(3);
    expect(new Set(events.map(({ owner_id }) => owner_id))).toEqual(new Set([owner_id]));
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
    expect(events.map(({ id }) => id)).toEqual(
      events
        .map(({ id }) => id)
        .toSorted()
        .toReversed(),
    );
    for (const size of sizes.slice(0, -1)) expect(size).toBe(3);
  });

  it('can be asked for a type, an actor and a time', async () => {
    const revoked = (await all('type=api_key.revoked')).events;
    expect(revoked.map(({ api_key_id }) => api_key_id)).toEqual([used.id]);
    const own = (await all(`actor=${used.id}`)).events;
    expect(typesOf(own)).toEqual(['api_key.first_used']);
    const { occurred_at } = revoked[0]!;
    expect(typesOf((await all(`to=${occurred_at}`)).events)).not.toContain('api_key.revoked');
    expect((await all(`from=${occurred_at}&type=api_key.revoked`)).events).toEqual(revoked);
    expect((await all('from=2099-01-01T00:00:00Z')).events).toEqual([]);
  });

  it('is of another owner for those only who act for all', async () => {
    expect(await read(`/events?owner_id=${owner_id}`, stranger)).toMatchObject({
      status: 403,
      body: { type: 'urn:rekey:problem:owner_forbidden' },
    });
    const { events } = await all(`owner_id=${owner_id}&type=api_key.rotated`, admin);
    expect(events.map(({ api_key_id }) => api_key_id)).toEqual([used.id]);
  });

  it('needs the scope api-keys:read', async () => {
    const { key } = await newKey({ owner_id, scopes: ['orders:read'] });
    for (const path of ['/events', '/event-types', `/api-keys/${used.id}/events`])
      expect((await read(path, key)).status).toBe(403);
  });

  it.each([
    'type=api_key.nothing',
    'actor=somebody',
    'from=yesterday',
    'from=2027-01-01T00:00:00Z&to=2026-01-01T00:00:00Z',
    'limit=0',
    'all=true',
  ])('refuses %s', async (query) => {
    expect(await read(`/events?${query}`)).toMatchObject({
      status: 400,
      body: { type: 'urn:rekey:problem:invalid_request' },
    });
  });

  it('takes a cursor for its own caller and query only, and no forged one', async () => {
    const { next_cursor } = (await read('/events?limit=2')).body;
    const trail = (await read(`/api-keys/${used.id}/events?limit=2`)).body.next_cursor;
    const [payload, signature] = next_cursor.split('.');
    const forged = Buffer.from(JSON.stringify({ after: 'evt_~' })).toString('base64url');
    const refused: [string, string?][] = [
      [`/events?limit=3&cursor=${next_cursor}`],
      [`/events?limit=2&type=api_key.created&cursor=${next_cursor}`],
      [`/events?limit=2&cursor=${next_cursor}`, stranger],
      [`/events?limit=2&owner_id=${owner_id}&cursor=${next_cursor}`, admin],
      [`/events?limit=2&cursor=${trail}`],
      [`/api-keys/${used.id}/events?limit=2&cursor=${next_cursor}`],
      [`/api-keys/${successor_id}/events?limit=2&cursor=${trail}`],
      [`/events?limit=2&cursor=${forged}.${signature}`],
      [`/events?limit=2&cursor=${payload}`],
      ['/events?limit=2&cursor=x'],
    ];
    for (const [path, key] of refused)
      expect([path, await read(path, key)]).toMatchObject([
        path,
        { status: 400, body: { type: 'urn:rekey:problem:invalid_cursor' } },
      ]);
  });
});

describe('POST /events/replay', () => {
  const replay = (body: object, key = admin) => management('POST', '/events/replay', { key, body });
  const onTheBus = async (id: string) => {
    const { events } = (await (await fetch(`${stack?.control}/events`)).json()) as {
      events: { event: { detail: { id: string } } }[];
    };
    return events.map(({ event }) => event.detail).filter((detail) => detail.id === id);
  };

  it('puts the stored event on the bus again, with its old id and as it was recorded', async () => {
    const [event] = (await all(`type=api_key.revoked`)).events;
    const at = Date.parse(event!.occurred_at);
    const published = await until(async () => (await onTheBus(event!.id)).length === 1, 15);
    expect(published).toBe(true);
    const range = { from: event!.occurred_at, to: new Date(at + 1).toISOString() };
    expect(await replay({ ...range, owner_id, types: ['api_key.revoked'] })).toMatchObject({
      status: 200,
      body: { replayed: 1, not_replayed: [], next_cursor: null },
    });
    const seen = await onTheBus(event!.id);
    expect(seen).toEqual([event, event]);
    expect((await replay({ ...range, owner_id, types: ['api_key.expired'] })).body.replayed).toBe(0);
  });

  it('stands in the trail of the key that asked, with what it asked for', async () => {
    const asking = await newKey({ owner_id, scopes: ['events:replay'], owner_access: 'any' });
    const range = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-02T00:00:00.000Z' };
    expect((await replay({ ...range, types: ['api_key.revoked'] }, asking.key)).status).toBe(200);
    const { body } = await read(`/api-keys/${asking.id}/events?limit=1`);
    expect(body.data).toEqual([
      expect.objectContaining({
        type: 'events.replayed',
        actor: asking.id,
        api_key_id: asking.id,
        owner_id,
        request_id: expect.any(String),
        source_ip: '127.0.0.1',
        data: { replay: { ...range, types: ['api_key.revoked'], owner_id: null } },
      }),
    ]);
    expect(await until(async () => (await onTheBus(body.data[0].id)).length > 0, 15)).toBe(true);
  });

  it('is for live keys that act for all owners, and have the scope', async () => {
    const range = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' };
    const asking = async (more: object) => {
      const { key } = await newKey({ owner_id, scopes: ['events:replay'], ...more });
      const { status, body } = await replay(range, key);
      return [status, body.type?.split(':').at(-1)];
    };
    expect(await asking({})).toEqual([403, 'owner_forbidden']);
    expect(await asking({ owner_access: 'any', environment: 'test' })).toEqual([
      403,
      'environment_forbidden',
    ]);
    expect(await asking({ owner_access: 'any', scopes: ['api-keys:read'] })).toEqual([
      403,
      'insufficient_scope',
    ]);
    expect(await asking({ owner_access: 'any' })).toEqual([200, undefined]);
  });

  it.each([
    { from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' },
    { from: '2026-01-01T00:00:00Z', to: '2026-02-02T00:00:00Z' },
    { from: '2026-01-01T00:00:00Z' },
    { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', types: [] },
    { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', types: ['api_key.*'] },
  ])('refuses %j', async (body) => {
    expect(await replay(body)).toMatchObject({
      status: 400,
      body: { type: 'urn:rekey:problem:invalid_request' },
    });
  });
});

describe('GET /event-types', () => {
  it('names each type with an example of it', async () => {
    const { status, body } = await read('/event-types');
    expect(status).toBe(200);
    expect(body.data.map(({ name }: { name: string }) => name)).toContain('api_key.expiring');
    for (const { name, example } of body.data) expect(example.type).toBe(name);
  });
});
