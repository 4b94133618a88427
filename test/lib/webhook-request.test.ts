import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { guardedLookup, type PostOptions, postWebhook } from '../../lib/webhook-request.ts';
import { hang, type Receiver, reset, startReceiver, status } from './webhook-receiver.ts';

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
const receiver = async (...parameters: Parameters<typeof startReceiver>): Promise<Receiver> => {
  const started = await startReceiver(...parameters);
  open.push(started);
  return started;
};
const post = (url: string, more: Partial<PostOptions> = {}) =>
  postWebhook(url, {
    headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1' },
    body: '{"a":"é"}',
    limit: 2_000,
    allowLoopbackHttp: true,
    ...more,
  });

describe('a webhook', () => {
  it('is posted once, with its headers and its body to the byte', async () => {
    const { url, received } = await receiver(status(200, {}, 'thanks'));
    expect(await post(url)).toEqual({ status: 200, excerpt: 'thanks', retryAfter: undefined });
    expect(received).toMatchObject([{ method: 'POST', path: '/hook', body: '{"a":"é"}' }]);
    expect(received[0]!.headers).toMatchObject({ 'webhook-id': 'evt_1', 'content-length': '10' });
    expect(received[0]!.headers).not.toHaveProperty('accept-encoding');
  });

  it('follows no redirect', async () => {
    const inside = await receiver();
    const { url } = await receiver(status(307, { location: inside.url }));
    expect(await post(url)).toMatchObject({ status: 307 });
    expect(inside.received).toEqual([]);
  });

  it('reads retry-after', async () => {
    const { url } = await receiver(status(503, { 'retry-after': '7' }));
    expect(await post(url)).toMatchObject({ status: 503, retryAfter: '7' });
  });

  it('reads the first kilobyte of an answer that never ends, and hangs up', async () => {
    let closed = false;
    const { url } = await receiver((response) => {
      const more = setInterval(() => response.write('x'.repeat(400)), 5);
      response.once('close', () => {
        clearInterval(more);
        closed = true;
      });
    });
    const answer = await post(url);
    expect(answer).toMatchObject({ status: 200, excerpt: 'x'.repeat(1_024) });
    for (let i = 0; i < 100 && !closed; i++) await new Promise((later) => setTimeout(later, 10));
    expect(closed).toBe(true);
  });

  it.each([
    ['says nothing', hang],
    [
      'begins an answer and goes on for ever',
      (response: import('node:http').ServerResponse) => {
        response.writeHead(200).write('x');
      },
    ],
  ])('is given up at the limit when the receiver %s', async (_what, answer) => {
    const { url } = await receiver(answer);
    const started = performance.now();
    expect(await post(url, { limit: 300 })).toEqual({ error: 'timeout' });
    expect(performance.now() - started).toBeLessThan(1_500);
  });

  it('is given up at the limit when the headers come one byte at a time', async () => {
    const slow = createServer((socket) => {
      socket.on('error', () => undefined);
      const bytes = [...`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1_000)}`];
      const drip = setInterval(() => socket.write(bytes.shift() ?? 'y'), 20);
      socket.once('close', () => clearInterval(drip));
    });
    await new Promise<void>((done) => slow.listen(0, '127.0.0.1', done));
    open.push({ close: () => new Promise((done) => slow.close(done)) });
    const { port } = slow.address() as import('node:net').AddressInfo;
    expect(await post(`http://127.0.0.1:${port}/`, { limit: 300 })).toEqual({ error: 'timeout' });
  });

  it.each([
    ['resets the connection', reset, 'ECONNRESET'],
    [
      'does not speak HTTP',
      (_: unknown, socket: import('node:net').Socket) => void socket.end('nonsense\r\n\r\n'),
      'HPE_',
    ],
    [
      'sends headers without end',
      (_: unknown, socket: import('node:net').Socket) =>
        void socket.end(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`),
      'HPE_HEADER_OVERFLOW',
    ],
  ])('fails with the name of the error when the receiver %s', async (_what, answer, error) => {
    const { url } = await receiver(answer);
    expect(await post(url)).toEqual({ error: expect.stringContaining(error) });
  });

  it('fails when nobody listens', async () => {
    const { url, close } = await startReceiver();
    await close();
    expect(await post(url)).toEqual({ error: 'ECONNREFUSED' });
  });

  it('says which rule an address broke, and connects to nobody', async () => {
    const { url, received } = await receiver();
    const port = new URL(url).port;
    const resolving = (...addresses: string[]) => ({ resolve: async () => addresses });
    const at = `https://hooks.example.com:${port}/`;
    expect(await post(at, resolving('127.0.0.1'))).toEqual({ error: 'refused: public_address' });
    expect(await post(at, resolving('93.184.215.14', '127.0.0.1'))).toEqual({
      error: 'refused: public_address',
    });
    expect(await post(at, resolving('::ffff:127.0.0.1'))).toEqual({ error: 'refused: public_address' });
    expect(await post(at, resolving())).toEqual({ error: 'refused: known_host' });
    expect(await post(`https://127.0.0.1:${port}/`)).toEqual({ error: 'refused: public_address' });
    expect(await post(url, { allowLoopbackHttp: false })).toEqual({ error: 'refused: https_only' });
    expect(received).toEqual([]);
  });

  it('says when DNS does not answer', async () => {
    const resolve = () => Promise.reject(Object.assign(new Error('…'), { code: 'ETIMEOUT' }));
    expect(await post('https://hooks.example.com/', { resolve })).toEqual({ error: 'ETIMEOUT' });
  });

  it('is not fooled by a name that gets a private address after it was checked', async () => {
    const { url, received } = await receiver();
    const answers = [['93.184.215.14'], ['127.0.0.1']];
    const resolve = async () => answers.shift() ?? ['127.0.0.1'];
    const { checkWebhookUrl } = await import('../../lib/webhook-url.ts');
    const at = `https://rebinding.example.com:${new URL(url).port}/`;
    expect(await checkWebhookUrl(at, { allowLoopbackHttp: true, resolve })).toBe(at);
    expect(await post(at, { resolve })).toEqual({ error: 'refused: public_address' });
    expect(received).toEqual([]);
  });
});

describe('the lookup of a connection', () => {
  const lookup = (addresses: string[], all: boolean) => {
    let asked = 0;
    const resolve = async () => {
      asked += 1;
      return addresses;
    };
    return new Promise<unknown[]>((done) => {
      guardedLookup(resolve)('hooks.example.com', { all }, (...found: unknown[]) => done([asked, ...found]));
    });
  };

  it('asks once, and gives the very addresses that were checked', async () => {
    expect(await lookup(['93.184.215.14', '2606:4700::1'], true)).toEqual([
      1,
      null,
      [
        { address: '93.184.215.14', family: 4 },
        { address: '2606:4700::1', family: 6 },
      ],
    ]);
    expect(await lookup(['2606:4700::1'], false)).toEqual([1, null, '2606:4700::1', 6]);
  });

  it('gives none when one of them is not public', async () => {
    const [, error, found] = await lookup(['93.184.215.14', '10.0.0.1'], true);
    expect(String(error)).toContain('UrlRefused');
    expect(found).toEqual([]);
  });
});
