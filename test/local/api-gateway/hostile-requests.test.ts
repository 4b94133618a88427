import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { serveOrders } from './orders-api.ts';

let api: Awaited<ReturnType<typeof serveOrders>>;
beforeAll(async () => {
  api = await serveOrders(
    { routes: { 'ANY /orders': 'orders' }, gatewayResponses: { REQUEST_TOO_LARGE: { StatusCode: '499' } } },
    { orders: () => ({ statusCode: 200, body: 'orders' }) },
  );
});
afterAll(() => api.close());

const status = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
const head = 'GET /v1/orders HTTP/1.1\r\nHost: h\r\n';

describe('headers', () => {
  it('sent twice are both there, the last one as the single value', async () => {
    await api.send(`${head}x-api-key: first\r\nx-api-key: second\r\n\r\n`);
    expect(api.event().headers['x-api-key']).toBe('second');
    expect(api.event().multiValueHeaders['x-api-key']).toEqual(['first', 'second']);
  });
  it('that Node would join or drop when sent twice are both there', async () => {
    await api.send(`${head}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n`);
    expect(api.event().multiValueHeaders['Authorization']).toEqual(['Bearer a', 'Bearer b']);
  });
  it('in two spellings are two headers', async () => {
    await api.send(`${head}X-Api-Key: upper\r\nx-api-key: lower\r\n\r\n`);
    expect(api.event().multiValueHeaders).toMatchObject({ 'X-Api-Key': ['upper'], 'x-api-key': ['lower'] });
  });
  it('named like a part of every object are headers', async () => {
    await api.send(`${head}__proto__: a\r\nconstructor: b\r\n\r\n`);
    expect(Object.entries(api.event().headers)).toEqual(
      expect.arrayContaining([
        ['__proto__', 'a'],
        ['constructor', 'b'],
      ]),
    );
  });
  it('of up to 20,480 bytes with the request line are taken', async () => {
    const answer = await api.send(`${head}x-long: ${'a'.repeat(20_000)}\r\n\r\n`);
    expect(status(answer)).toBe(200);
  });
  it.each([20_480, 40_000, 200_000])('of %d bytes more are refused', async (length) => {
    const answer = await api.send(`${head}x-long: ${'a'.repeat(length)}\r\n\r\n`);
    expect(status(answer)).toBe(431);
    expect(answer).toContain('HTTP header is larger than 20480 bytes.');
  });
  it('without Host, or with two, are refused', async () => {
    expect(status(await api.send('GET /v1/orders HTTP/1.1\r\n\r\n'))).toBe(400);
    expect(status(await api.send(`${head}Host: other\r\n\r\n`))).toBe(400);
  });
});

describe('request smuggling', () => {
  const before = () => api.events.length;
  it.each([
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'],
    ['a length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x'],
    ['an unknown transfer coding', 'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
    ['a length that is no number', 'Content-Length: 5, 5\r\n\r\nhello'],
    ['a folded header', 'X-A: a\r\n b: c\r\nContent-Length : 5\r\n\r\nhello'],
    ['a space before the colon', 'Content-Length : 5\r\n\r\nhello'],
    ['a bare line feed', 'X-A: a\nX-B: b\r\n\r\n'],
    ['a NUL in a header', 'X-A: a\0b\r\n\r\n'],
  ])('with %s is refused and nothing is invoked', async (_, rest) => {
    const count = before();
    const answer = await api.send(`POST /v1/orders HTTP/1.1\r\nHost: h\r\n${rest}`);
    expect(status(answer)).toBe(400);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(api.events).toHaveLength(count);
  });
  it('by a second request behind a refused one does not work', async () => {
    const count = before();
    const answer = await api.send(`${head}Host: two\r\n\r\n${head}\r\n`);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(api.events).toHaveLength(count);
  });
});

describe('request targets', () => {
  it('in absolute form are understood, and their host is not', async () => {
    const answer = await api.send('GET http://evil.test:1/v1/orders?a=1 HTTP/1.1\r\nHost: h\r\n\r\n');
    expect(status(answer)).toBe(200);
    const { path, headers, requestContext, queryStringParameters } = api.event();
    expect([path, headers['Host'], queryStringParameters]).toEqual(['/orders', 'h', { a: '1' }]);
    expect(JSON.stringify(requestContext)).not.toContain('evil');
  });
  it.each(['OPTIONS *', 'CONNECT h:443', 'GET ftp://h/v1/orders', 'GET v1/orders'])(
    'like %s are refused',
    async (line) => {
      expect(status(await api.send(`${line} HTTP/1.1\r\nHost: h\r\n\r\n`))).toBe(400);
    },
  );
  it('with a raw pipe or brace in the query are refused', async () => {
    for (const query of ['a=|', 'a={b}']) {
      expect(status(await api.send(`GET /v1/orders?${query} HTTP/1.1\r\nHost: h\r\n\r\n`))).toBe(400);
    }
  });
  it('of more than 10,240 characters are too long', async () => {
    expect(status(await api.send(`GET /v1/orders?a=${'a'.repeat(10_240)} HTTP/1.1\r\nHost: h\r\n\r\n`))).toBe(
      414,
    );
  });
});

describe('bodies', () => {
  it('in chunks arrive whole', async () => {
    await api.send(
      `POST /v1/orders HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n`,
    );
    expect(api.event().body).toBe('hello');
    expect(api.event().headers).not.toHaveProperty('Transfer-Encoding');
  });
  it('that are no UTF-8 arrive with replacement characters, since no media type is binary', async () => {
    await api.get('/orders', { method: 'POST', body: new Uint8Array([0x61, 0xff]) });
    expect([api.event().body, api.event().isBase64Encoded]).toEqual(['a\u{FFFD}', false]);
  });
  it('of more than 10 MB are too large, which can’t be customised', async () => {
    const count = api.events.length;
    const response = await api.get('/orders', { method: 'POST', body: 'a'.repeat(10_485_761) });
    expect([response.status, await response.text()]).toEqual([
      413,
      '{"message":"HTTP content length exceeded 10485760 bytes"}',
    ]);
    expect(api.events).toHaveLength(count);
  });
  it('that make the event larger than Lambda takes are too large as well', async () => {
    const count = api.events.length;
    const response = await api.get('/orders', { method: 'POST', body: 'a'.repeat(6_291_556) });
    expect([response.status, await response.text()]).toEqual([413, '{"message":"Request Too Long"}']);
    expect(api.events).toHaveLength(count);
  });
});
