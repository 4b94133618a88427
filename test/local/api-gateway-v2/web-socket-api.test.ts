import { once } from 'node:events';
import { afterEach, describe, expect, it } from '@jest/globals';
import type WebSocket from 'ws';
import { openSocket } from '../../lib/open-socket.ts';
import { failure } from '../api-gateway/orders-api.ts';
import { ARN, allow, deny, type Event, serveShipments } from './shipments-api.ts';

let api: Awaited<ReturnType<typeof serveShipments>>;
afterEach(() => api?.close());

const routes = { $connect: 'connect', $disconnect: 'disconnect', track: 'track', quiet: 'quiet' };
const functions = {
  connect: () => ({ statusCode: 200 }),
  disconnect: () => ({ statusCode: 200 }),
  track: (event: { body: string }) => ({ statusCode: 200, body: `heard ${JSON.parse(event.body).what}` }),
  quiet: () => ({ statusCode: 200, body: 'not sent' }),
};
const serve = (options = {}, more = {}) =>
  serveShipments(
    { protocol: 'WEBSOCKET', routes, answers: ['track'], ...options },
    { ...functions, ...more },
  );

/** The socket, or the status with which it was refused. */
const connect = (headers: Record<string, string> = {}, path = '') => openSocket(`${api.url}${path}`, headers);
const say = async (socket: WebSocket, text: string): Promise<string> => {
  socket.send(text);
  const [data] = await once(socket, 'message');
  return String(data);
};

describe('a WebSocket API', () => {
  it('picks the route by the message, and sends back only where the route has a response', async () => {
    api = await serve();
    const socket = (await connect()) as WebSocket;
    socket.send('{"action":"quiet"}');
    expect(await say(socket, '{"action":"track","what":"s1"}')).toBe('heard s1');
    expect(api.event('quiet')).toMatchObject({
      body: '{"action":"quiet"}',
      requestContext: { routeKey: 'quiet', eventType: 'MESSAGE', stage: 'v1', apiId: expect.any(String) },
    });
    expect(api.event('quiet')).not.toHaveProperty('headers');
    for (const text of ['{"action":"none"}', 'no json', '{"action":"$connect"}', '{"action":"$disconnect"}'])
      expect(JSON.parse(await say(socket, text))).toMatchObject({
        message: 'Forbidden',
        connectionId: api.event('quiet').requestContext.connectionId,
      });
    socket.close();
    await once(socket, 'close');
    while (!api.event('disconnect')) await new Promise((next) => setTimeout(next, 5));
    expect(api.event('disconnect').requestContext.eventType).toBe('DISCONNECT');
  });

  it('leaves what has no route to $default, and says when a function fails', async () => {
    api = await serve(
      { routes: { $default: 'rest', track: 'track' }, answers: ['$default'] },
      { rest: () => ({ statusCode: 200, body: 'default' }), track: () => failure('boom') },
    );
    const socket = (await connect()) as WebSocket;
    expect(await say(socket, 'no json')).toBe('default');
    expect(JSON.parse(await say(socket, '{"action":"track"}'))).toMatchObject({
      message: 'Internal server error',
    });
    socket.close();
  });

  it('opens only when the function of $connect says so, and only at its stage', async () => {
    api = await serve({}, { connect: () => ({ statusCode: 418 }) });
    expect(await connect()).toBe(418);
    expect(await connect({}, '/other')).toBe(403);
    expect((await fetch(api.url.replace('ws:', 'http:'))).status).toBe(403);
  });
});

describe('the authorizer of $connect', () => {
  const authorizer = { IdentitySource: ['route.request.header.x-api-key'] };

  it('gets the opening request, and its context is in every later event', async () => {
    api = await serve({ authorizer }, { authorizer: (event: Event) => allow(event) });
    const socket = (await connect({ 'X-Api-Key': 'k' })) as WebSocket;
    expect(api.event('authorizer')).toMatchObject({
      type: 'REQUEST',
      methodArn: `${ARN}/v1/$connect`,
      multiValueHeaders: { 'X-Api-Key': ['k'] },
      requestContext: { routeKey: '$connect', eventType: 'CONNECT' },
      stageVariables: {},
    });
    await say(socket, '{"action":"track","what":"s1"}');
    expect(api.event('track').requestContext.authorizer).toMatchObject({
      key_id: 'key_1',
      principalId: 'key_1',
    });
    expect(api.asked()).toBe(1);
    socket.close();
  });

  it.each([
    ['denies', deny, 403],
    ['throws Unauthorized', () => failure('Unauthorized'), 401],
    ['fails', () => failure('boom'), 500],
  ])('that %s keeps the socket shut', async (_, decide, status) => {
    api = await serve({ authorizer }, { authorizer: decide });
    expect(await connect({ 'x-api-key': 'k' })).toBe(status);
    expect(api.event('connect')).toBeUndefined();
  });

  it('is not asked without its identity source, and nothing it says is kept', async () => {
    api = await serve({ authorizer }, { authorizer: (event: Event) => allow(event) });
    expect(await connect()).toBe(401);
    expect(api.asked()).toBe(0);
    for (let time = 0; time < 2; time += 1) ((await connect({ 'x-api-key': 'k' })) as WebSocket).close();
    expect(api.asked()).toBe(2);
  });

  it('is not asked when Authorization comes twice', async () => {
    api = await serve({ authorizer: {} }, { authorizer: (event: Event) => allow(event) });
    const answer = await api.send(
      'GET /v1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1.1 400/);
    expect(api.asked()).toBe(0);
  });
});
