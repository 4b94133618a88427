import { describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import { type ClientEvent, createRekeyClient, type KeyStore, type StoredKey } from 'rekey/client';
import type { KeyState } from '../../../lib/client/management.ts';
import { lineOfKeys } from './line-of-keys.ts';

const DAY = 86_400_000;
const START = Date.parse('2026-11-24T12:00:00.000Z');

/** A store in memory that several clients may share, and a line of keys whose first key is in it. */
const setting = ({ days = 30, exclusive = true, rotation = null as KeyState['rotation'] } = {}) => {
  let time = START;
  const line = lineOfKeys({ now: () => time, days, rotation });
  let stored: StoredKey = { key: line.keys[0]!.text };
  let queue: Promise<unknown> = Promise.resolve();
  const fails = { read: 0, write: 0 };
  const store: KeyStore = {
    read: async () => {
      if (fails.read-- > 0) throw new Error('the store cannot be read');
      return { ...stored };
    },
    write: async (next, seen) => {
      if (fails.write-- > 0) throw new Error('the store cannot be written');
      if (stored.key !== seen.key) return false;
      stored = next;
      return true;
    },
    exclusively: (work) => {
      if (!exclusive) return work();
      const turn = queue.then(work);
      queue = turn.catch(() => undefined);
      return turn;
    },
  };
  const events: ClientEvent[] = [];
  const makeClient = (more: object = {}) =>
    createRekeyClient({
      managementUrl: 'https://management.test/v1',
      apis: ['https://orders.test/v1'],
      store,
      fetch: line.send,
      now: () => time,
      onEvent: (event) => events.push(event),
      ...more,
    });
  return {
    line,
    store,
    events,
    fails,
    makeClient,
    client: makeClient(),
    stored: () => stored,
    put: (value: StoredKey) => {
      stored = value;
    },
    advance: (ms: number) => {
      time += ms;
    },
    problems: () => events.filter(({ type }) => type === 'problem'),
  };
};
const URL_OF_ORDERS = 'https://orders.test/v1/orders';
const byOf = async (answer: Promise<Response>) => ((await (await answer).json()) as { by: string }).by;

describe('a request', () => {
  it('is sent with the stored key, with its own headers beside', async () => {
    const { client, line } = setting();
    expect((await client.fetch(URL_OF_ORDERS, { headers: { 'x-note': 'a' } })).status).toBe(200);
    const request = line.requests.find(({ url }) => url === URL_OF_ORDERS)!;
    expect(request).toMatchObject({ key: line.keys[0]!.text, redirect: 'error' });
  });

  it.each([
    'https://evil.test/v1/orders',
    'http://orders.test/v1/orders',
    'https://orders.test:8443/v1/orders',
    'https://orders.test/v10',
    'https://orders.test/v1/../v2/orders',
    'https://orders.test@evil.test/v1',
  ])('gets no key and is not sent to %s, which is not below the APIs', async (url) => {
    const { client, line } = setting();
    await expect(client.fetch(url)).rejects.toThrow(TypeError);
    await expect(client.fetch(new Request(url.replace('orders.test@', '')))).rejects.toThrow(TypeError);
    expect(line.requests).toEqual([]);
  });

  it('follows no redirect with the key, whatever it asks for', async () => {
    const { client, line } = setting();
    for (const redirect of ['follow', 'error', 'manual', undefined] as const)
      await client.fetch(URL_OF_ORDERS, redirect && { redirect });
    await client.fetch(new Request(URL_OF_ORDERS));
    const seen = line.requests.filter(({ url }) => url === URL_OF_ORDERS).map(({ redirect }) => redirect);
    expect(seen).toEqual(['error', 'error', 'manual', 'error', 'error']);
    await client.rotate();
    const own = line.requests.filter(({ url }) => url.startsWith('https://management.test/'));
    expect(new Set(own.map(({ redirect }) => redirect))).toEqual(new Set(['error']));
  });

  it('may not bring a key of its own', async () => {
    const { client } = setting();
    for (const headers of [{ 'X-Api-Key': 'a' }, { authorization: 'Bearer a' }])
      await expect(client.fetch(URL_OF_ORDERS, { headers })).rejects.toThrow('leave x-api-key');
  });

  it('does not need the management API', async () => {
    const { client, line, problems } = setting();
    line.breakManagement(1000);
    expect((await client.fetch(URL_OF_ORDERS)).status).toBe(200);
    await client.maintain();
    expect(problems().length).toBeGreaterThan(0);
  });

  it('that is 401 is sent once more with what the store has now', async () => {
    const { client, line, put } = setting();
    await client.maintain();
    line.rotateByHand(0);
    line.keys[0]!.revoked = true;
    put({ key: line.keys[1]!.text });
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
    const before = line.requests.length;
    expect(await byOf(client.fetch(URL_OF_ORDERS, { body: 'text', method: 'POST' }))).toBe(line.keys[1]!.id);
    expect(line.requests.length).toBe(before + 1);
  });

  it('that is 401 stays so where the store has nothing else, or its body is gone', async () => {
    const { client, line, put } = setting();
    await client.maintain();
    line.keys[0]!.revoked = true;
    expect((await client.fetch(URL_OF_ORDERS)).status).toBe(401);
    line.rotateByHand(0);
    put({ key: line.keys[1]!.text });
    const body = new ReadableStream({ start: (controller) => controller.close() });
    const streamed = { method: 'POST', body, duplex: 'half' } as RequestInit;
    expect((await client.fetch(URL_OF_ORDERS, streamed)).status).toBe(401);
  });

  it('works with the key before, where the stored one turns out to be dead', async () => {
    const { makeClient, line, put } = setting();
    line.rotateAndCrash(0);
    put({ key: 'rk_live_dead', previous_key: line.keys[0]!.text });
    expect(await byOf(makeClient().fetch(URL_OF_ORDERS))).toBe(line.keys[0]!.id);
  });
});

describe('a request while other processes make secrets for one successor', () => {
  it('works with the key before, though the store has changed from one dead secret to another', async () => {
    const { makeClient, line, put, store } = setting();
    line.rotateAndCrash(0);
    put({ key: 'rk_live_dead0001', previous_key: line.keys[0]!.text });
    const client = makeClient();
    const read = store.read;
    let reads = 0;
    store.read = async () => {
      if (reads++ > 0) put({ key: 'rk_live_dead0002', previous_key: line.keys[0]!.text });
      return read();
    };
    line.breakManagement(1000);
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[0]!.id);
  });
});

