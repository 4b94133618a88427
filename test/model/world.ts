import { QueryCommand } from '@aws-sdk/lib-dynamodb';
import { jest } from '@jest/globals';
import type { APIGatewayAuthorizerResult } from 'aws-lambda';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { type AuthorizerDependencies, authorize } from '../../lib/authorizer.ts';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import { mintKey } from '../../lib/key-format.ts';
import { factsOfItem } from '../../lib/key-item.ts';
import { createKeyReader } from '../../lib/key-reader.ts';
import { cancelRotation } from '../../lib/operations/cancel-rotation.ts';
import { createKey } from '../../lib/operations/create-key.ts';
import { revokeKey } from '../../lib/operations/revoke-key.ts';
import { rotateKey } from '../../lib/operations/rotate-key.ts';
import { rotateSelf } from '../../lib/operations/rotate-self.ts';
import { updateKey } from '../../lib/operations/update-key.ts';
import { verifyKey } from '../../lib/operations/verify-key.ts';
import { routesHash } from '../../lib/routes.ts';
import { sweepKeys } from '../../lib/sweep.ts';
import { type Engine, startEngine } from '../engine/engine.ts';
import { setEnvironment } from '../engine/environment.ts';
import { knowScopes } from '../engine/known-scopes.ts';
import { type Fate, type Network, unreliableNetwork } from '../engine/unreliable-network.ts';
import { type ApiAnswer, call } from '../lib/api-event.ts';
import { authorizerEvent } from '../lib/authorizer-event.ts';
import type { Answer, Caller, CallerName, Command } from './model.ts';

/** A scope for each thing that a key of the model may be asked for, and the route that asks for it. */
const routeOf = (scope: string) => `/${scope.replace(':', '/')}`;
const SCOPES = ['a', 'b', 'other'].flatMap((resource) =>
  ['read', 'write', 'other'].map((action) => `${resource}:${action}`),
);
const ROUTES = Object.fromEntries(SCOPES.map((scope) => [`GET ${routeOf(scope)}`, [scope]]));

const SETTINGS = { notify_days_before: [14], retention_days: 90 };

export interface World {
  engine: Engine;
  setTime(now: number): void;
  /** From this request on the network fails as said; undefined: it does not. */
  failing(fault: { at: number; how: 'before' | 'after' | 'once' } | undefined): void;
  sweep(now: number): Promise<void>;
  close(): Promise<void>;
}

/** The real handlers on a real engine, with a clock that the test moves and a network that it breaks. */
export async function startWorld(): Promise<World> {
  const engine = await startEngine();
  await knowScopes(engine.table, ...SCOPES);
  let fault: { at: number; how: 'before' | 'after' | 'once' } | undefined;
  let requests = 0;
  const fateOf = (): Fate => {
    requests += 1;
    if (!fault || requests < fault.at) return 'pass';
    if (fault.how === 'before') return 'lose request';
    if (fault.how === 'after') return 'lose answer';
    return requests === fault.at ? 'lose answer' : 'pass';
  };
  const network: Network = await unreliableNetwork(engine.endpoint, fateOf);
  const restore = setEnvironment(
    { endpoint: network.endpoint, tableName: engine.table.tableName },
    { REKEY_RETENTION_DAYS: String(SETTINGS.retention_days) },
  );
  const clock = jest.spyOn(Date, 'now');
  // What goes wrong is compared, and not read.
  for (const level of ['info', 'error', 'log'] as const)
    jest.spyOn(console, level).mockImplementation(() => undefined);
  return {
    engine,
    setTime: (now) => void clock.mockReturnValue(now),
    failing(next) {
      fault = next;
      requests = 0;
    },
    async sweep(now) {
      const { failed } = await sweepKeys({ hasTime: () => true, now: () => now }, SETTINGS, engine.table);
      if (failed > 0) throw new Error(`the sweep failed on ${failed} keys`);
    },
    async close() {
      restore();
      jest.restoreAllMocks();
      await network.close();
      await engine.close();
    },
  };
}

/** One run of a sequence of steps: its keys by their numbers, and every secret that an answer handed out. */
export interface Run {
  /** Told apart from other runs on the same table. */
  name: string;
  ids: (string | undefined)[];
  /** By number of the key and of its secret. */
  texts: Map<string, string>;
}

export const startRun = (name: string): Run => ({ name, ids: [], texts: new Map() });

/** The callers of the management API, and what they may do. */
export const callerOf = (name: CallerName): Caller => {
  const id = { admin: '1', manager: '2', reader: '3', stranger: '4' }[name];
  return {
    id: `key_${id.repeat(22)}`,
    owner: name === 'stranger' ? 'owner-9' : 'owner-0',
    any: name === 'admin',
    scopes: name === 'reader' ? ['a:read', 'api-keys:*'] : ['*:*'],
  };
};

const reader = (engine: Engine) =>
  createKeyReader({
    table: engine.table.tableName,
    call: createDynamoDbCall(process.env),
    eventRetentionDays: 400,
    retentionDays: SETTINGS.retention_days,
  });
let dependencies: AuthorizerDependencies | undefined;
const authorizerOf = (engine: Engine): AuthorizerDependencies => {
  dependencies ??= {
    reader: reader(engine),
    readRoutes: async () => ROUTES,
    now: () => Date.now(),
    prefix: 'rk',
    service: 'Rekey',
    misuseSettings: { late_use_minutes: 60 },
    sampled: () => false,
    log: () => undefined,
  };
  return dependencies;
};

/** The text of a secret; of one that nobody was ever told, a text with the id of the key and a secret that was guessed. */
const textOf = (run: Run, key: number, secret: number): string =>
  run.texts.get(`${key}/${secret}`) ?? guessOf(run.ids[key]!);
