import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { z } from 'zod';
import { type Api, ApiId, ScopeDescriptions, Stages } from './api.schema.ts';
import { apiEvent } from './api-event.ts';
import { decideRegistration, type Registrar } from './api-registration.ts';
import { demandUnused, readApis, writing } from './api-table.ts';
import type { Origin } from './event.ts';
import { putEvent } from './event-table.ts';
import { InvalidRequest, Unavailable } from './problem.ts';
import { routesHash, validateRoutes } from './routes.ts';
import { ConditionFailed, environmentTable, type KeyTable, names, pause, transact } from './table-client.ts';
import { validate } from './validate.ts';

/**
 * Seconds that a table of routes stays after it was given up. A stage that changes does not change everywhere at
 * once: requests that still name the old table must find it.
 */
const AFTERLIFE = 24 * 60 * 60;
/** How often a write is decided anew because somebody else's came first. */
const MOST_DECISIONS = 8;

/** Names one table of routes: an API of API Gateway, and the hash of what the table says. */
interface RouteTableName {
  id: string;
  hash: string;
}

/** `routes_<API id>/<hash>`: CloudFormation gives up exactly the table that it no longer needs. */
const PHYSICAL_ID = /^routes_([a-z0-9]{1,32})\/([0-9a-f]{64})$/;
const physicalIdOf = ({ id, hash }: RouteTableName): string => `routes_${id}/${hash}`;
const nameIn = (physicalId: string): RouteTableName | undefined => {
  const [, id, hash] = PHYSICAL_ID.exec(physicalId) ?? [];
  return id === undefined || hash === undefined ? undefined : { id, hash };
};

const Properties = z.object({
  RestApiId: ApiId,
  Hash: z.string('must be text').regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits'),
  Routes: z.string('must be text'),
  /** JSON text, since CloudFormation makes text of every number and CDK leaves out empty lists. */
  Catalog: z.string('must be text').default('{}'),
});

/** What a stack says of its API beside the routes. */
const CatalogText = z.object({
  scopes: ScopeDescriptions.default({}),
  stages: Stages.default([]),
  /** Whether scopes that active keys hold may go. */
  force: z.boolean().default(false),
});

/** `arn:aws:cloudformation:us-east-1:123456789012:stack/Orders/…` becomes `stack:123456789012/Orders`. */
const ownerOf = (stackId: string): string => {
  const [, account, name] =
    /^arn:[^:]*:cloudformation:[^:]*:(\d{12}):stack\/([A-Za-z0-9-]{1,128})\//.exec(stackId) ?? [];
  if (account === undefined) throw new Error('StackId must be the ARN of a stack');
  return `stack:${account}/${name}`.slice(0, 128);
};

/** In words, for the person who deploys: CloudFormation shows the message and nothing else. */
const inWords = (error: unknown): unknown => {
  if (!(error instanceof InvalidRequest)) return error;
  const errors = error.extensions['errors'] as { pointer: string; detail: string }[];
  return new Error(errors.map(({ pointer, detail }) => `${pointer.slice(1)} ${detail}`).join('; '));
};

const itemKey = ({ id, hash }: RouteTableName) => ({ pk: `routes_${id}`, sk: hash });

const isNamed =
  ({ id, hash }: RouteTableName) =>
  (api: Api): boolean =>
    api.source === 'stack' && api.id === id && api.routes_hash === hash;

/**
 * Keeps a table of routes under its hash, for the authorizer, and registers the API with it. What a hash names never
 * changes, so doing it again changes nothing.
 *
 * A table that takes another one's place is refused when scopes would be known no more that active keys hold. A table
 * that is registered already never is: a deployment that is rolled back must come back to it.
 *
 * @param replaced the table that this one takes the place of
 * @throws Error naming the bad route, or the other stack that has registered the API; ScopeInUse
 */
