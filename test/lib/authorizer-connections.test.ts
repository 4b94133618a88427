import { afterEach, describe, expect, it } from '@jest/globals';
import { authorize } from '../../lib/authorizer.ts';
import { createDynamoDbCall, LONGEST_CALL_MS } from '../../lib/dynamodb-http.ts';
import { mintKey, newKeyId } from '../../lib/key-format.ts';
import { createKeyReader } from '../../lib/key-reader.ts';
import { createRouteReader } from '../../lib/route-reader.ts';
import { routesHash } from '../../lib/routes.ts';
import { authorizerEvent } from './authorizer-event.ts';
import { failed, fakeDynamoDb, hangUp, ok, type Reply, silent } from './fake-dynamodb.ts';

const ROUTES = { 'GET /orders': ['orders:read'] };
const now = Date.now();
const id = newKeyId(now);
const { key, digest } = mintKey({ prefix: 'rk', environment: 'live', id });
const at = { S: new Date(now).toISOString() };
const ITEM = {
  ...{ id: { S: id }, digest: { S: digest }, owner_id: { S: 'team' }, owner_access: { S: 'own' } },
  ...{ environment: { S: 'live' }, scopes: { S: 'orders:read' }, first_used_at: at, last_used_at: at },
  ...{ expires_at: { NULL: true }, rotated_at: { NULL: true }, revoked_at: { NULL: true } },
};
const found: Reply = (response, socket, body) =>
  ok({
    Item: JSON.stringify(body).includes('routes_') ? { routes: { S: JSON.stringify(ROUTES) } } : ITEM,
  })(response, socket, body);

let close = async (): Promise<unknown> => undefined;
afterEach(() => close());

/** The authorizer, with its own client, before a table that answers as `reply` says at the moment. */
async function authorizer() {
  const table: { reply: Reply } = { reply: found };
  const dynamoDb = await fakeDynamoDb((...request) => table.reply(...request));
  close = dynamoDb.close;
  const call = createDynamoDbCall(dynamoDb.env);
  const lines: Record<string, unknown>[] = [];
  const dependencies = {
    reader: createKeyReader({ table: 'keys', call, eventRetentionDays: 400, retentionDays: 90 }),
    readRoutes: createRouteReader({ table: 'keys', call }),
    ...{ now: Date.now, prefix: 'rk', service: 'Rekey', misuseSettings: { late_use_minutes: 60 } },
    log: (line: Record<string, unknown>) => lines.push(line),
    sampled: () => true,
  };
  const event = authorizerEvent({
    headers: { 'x-api-key': [key.reveal()] },
    routesHash: routesHash(ROUTES),
  });
  const ask = async () => {
    const answer = await authorize(event, dependencies);
    return 'policyDocument' in answer && answer.policyDocument.Statement[0]?.Effect;
  };
  /** Some at the same time, so that as many connections are kept. */
  const askAtOnce = (count: number) => Promise.all(Array.from({ length: count }, ask));
  const ports = () => new Set(dynamoDb.seen.map(({ port }) => port));
  const seen = () => dynamoDb.seen.length;
  return { table, ask, askAtOnce, ports, seen, lines, close: dynamoDb.close };
}

describe('the connections of the authorizer', () => {
  it('are kept: a hundred decisions after the first need no other', async () => {
    const { ask, ports } = await authorizer();
    await ask();
    // The first one reads the routes at the same time as the key.
    expect(ports().size).toBe(2);
    for (let n = 0; n < 100; n++) expect(await ask()).toBe('Allow');
    expect(ports().size).toBe(2);
  });

  it('are 64 at most, whatever comes at once', async () => {
    const { ask, askAtOnce, ports } = await authorizer();
    await ask();
    expect(new Set(await askAtOnce(200))).toEqual(new Set(['Allow']));
    expect(ports().size).toBe(64);
  });
});

describe('a connection that was closed while the function was frozen', () => {
  it.each([1, 10])('is replaced, and no one of %i requests notices', async (requests) => {
    const { table, askAtOnce, ports, seen, lines } = await authorizer();
    await askAtOnce(10);
    const before = { ports: ports(), seen: seen() };
    // Whoever was away did not see it being closed: it is only found out with the next request.
    table.reply = (...request) => (before.ports.has(request[1].remotePort) ? hangUp : found)(...request);
    expect(await askAtOnce(requests)).toEqual(Array(requests).fill('Allow'));
    // Each was tried on one old connection, and on no other one that is as old.
    expect(seen() - before.seen).toBeLessThanOrEqual(2 * requests);
    expect(lines).toEqual([]);
  });

  it('is replaced also if it died without a word', async () => {
    const { table, askAtOnce, ports, lines } = await authorizer();
    await askAtOnce(10);
    const old = ports();
    table.reply = (...request) => (old.has(request[1].remotePort) ? silent : found)(...request);
    expect(await askAtOnce(1)).toEqual(['Allow']);
    expect(lines).toEqual([]);
  });

  it('is replaced once: who is hung up on again and again is refused', async () => {
    const { table, ask, seen } = await authorizer();
    await ask();
    const before = seen();
    table.reply = hangUp;
    await expect(ask()).rejects.toThrow('The authorizer could not decide');
    // The old connection, a new one, and one more try.
    expect(seen() - before).toBe(3);
  });
});

describe('a table that throttles', () => {
  it.each(['ThrottlingException', 'ProvisionedThroughputExceededException', 'RequestLimitExceeded'])(
    'is asked once more after %s, then the request is refused, counted, and the log has the reason',
    async (code) => {
      const { table, ask, seen, lines } = await authorizer();
      await ask();
      const before = seen();
      table.reply = failed(400, code);
      await expect(ask()).rejects.toThrow(/^The authorizer could not decide$/);
      expect(seen() - before).toBe(2);
      expect(lines).toEqual([
        expect.objectContaining({ reason: 'error', requests_refused: 1, _aws: expect.anything() }),
        expect.objectContaining({ event: 'authorizer_failed', code }),
      ]);
      table.reply = found;
      expect(await ask()).toBe('Allow');
    },
  );

  it('lets nobody in while it is too busy to note a first use', async () => {
    const { table, ask, lines } = await authorizer();
    table.reply = (response, socket, body) =>
      'TransactItems' in (body as object)
        ? failed(400, 'TransactionCanceledException')(response, socket, body)
        : JSON.stringify(body).includes('routes_')
          ? found(response, socket, body)
          : ok({ Item: { ...ITEM, first_used_at: { NULL: true }, version: { N: '1' } } })(
              response,
              socket,
              body,
            );
    await expect(ask()).rejects.toThrow('The authorizer could not decide');
    expect(lines).toContainEqual(expect.objectContaining({ reason: 'error', requests_refused: 1 }));
  });
});

describe('a table that says nothing', () => {
  it('is given up after the time of one call', async () => {
    const { table, ask, lines } = await authorizer();
    await ask();
    table.reply = silent;
    const begin = performance.now();
    await expect(ask()).rejects.toThrow('The authorizer could not decide');
    expect(performance.now() - begin).toBeLessThan(LONGEST_CALL_MS + 400);
    expect(lines).toContainEqual(expect.objectContaining({ event: 'authorizer_failed', code: 'Timeout' }));
  });
});