const guessOf = (id: string): string => {
  const { key } = mintKey({ id, prefix: 'rk', environment: 'live' });
  return key.reveal();
};

const ownerName = (run: Run, owner: string) => `${run.name}-${owner}`;

/** Asks the authorizer, and says what API Gateway would answer, and with which context it would go on. */
const ask = async (world: World, text: string, scope: string) => {
  try {
    const answer = (await authorize(
      authorizerEvent({
        resource: routeOf(scope),
        headers: { 'x-api-key': [text] },
        routesHash: routesHash(ROUTES),
      }),
      authorizerOf(world.engine),
    )) as APIGatewayAuthorizerResult;
    const allowed = answer.policyDocument.Statement[0]!.Effect === 'Allow';
    return { status: allowed ? 200 : 403, context: answer.context };
  } catch (error) {
    return { status: (error as Error).message === 'Unauthorized' ? 401 : 500, context: undefined };
  }
};

/** An answer in the model's words, and the id and the text of the key that it hands out. */
export interface Sent {
  /** Other keys are named by their ids: one may be of a request that is under way as well. */
  answer: Pick<Answer, 'status' | 'code'> & { named?: string; ended?: string[] };
  id?: string;
  text?: string;
}

/** Sends a command to the real thing, and says its answer in the model's words. */
export async function send(
  world: World,
  run: Run,
  command: Command,
  scopeOf: (key: number) => string,
): Promise<Sent> {
  const headers: Record<string, string> =
    'retry' in command && command.retry !== undefined
      ? { 'idempotency-key': `${run.name}-${command.retry}` }
      : {};
  const said = (raw: ApiAnswer): Sent => {
    const { body, status } = raw;
    const code = typeof body.type === 'string' ? body.type.replace('urn:rekey:problem:', '') : undefined;
    const named = body.successor_key_id;
    const ended = body.ended?.map((key: ApiKeyRecord) => key.id);
    return {
      answer: {
        status,
        ...(code && { code }),
        ...(typeof named === 'string' && { named }),
        ...(ended && { ended }),
      },
      ...(status === 201 && { id: body.api_key.id, text: body.key }),
    };
  };
  const as = (caller: Caller) => ({
    principalId: caller.id,
    key_id: caller.id,
    owner_id: ownerName(run, caller.owner),
    owner_access: caller.any ? 'any' : 'own',
    environment: 'live',
    scopes: caller.scopes.join(' '),
  });

  if (command.do === 'use') {
    const { status } = await ask(world, textOf(run, command.key, command.secret), command.scope);
    return { answer: { status } };
  }
  if (command.do === 'create') {
    const { caller, owner, scopes, days, grace_starts } = command;
    const json = {
      name: 'n',
      owner_id: ownerName(run, `owner-${owner}`),
      scopes,
      expires_in_days: days,
      grace_starts,
    };
    return said(await call(createKey, { json, headers, caller: as(callerOf(caller)) }));
  }
  const id = run.ids[command.key]!;
  if (command.do === 'rotate-self') {
    // Its route needs no scope, so any that the key has will do to be let in.
    const text = textOf(run, command.key, command.secret);
    const { status, context } = await ask(world, text, scopeOf(command.key));
    if (status !== 200) return { answer: { status } };
    return said(
      await call(rotateSelf, { json: command.request, headers, caller: { principalId: id, ...context } }),
    );
  }
  const caller = as(callerOf(command.caller));
  switch (command.do) {
    case 'rotate':
      return said(await call(rotateKey, { id, json: command.request, headers, caller }));
    case 'cancel':
      return said(await call(cancelRotation, { id, json: {}, caller }));
    case 'revoke':
      return said(await call(revokeKey, { id, json: {}, caller }));
    case 'update': {
      const { scopes, expires_in_hours } = command;
      const expires_at =
        expires_in_hours === undefined
          ? undefined
          : new Date(Date.now() + expires_in_hours * 3_600_000).toISOString();
      return said(await call(updateKey, { id, json: { scopes, expires_at }, caller }));
    }
    case 'verify': {
      const json = { key: textOf(run, command.key, command.secret), required_scopes: [command.scope] };
      const raw = await call(verifyKey, { json, caller });
      return { answer: { status: raw.status, code: raw.body.code ?? raw.body.type } };
    }
  }
}

/** The events of changes. Notices, and what misuse is told, depend on more than the model knows. */
const TOLD = new Set(
  ['created', 'updated', 'rotated', 'first_used', 'revoked', 'expired'].map((type) => `api_key.${type}`),
);

/** What the table has of a run, read from the engine itself: the indexes of this engine do not lag. */
export async function stored(world: World, run: Run) {
  const page = async (index: string, field: string, owner: string) => {
    const { Items = [] } = await world.engine.table.client.send(
      new QueryCommand({
        TableName: world.engine.table.tableName,
        IndexName: index,
        KeyConditionExpression: '#owner = :owner',
        ExpressionAttributeNames: { '#owner': field },
        ExpressionAttributeValues: { ':owner': ownerName(run, owner) },
      }),
    );
    return Items;
  };
  const owners = ['owner-0', 'owner-1'];
  const keys = await Promise.all(owners.map((owner) => page('by_owner', 'owner_id', owner)));
  const events = await Promise.all(owners.map((owner) => page('events_by_owner', 'event_owner_id', owner)));
  const trails = new Map<string, string[]>();
  for (const { event } of events.flat()) {
    const { type, api_key_id } = JSON.parse(String(event));
    if (!TOLD.has(type)) continue;
    trails.set(api_key_id, [...(trails.get(api_key_id) ?? []), type.replace('api_key.', '')]);
  }
  return { records: keys.flat().map((item) => factsOfItem(item) as unknown as ApiKeyRecord), trails };
}
