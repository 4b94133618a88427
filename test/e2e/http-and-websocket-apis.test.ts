import { once } from 'node:events';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type WebSocket from 'ws';
import { openSocket } from '../lib/open-socket.ts';
import { admin, management, newKey, productOf, stack } from './client.ts';
import { rawRequest } from './raw-request.ts';

const url = stack?.apis['shipments'] ?? '';
const shipments = productOf(url);

const raw = async (path: string, headers: string[]) => (await rawRequest(url, path, headers)).status;

let reader: { key: string; id: string };
beforeAll(async () => {
  reader = await newKey({ scopes: ['shipments:read', 'notifications:read'] });
});

describe('the Shipments API, an HTTP API behind the authorizer', () => {
  it('opens the routes whose scopes a key has, one way or the other', async () => {
    const tracker = await newKey({ scopes: ['orders:read', 'shipments:track'] });
    const half = await newKey({ scopes: ['shipments:track'] });
    const statuses = await Promise.all(
      [reader, tracker, half].map(({ key }) =>
        Promise.all(
          ['/shipments', '/shipments/1'].map(async (path) => (await shipments('GET', path, { key })).status),
        ),
      ),
    );
    expect(statuses).toEqual([
      [200, 200],
      [403, 200],
      [403, 403],
    ]);
    expect((await shipments('GET', '/shipments', { key: half.key })).body).toEqual({ message: 'Forbidden' });
    const health = await shipments('GET', '/health', {});
    expect([health.status, health.body]).toEqual([200, { status: 'ok' }]);
  });

  it('names the missing scope where the handler checks it', async () => {
    const refused = await shipments('POST', '/shipments', { key: reader.key });
    expect([refused.status, refused.body.missing_scopes]).toEqual([403, ['shipments:write']]);
    expect(refused.headers.get('www-authenticate')).toContain('insufficient_scope');
    expect((await shipments('POST', '/shipments', {})).status).toBe(401);
  });

  it('takes a key from one place, once', async () => {
    const other = await newKey({ scopes: ['shipments:read'] });
    const bearer = ['authorization', `Bearer ${reader.key}`];
    const header = ['x-api-key', reader.key];
    expect(await raw('/shipments', header)).toBe(200);
    expect(await raw('/shipments', bearer)).toBe(200);
    expect(await raw('/shipments', [...header, ...bearer])).toBe(200);
    for (const smuggled of [
      [],
      [...header, ...header],
      ['x-api-key', other.key, 'X-API-KEY', reader.key],
      [...header, 'authorization', `Bearer ${other.key}`],
      [...header, 'authorization', 'Basic eDp5'],
      [...bearer, 'x-api-key', ''],
      ['x-api-key', `${reader.key},`],
    ])
      expect([smuggled.length, await raw('/shipments', smuggled)]).toEqual([smuggled.length, 401]);
  });

  it('has no way round a route', async () => {
    const header = ['x-api-key', reader.key];
    for (const path of [
      '/shipments/',
      '//shipments',
      '/SHIPMENTS',
      '/%73hipments',
      '/$default/shipments',
      '/v1/shipments',
      '/other',
    ])
      expect([path, await raw(path, header)]).toEqual([path, 404]);
    expect((await shipments('OPTIONS', '/shipments', {})).status).toBe(404);
    // `%2F` is part of the id, and no slash.
    expect(await raw('/shipments/1%2F..%2F2', header)).toBe(200);
    expect(await raw('/shipments/1%2F..%2F2', [])).toBe(401);
  });

  it('refuses a revoked key at the next request', async () => {
    const leaked = await newKey({ scopes: ['shipments:read'] });
    expect((await shipments('GET', '/shipments', { key: leaked.key })).status).toBe(200);
    await management('POST', `/api-keys/${leaked.id}/revoke`, { key: admin, body: {} });
    const refused = await shipments('GET', '/shipments', { key: leaked.key });
    expect([refused.status, refused.body]).toEqual([401, { message: 'Unauthorized' }]);
  });
});

describe('the Notifications API, a WebSocket API behind the authorizer', () => {
  const open = (headers: Record<string, string>) => openSocket(stack?.apis['notifications'] ?? '', headers);
  const publish = async (key: string) => {
    const socket = (await open({ 'x-api-key': key })) as WebSocket;
    socket.send('{"action":"publish","text":"hello"}');
    const [data] = await once(socket, 'message');
    socket.close();
    return JSON.parse(String(data));
  };

  it('opens for a key with the scope of $connect only', async () => {
    const stranger = await newKey({ scopes: ['shipments:read'] });
    expect(await open({})).toBe(401);
    expect(await open({ 'x-api-key': 'rk_live_x' })).toBe(401);
    expect(await open({ 'x-api-key': stranger.key })).toBe(403);
  });

  it('judges each message by the key that opened the connection', async () => {
    expect((await publish(reader.key)).missing_scopes).toEqual(['notifications:write']);
    const writer = await newKey({ scopes: ['notifications:*'] });
    expect((await publish(writer.key)).published_by).toBeDefined();
  });
});
