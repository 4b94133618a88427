import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVerifier } from 'rekey/verify';
import { admin, management, newKey, stack } from './client.ts';
import { rawRequest } from './raw-request.ts';

/** A service that is not behind API Gateway, as docs/verify.md has it. */
describe('a service with rekey/verify', () => {
  let server: Server;
  let url: string;
  beforeAll(async () => {
    const own = await newKey({ scopes: ['api-keys:verify'], owner_access: 'any' });
    const verify = createVerifier({
      managementUrl: stack?.apis.management ?? '',
      key: own.key,
      timeoutMs: 10_000,
    });
    server = createServer(async (request, response) => {
      const verdict = await verify({ headers: request.headersDistinct }, { scopes: ['orders:read'] });
      if (verdict.allowed) return response.end(JSON.stringify(verdict.principal));
      const { status, headers, body } = verdict.answer;
      response.writeHead(status, headers).end(body);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server.close());

  it('lets a key with the scope in, and says who it is', async () => {
    const reader = await newKey({ scopes: ['orders:*'], owner_id: 'team-verify' });
    const answer = await rawRequest(url, '/', ['x-api-key', reader.key]);
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([
      200,
      { key_id: reader.id, owner_id: 'team-verify', environment: 'live', scopes: ['orders:*'] },
    ]);
  });

  it('names a missing scope, and does not tell keys apart that are no good', async () => {
    const other = await newKey({ scopes: ['customers:read'] });
    const lacking = await rawRequest(url, '/', ['x-api-key', other.key]);
    expect([lacking.status, JSON.parse(lacking.body).missing_scopes]).toEqual([403, ['orders:read']]);
    expect(lacking.headers['content-type']).toBe('application/problem+json');
    for (const headers of [[], ['x-api-key', 'rk_live_x'], ['x-api-key', other.key, 'x-api-key', other.key]])
      expect((await rawRequest(url, '/', headers)).status).toBe(401);
    expect(
      (await rawRequest(url, '/', ['authorization', 'Bearer a', 'authorization', 'Bearer b'])).status,
    ).toBe(401);
  });

  it('refuses a revoked key at the next request', async () => {
    const { key, id } = await newKey({ scopes: ['orders:read'] });
    expect((await rawRequest(url, '/', ['x-api-key', key])).status).toBe(200);
    await management('POST', `/api-keys/${id}/revoke`, { key: admin, body: {} });
    expect((await rawRequest(url, '/', ['x-api-key', key])).status).toBe(401);
  });

  it('lets nobody in while its own key may not verify', async () => {
    const powerless = await newKey({ scopes: ['orders:read'] });
    const verify = createVerifier({ managementUrl: stack?.apis.management ?? '', key: powerless.key });
    const reader = await newKey({ scopes: ['orders:read'] });
    const verdict = await verify({ headers: { 'x-api-key': reader.key } }, { scopes: ['orders:read'] });
    expect(verdict).toMatchObject({ allowed: false, code: 'unavailable', answer: { status: 503 } });
  });
});