describe('the key', () => {
  it('is replaced when its rotation is due, long before two thirds of its life', async () => {
    const { client, line, advance, stored } = setting({ days: 300, rotation: { every_days: 10 } });
    await client.maintain();
    advance(10 * DAY - 1);
    await client.maintain();
    expect(line.keys).toHaveLength(1);
    advance(1);
    await client.maintain();
    expect(line.keys).toHaveLength(2);
    expect(stored().key).toBe(line.keys[1]!.text);
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
    // That one has days of its own.
    advance(9 * DAY);
    await client.maintain();
    expect(line.keys).toHaveLength(2);
  });

  it('is not replaced when the system delivers its successor: the client follows the store', async () => {
    const deliver = { secrets_manager: { secret_id: 'orders/rekey' } };
    const { client, line, advance, put, problems } = setting({ rotation: { every_days: 10, deliver } });
    await client.maintain();
    advance(25 * DAY);
    await client.maintain();
    expect(line.keys).toHaveLength(1);
    // It is rotated, and its successor not in the store yet.
    line.rotateByHand(0);
    await client.maintain();
    expect(line.keys).toHaveLength(2);
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[0]!.id);
    put({ key: line.keys[1]!.text });
    await client.maintain();
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
    expect(line.requests.filter(({ url }) => url.endsWith('/rotate'))).toEqual([]);
    expect(problems()).toEqual([]);
  });

  it('is replaced at two thirds of its life, by a request that does not wait for it', async () => {
    const { client, line, advance, stored } = setting();
    await client.maintain();
    advance(20 * DAY - 1000);
    await client.maintain();
    expect(line.keys).toHaveLength(1);
    advance(DAY);
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[0]!.id);
    await client.maintain();
    expect(stored()).toEqual({ key: line.keys[1]!.text, previous_key: line.keys[0]!.text });
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
  });

  it('is looked after every five minutes, not with each request', async () => {
    const { client, line, advance } = setting();
    const looks = () => line.requests.filter(({ url }) => url.includes('management')).length;
    for (let n = 0; n < 50; n++) await client.fetch(URL_OF_ORDERS);
    expect(looks()).toBe(1);
    advance(300_000);
    await client.fetch(URL_OF_ORDERS);
    await client.maintain();
    expect(looks()).toBeLessThanOrEqual(3);
  });

  it('is replaced when it is told, once for all who are told', async () => {
    const { makeClient, line, stored } = setting();
    const clients = Array.from({ length: 8 }, () => makeClient());
    for (const client of clients) await client.maintain();
    await Promise.all(clients.map((client) => client.rotate()));
    expect(line.keys).toHaveLength(2);
    expect(stored().key).toBe(line.keys[1]!.text);
    for (const client of clients) expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
  });

  it('is stored before it is used', async () => {
    const { client, line, store } = setting();
    const write = store.write;
    let usedAtWrite: boolean | undefined;
    store.write = async (next, seen) => {
      usedAtWrite = line.keys[1]!.used;
      return write(next, seen);
    };
    await client.rotate();
    expect(usedAtWrite).toBe(false);
    expect(line.keys[1]!.used).toBe(true);
  });

  it('stays the old one when the new one could not be stored, and the next try gets the same successor', async () => {
    const { client, line, fails, stored } = setting();
    await client.maintain();
    fails.write = 1;
    await expect(client.rotate()).rejects.toThrow('cannot be written');
    expect(line.keys[1]!.used).toBe(false);
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[0]!.id);
    await client.rotate();
    expect(line.keys).toHaveLength(2);
    expect(stored().key).toBe(line.keys[1]!.text);
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
  });

  it('whose successor was lost with a process that crashed gets that successor, with another secret', async () => {
    const { client, line, stored } = setting();
    line.rotateAndCrash(0);
    const lost = line.keys[1]!.text;
    await client.maintain();
    expect(line.keys).toHaveLength(2);
    expect(line.keys[1]!.text).not.toBe(lost);
    expect(stored().key).toBe(line.keys[1]!.text);
  });

  it('is made anew where the stored one was overtaken, with the one before it', async () => {
    const { client, line, put, stored } = setting();
    line.rotateAndCrash(0);
    const overtaken = line.keys[1]!.text;
    line.rotateAndCrash(0);
    put({ key: overtaken, previous_key: line.keys[0]!.text });
    await client.maintain();
    expect(line.keys).toHaveLength(2);
    expect(stored()).toEqual({ key: line.keys[1]!.text, previous_key: line.keys[0]!.text });
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
  });

  it('that is overtaken between being stored and being used is made again at once', async () => {
    const { client, line, store, stored } = setting();
    const write = store.write;
    let overtakes = 1;
    store.write = async (next, seen) => {
      const written = await write(next, seen);
      if (overtakes-- > 0) line.rotateAndCrash(0);
      return written;
    };
    await client.rotate();
    expect(line.keys).toHaveLength(2);
    expect(stored().key).toBe(line.keys[1]!.text);
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
  });

  it('that somebody else rotated is a problem for people, until they put its successor into the store', async () => {
    const { client, line, put, problems } = setting();
    await client.maintain();
    line.rotateByHand(0);
    await client.maintain();
    expect(problems()).toMatchObject([{ cause: { type: 'urn:rekey:problem:already_rotated', status: 409 } }]);
    put({ key: line.keys[1]!.text });
    await client.maintain();
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
    expect(problems()).toHaveLength(1);
  });

  it('is not given up for a management API that does not answer', async () => {
    const { client, line, problems, advance } = setting();
    await client.maintain();
    line.breakManagement(1);
    await expect(client.rotate()).rejects.toThrow('fetch failed');
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[0]!.id);
    expect(problems()).toHaveLength(1);
    advance(30_000);
    await client.rotate();
    expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys[1]!.id);
  });

  it('can be seen and ended', async () => {
    const { client, line } = setting();
    expect(await client.self()).toMatchObject({ id: line.keys[0]!.id, status: 'active' });
    await client.revoke('moved');
    expect((await client.fetch(URL_OF_ORDERS)).status).toBe(401);
    await expect(client.self()).rejects.toMatchObject({ name: 'RekeyRefusal', status: 401 });
  });

  it.each([0, 1, -1, Number.NaN, 2])('cannot be replaced after %d of its life', (rotateAfter) => {
    expect(() => setting().makeClient({ rotateAfter })).toThrow(RangeError);
  });

  it('is in no event', async () => {
    const { client, line, events, fails } = setting();
    fails.write = 1;
    await client.rotate().catch(() => undefined);
    await client.rotate();
    expect(events.length).toBeGreaterThan(1);
    for (const { text } of line.keys)
      for (const event of events)
        expect(`${JSON.stringify(event)} ${'cause' in event ? String(event.cause) : ''}`).not.toContain(text);
  });
});

