import { createDynamoDbCall } from '../lib/dynamodb-http.ts';
import { authorizerEvent } from '../test/lib/authorizer-event.ts';
import { loadBetterAuth } from './better-auth/verify.ts';
import type { Part, Target } from './part.ts';
import { perSecond, ratioOf, type Series, takeTurns } from './rounds.ts';
import { bareGetItem } from './twins/bare-get-item.ts';
import { getItemFor, type World } from './world.ts';

/** Decisions a second in one process: the authorizer, a bare signed read, the twin, and better-auth in memory. */
export async function warm(world: World, { rounds = 15 } = {}): Promise<Part> {
  Object.assign(process.env, world.env);
  const ours = await import('../functions/authorizer.ts');
  const twin = await import('./twins/usual-authorizer.ts');
  const betterAuth = await loadBetterAuth();

  const key = await world.addKey(['orders:read']);
  const routesHash = await world.addRoutes({ 'GET /orders': ['orders:read'] });
  const event = authorizerEvent({ headers: { 'x-api-key': [key] }, routesHash });
  const input = await getItemFor(key);
  const client = createDynamoDbCall();
  const calls: Record<string, () => Promise<unknown>> = {
    authorizer: () => ours.handler(event),
    'bare GetItem': () => bareGetItem(input),
    'GetItem by its own client': () => client('GetItem', input),
    twin: () => twin.handler(event, {} as never),
    ...('verify' in betterAuth && { 'better-auth': betterAuth.verify }),
  };
  for (const call of Object.values(calls)) await call();

  const series: Series[] = [];
  const targets: Target[] = [];
  for (const atOnce of [1, 32]) {
    const taken = await takeTurns(
      Object.fromEntries(
        Object.entries(calls).map(([name, call]) => [name, () => perSecond(call, { atOnce })]),
      ),
      { rounds },
    );
    const how = atOnce === 1 ? 'sequential' : `${atOnce} at once`;
    const { authorizer } = taken as { authorizer: Series };
    const beside = (name: string, limit: { atLeast?: number } = {}) => {
      const other = taken[name];
      if (!other) return;
      const what = `authorizer ÷ ${name}, ${how}`;
      targets.push({ name: what, ratio: ratioOf(what, authorizer, other), ...limit });
    };
    beside('bare GetItem', { atLeast: 0.8 });
    // What the decision itself takes: the client is quicker than the bare loop.
    beside('GetItem by its own client');
    beside('twin', { atLeast: 2 });
    beside('better-auth', { atLeast: 2 });
    series.push(...Object.values(taken).map((each) => ({ ...each, name: `${each.name}, ${how}` })));
  }
  return {
    name: 'warm',
    unit: 'decisions a second',
    series,
    targets,
    ...('skipped' in betterAuth && { skipped: [betterAuth.skipped] }),
  };
}
