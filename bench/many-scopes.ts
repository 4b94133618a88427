import { compilePolicy } from '../lib/policy-compiler.ts';
import type { RouteScopes } from '../lib/routes.ts';
import { authorizerEvent } from '../test/lib/authorizer-event.ts';
import { STAGE_ARN } from '../test/lib/policy-model.ts';
import type { Part } from './part.ts';
import { perSecond, ratioOf, takeTurns } from './rounds.ts';
import type { World } from './world.ts';

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
  const eventOf = async (scopes: string[]) => {
    const headers = { 'x-api-key': [await world.addKey(scopes)] };
    const event = authorizerEvent({ resource: '/things0', headers, routesHash: hash });
    Object.assign(event.stageVariables ?? {}, { rekeyCacheHeader: 'x-api-key' });
    return event;
  };
  const [one, many] = [await eventOf(oneScope), await eventOf(manyScopes)];
  // Other scopes at each call, so that nothing but what is known of the routes is remembered.
  let call = 0;
  const compiled = () => {
    const scopes = manyScopes.with(call % THINGS, `other${call++}:read`);
    if (!compilePolicy(routes, scopes, STAGE_ARN).policyDocument) throw new Error('the routes clash');
  };
  const started = performance.now();
  compiled();
  const first = performance.now() - started;

  const milliseconds = async () => 1000 / (await perSecond(compiled));
  const decided = (event: typeof one) => async () => 1000 / (await perSecond(() => handler(event)));
  const names = { compile: 'policy for 100 scopes', one: 'decision, 1 scope', many: 'decision, 100 scopes' };
  const taken = await takeTurns(
    { [names.compile]: milliseconds, [names.one]: decided(one), [names.many]: decided(many) },
    { rounds },
  );
  const [compile, ofOne, ofMany] = [names.compile, names.one, names.many].map((name) => taken[name]);
  if (!compile || !ofOne || !ofMany) throw new Error('a contender is missing');
  return {
    name: 'many scopes',
    unit: 'ms, 300 routes',
    series: [compile, ofOne, ofMany],
    targets: [
      { name: 'compiling for 100 scopes, ms warm', value: compile.median, atMost: 1 },
      { name: 'decision with 100 scopes ÷ with 1', ratio: ratioOf('100 ÷ 1', ofMany, ofOne), atMost: 1.2 },
      { name: 'first policy of a table, ms', value: first },
    ],
  };
}