describe('rekey/client', () => {
  it('bundles for any runtime, with nothing of Node.js and no dependency', async () => {
    const { metafile } = await build({
      entryPoints: ['lib/client/index.ts'],
      bundle: true,
      write: false,
      metafile: true,
      format: 'esm',
      platform: 'neutral',
    });
    for (const input of Object.keys(metafile.inputs)) expect(input).toMatch(/^lib\/client\//);
  });
});

describe('many processes', () => {
  it.each([
    ['with locks', 20, true],
    ['without', 4, false],
  ])('rotate their key %s, in one line that nobody is left behind in', async (_, rounds, exclusive) => {
    const { makeClient, line, stored, advance } = setting({ exclusive });
    const clients = Array.from({ length: 8 }, () => makeClient());
    for (let round = 1; round <= rounds; round++) {
      advance(21 * DAY);
      const answers = await Promise.all(clients.map((client) => client.fetch(URL_OF_ORDERS)));
      expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
      for (let n = 0; n < 3; n++) await Promise.all(clients.map((client) => client.maintain()));
      expect(line.keys).toHaveLength(round + 1);
      expect(stored().key).toBe(line.keys.at(-1)!.text);
      for (const client of clients)
        expect(await byOf(client.fetch(URL_OF_ORDERS))).toBe(line.keys.at(-1)!.id);
    }
  });
});
