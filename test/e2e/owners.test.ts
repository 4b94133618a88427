import { beforeAll, describe, expect, it } from '@jest/globals';
import { management, newKey, newOwner } from './client.ts';

describe('owners are kept apart', () => {
  const mine = newOwner('mine');
  const theirs = newOwner('theirs');
  let caller: string;
  let foreign: { id: string; key: string };

  beforeAll(async () => {
    caller = (await newKey({ owner_id: mine, scopes: ['*:*'] })).key;
    foreign = await newKey({ owner_id: theirs, scopes: ['orders:read'] });
  });

  it.each([
    ['GET', '', undefined],
    ['PATCH', '', { name: 'stolen' }],
    ['POST', '/rotate', {}],
    ['POST', '/revoke', {}],
    ['GET', '/lineage', undefined],
  ])(
    '%s /api-keys/{id}%s of another owner is the same 404 as an id that never was',
    async (method, rest, body) => {
      const answer = await management(method, `/api-keys/${foreign.id}${rest}`, { key: caller, body });
      const never = await management(method, `/api-keys/key_0000000000000000000000${rest}`, {
        key: caller,
        body,
      });
      expect([answer.status, never.status]).toEqual([404, 404]);
      const { request_id: _a, ...one } = answer.body;
      const { request_id: _b, ...other } = never.body;
      expect(one).toEqual(other);
    },
  );

  it('verifying a key of another owner says not_found, and shows nothing of it', async () => {
    const answer = await management('POST', '/api-keys/verify', { key: caller, body: { key: foreign.key } });
    expect(answer.body).toEqual({ valid: false, code: 'not_found', missing_scopes: [] });
  });

  it('minting for another owner is 403, and so is listing one', async () => {
    const minted = await management('POST', '/api-keys', {
      key: caller,
      body: { name: 'n', owner_id: theirs, scopes: ['orders:read'] },
    });
    expect(minted.status).toBe(403);
    expect(minted.body.type).toBe('urn:rekey:problem:owner_forbidden');
    const listed = await management('GET', `/api-keys?owner_id=${theirs}`, { key: caller });
    expect(listed.status).toBe(403);
  });

  it('only a key that acts for all owners can make another such key, or rotate one', async () => {
    const asked = await management('POST', '/api-keys', {
      key: caller,
      body: { name: 'n', owner_id: mine, scopes: ['orders:read'], owner_access: 'any' },
    });
    expect(asked.status).toBe(403);
    const any = await newKey({ owner_id: mine, scopes: ['orders:read'], owner_access: 'any' });
    expect(any.api_key.owner_access).toBe('any');
    const rotated = await management('POST', `/api-keys/${any.id}/rotate`, { key: caller, body: {} });
    expect(rotated.status).toBe(403);
  });

  it('an owner named in a query or a body switches nothing off', async () => {
    const list = await management('GET', '/api-keys', { key: caller });
    expect(list.body.data.map((key: { owner_id: string }) => key.owner_id)).toEqual([mine, mine]);
  });
});
