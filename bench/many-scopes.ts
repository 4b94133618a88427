import { compilePolicy } from '../lib/policy-compiler.ts';
import type { RouteScopes } from '../lib/routes.ts';
import { authorizerEvent } from '../test/lib/authorizer-event.ts';
import { STAGE_ARN } from '../test/lib/policy-model.ts';
import type { Part } from './part.ts';
import { perSecond, ratioOf, type Series, takeTurns } from './rounds.ts';
import { bareGetItem } from './twins/bare-get-item.ts';
import { getItemFor, type World } from './world.ts';

const THINGS = 100;

/** 300 routes of 100 kinds of thing, each with a scope of its own to read it. */
const routes: RouteScopes = Object.fromEntries(
  Array.from({ length: THINGS }, (_, n): [string, string[]][] => [
    [`GET /things${n}`, [`things${n}:read`]],
    [`GET /things${n}/{id}`, [`things${n}:read`]],
    [`POST /things${n}/{id}/close`, [`things${n}:close`]],
  ]).flat(),
);
const oneScope = ['things0:read'];
const manyScopes = Array.from({ length: THINGS }, (_, n) => `things${n}:read`);

/** A key with 100 scopes on an API with 300 routes: compiling its policy, and its whole decision with caching. */
export async function manyScopesOnManyRoutes(world: World, { rounds = 15 } = {}): Promise<Part> {
  Object.assign(process.env, world.env);
  const { handler } = await import('../functions/authorizer.ts');
  const hash = await world.addRoutes(routes);
  const keys = [await world.addKey(oneScope), await world.addKey(manyScopes)] as const;
  const eventOf = (key: string) => {
    const event = authorizerEvent({
      resource: '/things0',
      headers: { 'x-api-key': [key] },
      routesHash: hash,
    });
    Object.assign(event.stageVariables ?? {}, { rekeyCacheHeader: 'x-api-key' });
    return event;
  };
  let call = 0;
  const compiled = (scopes: () => string[]) => () => {
    if (!compilePolicy(routes, scopes(), STAGE_ARN).policyDocument) throw new Error('the routes clash');
  };
  const started = performance.now();
  compiled(() => manyScopes)();
  const first = performance.now() - started;

  const milliseconds = (act: () => unknown) => async () => 1000 / (await perSecond(act));
  const decided = (key: string) => {
    const event = eventOf(key);
    return milliseconds(() => handler(event));
  };
  const [inputOne, inputMany] = [await getItemFor(keys[0]), await getItemFor(keys[1])];
  const taken = await takeTurns(
    {
      'policy for 100 scopes': milliseconds(compiled(() => manyScopes)),
      // Nothing is remembered but what is known of the routes.
      'policy for 100 scopes never seen': milliseconds(
        compiled(() => manyScopes.with(call % THINGS, `other${call++}:read`)),
      ),
      'decision, 1 scope': decided(keys[0]),
      'decision, 100 scopes': decided(keys[1]),
      'bare GetItem, 1 scope': milliseconds(() => bareGetItem(inputOne)),
      'bare GetItem, 100 scopes': milliseconds(() => bareGetItem(inputMany)),
    },
    { rounds },
  );
  const [kept, fresh, ofOne, ofMany, readOne, readMany] = Object.values(taken) as [
    Series,
    Series,
    Series,
    Series,
    Series,
    Series,
  ];
  return {
    name: 'many scopes',
    unit: 'ms, 300 routes',
    series: Object.values(taken),
    targets: [
      { name: 'policy for 100 scopes, ms warm', value: kept.median, atMost: 1 },
      { name: 'policy for 100 scopes never seen, ms', value: fresh.median },
      { name: 'first policy of a table, ms', value: first },
      { name: 'decision with 100 scopes ÷ with 1', ratio: ratioOf('100 ÷ 1', ofMany, ofOne), atMost: 1.2 },
      { name: 'bare GetItem of the same two keys', ratio: ratioOf('100 ÷ 1', readMany, readOne) },
    ],
  };
}