async function register(
  {
    id,
    hash,
    routes,
    scopes,
    stages,
    force,
  }: RouteTableName & Pick<Api, 'routes'> & z.output<typeof CatalogText>,
  replaced: RouteTableName | undefined,
  registrar: Registrar,
  origin: Origin,
  table: KeyTable,
): Promise<void> {
  const keeping = {
    Put: {
      TableName: table.tableName,
      // A whole item: there is nothing else in it, and one that was given up is wanted again.
      Item: { ...itemKey({ id, hash }), routes: JSON.stringify(routes) },
    },
  };
  for (let decisions = 1; ; decisions++) {
    const apis = await readApis(table);
    const other = apis.find(
      (api) => api.source === 'stack' && api.id === id && api.owner_id !== registrar.owner_id,
    );
    if (other)
      throw new Error(
        `This API is registered by the ${other.owner_id}. Change its routes there, or delete them there first`,
      );
    const there = apis.find(isNamed({ id, hash }));
    const before = there ?? (replaced?.id === id ? apis.find(isNamed(replaced)) : undefined);
    const change = decideRegistration(apis, before, id, { routes, scopes, stages }, registrar, origin.now);
    if (change && !there && !force) await demandUnused(change.lost_scopes, origin.now, table);
    const outcome = await transact(table, [
      keeping,
      ...(change
        ? [writing({ ...change, before: there }, table), putEvent(apiEvent(change, origin), table)]
        : []),
    ]);
    if (!(outcome instanceof ConditionFailed)) return;
    if (decisions === MOST_DECISIONS) throw new Unavailable(1);
    await pause(decisions);
  }
}

/** Gives one table of routes up: it goes a day later. Other tables of the same API stay. */
async function giveUp(name: RouteTableName, origin: Origin, table: KeyTable): Promise<void> {
  // Gone already, or never there: CloudFormation asks to delete what it could not create.
  await transact(table, [
    {
      Update: {
        TableName: table.tableName,
        Key: itemKey(name),
        UpdateExpression: 'SET #ttl = :ttl',
        ConditionExpression: 'attribute_exists(#pk)',
        ExpressionAttributeNames: names('ttl', 'pk'),
        ExpressionAttributeValues: { ':ttl': Math.floor(origin.now / 1000) + AFTERLIFE },
      },
    },
  ]);
  for (let decisions = 1; ; decisions++) {
    const apis = await readApis(table);
    const before = apis.find(isNamed(name));
    if (!before) return;
    const change = { before, after: undefined, lost_scopes: [] };
    const isLast = !apis.some((api) => api !== before && api.source === 'stack' && api.id === name.id);
    const outcome = await transact(table, [
      writing(change, table),
      ...(isLast ? [putEvent(apiEvent(change, origin), table)] : []),
    ]);
    if (!(outcome instanceof ConditionFailed)) return;
    if (decisions === MOST_DECISIONS) throw new Unavailable(1);
    await pause(decisions);
  }
}

/**
 * Does what CloudFormation asks of a `Custom::RekeyRoutes`, whose properties are `RestApiId`, `Hash`, `Routes` (JSON
 * text) and `Catalog` (JSON text of `scopes`, `stages` and `force`). A deletion is never refused: a stack that cannot
 * be deleted helps nobody.
 *
 * @returns the physical id: a new one makes CloudFormation delete the old one once all else is updated
 * @throws Error for the person who deploys to read
 */
export async function registerRoutes(
  event: CloudFormationCustomResourceEvent,
  origin: Origin,
  table: KeyTable = environmentTable(),
): Promise<string> {
  if (event.RequestType === 'Delete') {
    const name = nameIn(event.PhysicalResourceId);
    if (name) await giveUp(name, origin, table);
    return event.PhysicalResourceId;
  }
  try {
    const { RestApiId: id, Hash: hash, Routes, Catalog } = validate(Properties, event.ResourceProperties);
    const routes = validateRoutes(JSON.parse(Routes));
    if (routesHash(routes) !== hash) throw new Error(`The routes are not those that the hash ${hash} names`);
    const catalog = validate(CatalogText, JSON.parse(Catalog));
    const replaced = event.RequestType === 'Update' ? nameIn(event.PhysicalResourceId) : undefined;
    const registrar: Registrar = { source: 'stack', owner_id: ownerOf(event.StackId), actor: origin.actor };
    await register({ id, hash, routes, ...catalog }, replaced, registrar, origin, table);
    return physicalIdOf({ id, hash });
  } catch (error) {
    throw inWords(error);
  }
}
