import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { PutCommand } from '@aws-sdk/lib-dynamodb';
import type { DynamoDbCall } from '../lib/dynamodb-http.ts';
import { mintKey, newKeyId, parseKey } from '../lib/key-format.ts';
import { attributesOfKey } from '../lib/key-item.ts';
import { createKeyReader } from '../lib/key-reader.ts';
import { type RouteScopes, routesHash } from '../lib/routes.ts';
import { openTable } from '../lib/table-client.ts';
import { SORT_KEY } from '../lib/table-layout.ts';
import { startEngine } from '../local/dynamodb/engine.ts';
import { aKey, DAY, instant } from '../test/engine/keys.ts';
import { makeTable } from '../test/engine/new-table.ts';
import { API_ID } from '../test/lib/authorizer-event.ts';

const TABLE = 'bench';

/** The very GetItem that the authorizer sends for a key. */
export async function getItemFor(key: string): Promise<object> {
  let sent: object = {};
  const call: DynamoDbCall = async (_operation, input) => {
    sent = input;
    return {};
  };
  await createKeyReader({ table: TABLE, call, eventRetentionDays: 400, retentionDays: 90 }).getKey(
    String(parseKey(key, 'rk')?.id),
  );
  return sent;
}

/** A DynamoDB engine with a table, and the environment in which an authorizer finds it. */
export async function startWorld() {
  const stateDir = await mkdtemp(join(tmpdir(), 'rekey-bench-'));
  const engine = await startEngine({ stateDir, fresh: true, log: () => undefined });
  const config = {
    endpoint: engine.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
  };
  const maker = new DynamoDBClient(config);
  await makeTable(maker, TABLE);
  maker.destroy();
  const { client } = openTable(TABLE, config);

  return {
    env: {
      AWS_REGION: config.region,
      AWS_ACCESS_KEY_ID: 'bench',
      AWS_SECRET_ACCESS_KEY: 'bench',
      AWS_ENDPOINT_URL_DYNAMODB: engine.endpoint,
      REKEY_TABLE_NAME: TABLE,
      REKEY_KEY_PREFIX: 'rk',
      REKEY_EVENT_RETENTION_DAYS: '400',
      REKEY_RETENTION_DAYS: '90',
      REKEY_LOG_SAMPLE_RATE: '0',
      REKEY_LATE_USE_MINUTES: '60',
      POWERTOOLS_SERVICE_NAME: 'Rekey',
    },

    /** A key that was used before, so that neither a first nor a last use is written. */
    async addKey(scopes: string[]): Promise<string> {
      const now = Date.now();
      const id = newKeyId(now);
      const { key, digest, hint } = mintKey({ prefix: 'rk', environment: 'live', id });
      const record = aKey({
        id,
        digest,
        hint,
        scopes,
        expires_at: instant(now + 30 * DAY),
        first_used_at: instant(now),
        last_used_at: instant(now),
      });
      const Item = { ...attributesOfKey(record), pk: id, sk: SORT_KEY.apiKey, ttl: undefined };
      await client.send(new PutCommand({ TableName: TABLE, Item: JSON.parse(JSON.stringify(Item)) }));
      return key.reveal();
    },

    /** @returns the hash that names them */
    async addRoutes(routes: RouteScopes): Promise<string> {
      const hash = routesHash(routes);
      const Item = { pk: `routes_${API_ID}`, sk: hash, routes: JSON.stringify(routes) };
      await client.send(new PutCommand({ TableName: TABLE, Item }));
      return hash;
    },

    async close() {
      client.destroy();
      await engine.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

export type World = Awaited<ReturnType<typeof startWorld>>;
