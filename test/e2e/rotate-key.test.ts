import { describe, expect, it } from '@jest/globals';
import { admin, management, newKey, newOwner, orders } from './client.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const rotate = (id: string, body: unknown = {}, key = admin, headers = {}) =>
  management('POST', `/api-keys/${id}/rotate`, { key, body, headers });
const works = async (key: string) => (await orders('GET', '/orders', { key })).status === 200;

describe('POST /api-keys/{id}/rotate', () => {
  it('gives a successor, and both keys work during the grace', async () => {
    const old = await newKey({ metadata: { team: 'a' }, expires_in_days: 30 });
    const before = Date.now();
    const answer = await rotate(old.id);
    expect(answer.status).toBe(201);
    const { api_key, previous, key } = answer.body;
    expect(api_key).toMatchObject({
      parent_key_id: old.id,
      root_key_id: old.id,
      generation: 1,
      status: 'active',
      scopes: ['orders:read'],
      metadata: { team: 'a' },
      owner_id: 'team-orders',
    });
    expect(Date.parse(api_key.expires_at) - Date.parse(api_key.created_at)).toBe(30 * DAY);
    expect(previous).toMatchObject({ id: old.id, status: 'rotated', successor_key_id: api_key.id });
    expect(Math.abs(Date.parse(previous.expires_at) - before - DAY)).toBeLessThan(60_000);
    expect(await works(old.key)).toBe(true);
    expect(await works(key)).toBe(true);
  });

  it('never prolongs the old key', async () => {
    const end = new Date(Date.now() + 2 * HOUR).toISOString();
    const old = await newKey({ expires_at: end });
    const { previous } = (await rotate(old.id, { grace_period_hours: 720 })).body;
    expect(previous.expires_at).toBe(end);
  });

  it('ends the old key at once with a grace of 0', async () => {
    const old = await newKey();
    const { key, previous } = (await rotate(old.id, { grace_period_hours: 0 })).body;
    expect(previous.status).toBe('expired');
    expect(await works(old.key)).toBe(false);
    expect(await works(key)).toBe(true);
  });

  it('narrows scopes, and never widens them', async () => {
    const old = await newKey({ scopes: ['orders:*'] });
    const wider = await rotate(old.id, { scopes: ['orders:read', 'invoices:read'] });
    expect(wider.status).toBe(400);
    const narrower = await rotate(old.id, { scopes: ['orders:read'], name: 'narrow', expires_in_days: 3 });
    expect(narrower.body.api_key).toMatchObject({ scopes: ['orders:read'], name: 'narrow' });
  });

  it('needs all scopes that the successor will have', async () => {
    const owner_id = newOwner();
    const caller = await newKey({ owner_id, scopes: ['api-keys:rotate', 'orders:read'] });
    const strong = await newKey({ owner_id, scopes: ['orders:read', 'orders:write'] });
    const refused = await rotate(strong.id, {}, caller.key);
    expect(refused.status).toBe(403);
    expect(refused.body.excess_scopes).toEqual(['orders:write']);
    expect((await rotate(strong.id, { scopes: ['orders:read'] }, caller.key)).status).toBe(201);
  });

  it('rotates only once, naming the successor; a revoked key not at all', async () => {
    const old = await newKey();
    const first = await rotate(old.id);
    const second = await rotate(old.id);
    expect(second.status).toBe(409);
    expect(second.body).toMatchObject({
      type: 'urn:rekey:problem:pending_successor',
      successor_key_id: first.body.api_key.id,
    });
    const revoked = await newKey();
    await management('POST', `/api-keys/${revoked.id}/revoke`, { key: admin, body: {} });
    expect((await rotate(revoked.id)).body.type).toBe('urn:rekey:problem:key_revoked');
  });

  it('lets one of twenty simultaneous rotations win, through the whole front', async () => {
    const old = await newKey();
    const answers = await Promise.all(Array.from({ length: 20 }, () => rotate(old.id)));
    const won = answers.filter(({ status }) => status === 201);
    expect(won).toHaveLength(1);
    for (const { status, body } of answers.filter((answer) => answer !== won[0])) {
      expect([409, 503]).toContain(status);
      if (status === 409) expect(body.successor_key_id).toBe(won[0]?.body.api_key.id);
    }
    const line = await management('GET', `/api-keys/${old.id}/lineage`, { key: admin });
    expect(line.body.data).toHaveLength(2);
  });

  it.each([
    { grace_period_hours: -1 },
    { grace_period_hours: 721 },
    { grace_period_hours: 1.5 },
    { scopes: [] },
    { grace: 5 },
  ])('refuses %j', async (body) => {
    const old = await newKey();
    expect((await rotate(old.id, body)).status).toBe(400);
    expect((await management('GET', `/api-keys/${old.id}`, { key: admin })).body.api_key.status).toBe(
      'active',
    );
  });

  it('takes no body at all for the defaults', async () => {
    const old = await newKey();
    expect((await management('POST', `/api-keys/${old.id}/rotate`, { key: admin })).status).toBe(201);
  });
});

