import { beforeAll, describe, expect, it } from '@jest/globals';
import { newKey } from './client.ts';
import { rawBytes } from './raw-bytes.ts';
import { sharedStack } from './running-stack.ts';

const stack = sharedStack();

/** One protected route of each kind of front, without and with a cache, and the scope that opens it. */
const FRONTS = {
  orders: { path: '/orders', scope: 'orders:read', kind: 'rest' },
  shipments: { path: '/shipments', scope: 'shipments:read', kind: 'http' },
  catalogRest: { path: '/products', scope: 'catalog:read', kind: 'rest' },
  catalogHttp: { path: '/products', scope: 'catalog:read', kind: 'http' },
  notifications: { path: '', scope: 'notifications:read', kind: 'websocket' },
} as const;
const NAMES = Object.keys(FRONTS) as (keyof typeof FRONTS)[];

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const CLOSE = 'Connection: close\r\n';

const isRefusal = (status: number) => status >= 400 && status < 500;

type Key = { key: string };
/** Without a scope for any of the routes, but valid. */
let weak: Key;
let strong: Key;
beforeAll(async () => {
  weak = await newKey({ scopes: ['nothing:here'] });
  strong = await newKey({ scopes: NAMES.map((name) => FRONTS[name].scope) });
});

describe.each(NAMES)('the front of %s', (name) => {
  const { path, kind } = FRONTS[name];
  const isSocket = kind === 'websocket';
  const url = (stack.apis as Record<string, string>)[name]!.replace(/^ws/, 'http');
  const { host, pathname } = new URL(url);
  const stage = pathname === '/' ? '' : pathname;
  const open = isSocket ? 101 : 200;

  /** Bytes of a request to the route, with these header lines. */
  const request = (
    headers: string,
    { method = 'GET', target = `${stage}${path}`, end = isSocket ? UPGRADE : CLOSE, body = '' } = {},
  ) => `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}${end}\r\n${body}`;
  const send = (...of: Parameters<typeof request>) => rawBytes(url, request(...of));
  const header = (value: string, field = 'x-api-key') => `${field}: ${value}\r\n`;

  it('opens for the right key in any spelling of the header, and for no other', async () => {
    for (const field of ['x-api-key', 'X-API-KEY', 'X-Api-Key'])
      expect([field, await send(header(strong.key, field))]).toEqual([field, [open]]);
    expect(await send(header(` \t${strong.key}\t `))).toEqual([open]);
    expect(await send(header(weak.key))).toEqual([403]);
    expect(await send('')).toEqual([401]);
  });

  it('takes no key from a header that is sent twice, folded, joined, or is another one', async () => {
    // Twice: before an answer is kept, and while both keys' are.
    for (const round of [1, 2]) {
      for (const headers of [
        header(weak.key) + header(strong.key),
        header(strong.key) + header(weak.key),
        header(strong.key) + header(strong.key),
        header(strong.key) + header('', 'X-Api-Key'),
        header(weak.key) + header(strong.key, 'X-API-KEY'),
        header(`${weak.key},${strong.key}`),
        header(`${strong.key}, ${strong.key}`),
        header(`${strong.key};`),
        header(`"${strong.key}"`),
        header(encodeURIComponent(`${strong.key} `)),
        header(`${strong.key}\xa0`),
        header(`\xef\xbb\xbf${strong.key}`),
        header(strong.key.toUpperCase()),
        header(strong.key, 'x_api_key'),
        header(strong.key, 'x-api-keys'),
        header(strong.key, 'x-forwarded-x-api-key'),
        header(`x-api-key=${strong.key}`, 'Cookie'),
        header(`x-api-key: ${strong.key}`, 'X-Original-Headers'),
      ])
        expect([round, headers, await send(headers)]).toEqual([round, headers, [401]]);
      expect(await send(header(strong.key))).toEqual([open]);
      expect(await send(header(weak.key))).toEqual([403]);
    }
  });

  it('takes one key only, also from two places', async () => {
    const bearer = (key: string, scheme = 'Bearer') => header(`${scheme} ${key}`, 'Authorization');
    const isKept = name.startsWith('catalog');
    // Where answers are kept by x-api-key, it is the one that counts, and a key elsewhere is none.
    expect(await send(bearer(strong.key))).toEqual([isKept ? 401 : open]);
    expect(await send(header(weak.key) + bearer(strong.key))).toEqual([isKept ? 403 : 401]);
    for (const second of [weak.key, strong.key])
      expect([[400], [401]]).toContainEqual(await send(bearer(strong.key) + bearer(second)));
    expect(await send(bearer(strong.key, 'Basic'))).toEqual([401]);
    expect(await send(bearer(weak.key) + header(strong.key, 'Proxy-Authorization'))).toEqual([
      isKept ? 401 : 403,
    ]);
  });

  it.each<[string, (key: string) => string]>([
    ['a folded header', (key) => `x-api-key: ${key.slice(0, 20)}\r\n ${key.slice(20)}\r\n`],
    ['a space before the colon', (key) => `x-api-key : ${key}\r\n`],
    ['a NUL in the value', (key) => `x-api-key: ${key}\0\r\n`],
    ['a NUL in the name', (key) => `x-api-key\0: ${key}\r\n`],
    ['a bare line feed', (key) => `x-a: b\nx-api-key: ${key}\r\n`],
    ['a bare carriage return', (key) => `x-a: b\rx-api-key: ${key}\r\n`],
    ['a line without a colon', (key) => `x-api-key ${key}\r\n`],
    ['two hosts', (key) => `Host: other\r\nx-api-key: ${key}\r\n`],
    ['two lengths', (key) => `x-api-key: ${key}\r\nContent-Length: 0\r\nContent-Length: 1\r\n`],
    [
      'a length and chunks',
      (key) => `x-api-key: ${key}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n`,
    ],
    ['chunks of an unknown coding', (key) => `x-api-key: ${key}\r\nTransfer-Encoding: xchunked\r\n`],
    ['chunks, hidden behind a space', (key) => `x-api-key: ${key}\r\nTransfer-Encoding : chunked\r\n`],
  ])('refuses %s, whatever key comes with it', async (what, headers) => {
    for (const { key } of [weak, strong]) {
      const statuses = await send(headers(key), { body: '0\r\n\r\n' });
      // A WebSocket's front looks at no coding of a body, since an upgrade has none.
      const ignored = isSocket && what === 'chunks of an unknown coding' ? [403, 101] : [];
      expect([what, statuses.filter((status) => !isRefusal(status) && !ignored.includes(status))]).toEqual([
        what,
        [],
      ]);
    }
  });

  it('lets nobody in by a second request behind the first', async () => {
    const inner = request('');
    const innerWeak = request(header(weak.key));
    for (const hidden of [inner, innerWeak]) {
      // As the body of a request that is let in, in lengths and in chunks, and after it.
      const outer = { end: '', method: isSocket ? 'POST' : 'GET' };
      for (const bytes of [
        request(`${header(strong.key)}Content-Length: ${hidden.length}\r\n`, { ...outer, body: hidden }),
        request(`${header(strong.key)}Transfer-Encoding: chunked\r\n`, {
          ...outer,
          body: `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
        }),
        request(`${header(strong.key)}Content-Length: 0\r\n`, { ...outer, body: hidden }),
        request(`${header(strong.key)}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`, {
          ...outer,
          body: `0\r\n\r\n${hidden}`,
        }),
      ]) {
        const statuses = await rawBytes(url, bytes);
        // Of the second one nobody may be let in: whoever sent the first has no part in it.
        expect(statuses.filter((status) => status === open).length).toBeLessThanOrEqual(1);
        expect(statuses.slice(1).filter((status) => status < 400)).toEqual([]);
      }
    }
  });

  it('knows nobody by headers that name another request, or strip one', async () => {
    for (const headers of [
      header('/health', 'X-Original-URL'),
      header('/health', 'X-Rewrite-URL'),
      header('/health', 'X-Forwarded-Uri'),
      header('x-api-key', 'Connection'),
      header('127.0.0.1', 'X-Forwarded-For'),
      header('true', 'x-amzn-authorized'),
      header('{"scopes":"*:*"}', 'x-amzn-request-context'),
      header('*:*', 'scopes'),
    ]) {
      const end = headers.startsWith('Connection') && !isSocket ? '' : undefined;
      const as = (more: string) => send(headers + more, end === undefined ? {} : { end });
      expect([headers, await as(header(weak.key))]).toEqual([headers, [403]]);
      expect([headers, await as('')]).toEqual([headers, [401]]);
    }
    const absolute = { target: `http://evil.test${stage}${path}` };
    expect(await send(header(weak.key), absolute)).toEqual([403]);
    expect(await send('', absolute)).toEqual([401]);
  });

  it('has no way round the route by another spelling of its path', async () => {
    const spellings = isSocket
      ? ['/', '//', '/.', '/%2e', '/$connect', '/%24connect', '/@connections/x', '?x-api-key=']
      : [
          `${path}/`,
          `/${path}`,
          `/.${path}`,
          `/x/..${path}`,
          `${path}/.`,
          `${path}/..${path}`,
          `${path}%2F`,
          `/%2e${path}`,
          `${path.replace('s', '%73')}`,
          path.toUpperCase(),
          `${path};a=b`,
          `${path}%00`,
          `${path}%20`,
          `${path}%3Fa`,
          `${path}\\`,
          `/${stage}${path}`,
          `${stage}${path}`,
          `/$default${path}`,
          `/v2${path}`,
          `/test-invoke-stage${path}`,
          '/',
          '/nothing',
          `?x-api-key=${strong.key}`,
        ];
    for (const spelling of spellings) {
      const target = `${stage}${spelling}` || '/';
      for (const headers of ['', header(weak.key)]) {
        const statuses = await send(headers, { target });
        expect([spelling, headers, statuses, statuses.every(isRefusal)]).toEqual([
          ...[spelling, headers, statuses],
          true,
        ]);
      }
    }
    for (const other of ['/V1', '/v2', '/prod', '/$default', '/v1%2f', '/.', '/v1/v1'])
      for (const headers of ['', header(weak.key), header(strong.key)]) {
        const [status = 0] = await send(headers, { target: `${other}${path || '/'}` });
        // An HTTP API has no stage in its path: whatever stands there is part of it.
        expect([other, headers, isRefusal(status)]).toEqual([other, headers, true]);
      }
  });

  it.each(['OPTIONS', 'HEAD', 'TRACE', 'PROPFIND', 'PATCH', 'DELETE', 'get', 'GETS', 'CONNECT', 'QUERY'])(
    'lets nobody in by the method %s',
    async (method) => {
      for (const headers of [
        '',
        header(weak.key),
        header(strong.key),
        header(strong.key) +
          header('https://evil.test', 'Origin') +
          header('GET', 'Access-Control-Request-Method'),
      ]) {
        const statuses = await send(headers, { method });
        expect([headers, statuses, statuses.every(isRefusal)]).toEqual([...[headers, statuses], true]);
      }
    },
  );

  it('judges an overridden method as what it is made', async () => {
    const overridden = (method: string, key: string) =>
      send(header(key) + header('GET', 'X-HTTP-Method-Override'), { method });
    for (const method of ['POST', 'OPTIONS', 'DELETE']) {
      const [weakly = 0] = await overridden(method, weak.key);
      expect([method, isRefusal(weakly)]).toEqual([method, true]);
    }
  });
});