describe('GET /api-keys/{id}/lineage', () => {
  it('lists the line oldest first, from any of its keys, in pages', async () => {
    const root = await newKey();
    let id = root.id;
    const line = [id];
    for (let i = 0; i < 4; i++) {
      id = (await rotate(id)).body.api_key.id;
      line.push(id);
    }
    const whole = await management('GET', `/api-keys/${line[2]}/lineage`, { key: admin });
    expect(whole.body.data.map((key: { id: string }) => key.id)).toEqual(line);
    const first = await management('GET', `/api-keys/${line[2]}/lineage?limit=3`, { key: admin });
    expect(first.body.data).toHaveLength(3);
    const rest = await management(
      'GET',
      `/api-keys/${line[2]}/lineage?limit=3&cursor=${first.body.next_cursor}`,
      {
        key: admin,
      },
    );
    expect([...first.body.data, ...rest.body.data].map((key: { id: string }) => key.id)).toEqual(line);
    expect(rest.body.next_cursor).toBeNull();
  });
});

describe('POST /api-keys/{id}/rotate/cancel', () => {
  const cancel = (id: string, key = admin) =>
    management('POST', `/api-keys/${id}/rotate/cancel`, { key, body: {} });

  it('drops the successor that nobody used, and the old key is as it was', async () => {
    const old = await newKey({ expires_in_days: 30 });
    const { key } = (await rotate(old.id)).body;
    const answer = await cancel(old.id);
    expect(answer.status).toBe(200);
    expect(answer.body.api_key).toEqual({ ...old.api_key, status: 'active' });
    expect(answer.body.dropped).toMatchObject({ status: 'revoked', revoked_reason: 'rotation_cancelled' });
    expect([await works(old.key), await works(key)]).toEqual([true, false]);
    expect((await cancel(old.id)).body.type).toBe('urn:rekey:problem:not_rotated');
    expect((await rotate(old.id)).body.api_key.generation).toBe(2);
  });

  it('leaves a rotation alone whose successor is in use', async () => {
    const old = await newKey();
    const { key, api_key } = (await rotate(old.id)).body;
    expect(await works(key)).toBe(true);
    const answer = await cancel(old.id);
    expect(answer.body).toMatchObject({
      type: 'urn:rekey:problem:successor_used',
      successor_key_id: api_key.id,
    });
    expect([await works(old.key), await works(key)]).toEqual([true, true]);
  });

  it('is for a caller that could give the scopes of the key, which lives longer by it', async () => {
    const owner = newOwner();
    const old = await newKey({ owner_id: owner, scopes: ['orders:write'] });
    await rotate(old.id);
    const weak = await newKey({ owner_id: owner, scopes: ['api-keys:rotate'] });
    expect((await cancel(old.id, weak.key)).body.type).toBe('urn:rekey:problem:scope_escalation');
  });
});
