import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compilePolicy, findClashes } from '../../lib/policy-compiler.ts';
import { type RouteScopes, validateRoutes } from '../../lib/routes.ts';
import { evaluate, type Request, STAGE_ARN, truthsOf } from './policy-model.ts';

/** Requests whose decision and policy are compared; `npm run test:deep` asks for a million. */
const CASES = Number(process.env['REKEY_POLICY_CASES'] ?? 100_000);
const REQUESTS = 16;

/** Few texts, so that routes meet in every way: at every depth, as prefixes, and where `{id}` takes a text. */
const segment = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'ab', 'a.b') },
  { weight: 3, arbitrary: fc.constant('{}') },
);
const declaredPath = fc
  .record({
    segments: fc.array(segment, { maxLength: 4 }),
    greedy: fc.constantFrom(false, false, false, true),
  })
  .map(({ segments, greedy }) => {
    const named = segments.map((part, index) => (part === '{}' ? `{p${index}}` : part));
    return `/${[...named, ...(greedy ? ['{rest+}'] : [])].join('/')}`;
  });
const method = fc.constantFrom('GET', 'GET', 'GET', 'POST', 'OPTIONS', 'ANY');
const required = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(['a:r'], ['a:w'], ['b:r'], ['a:r', 'b:r']) },
  { weight: 1, arbitrary: fc.constant([]) },
);
const table = fc
  .array(fc.tuple(method, declaredPath, required), { minLength: 1, maxLength: 7 })
  .chain((entries) =>
    fc.constantFrom(false, false, false, false, true).map((rest): RouteScopes => {
      const routes = validateRoutes(
        Object.fromEntries(entries.map(([verb, path, scopes]) => [`${verb} ${path}`, scopes])),
      );
      return rest ? { ...routes, $default: ['b:r'] } : routes;
    }),
  );
const grants = fc.uniqueArray(
  fc.constantFrom('a:r', 'a:w', 'b:r', 'a:*', '*:r', 'b:*', '*:*', 'c:c', 'A:r'),
  { maxLength: 3 },
);

const value = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'ab', 'a.b', 'aXb', '1') },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...['', 'A', 'a%2Fb', '%61', 'a%2fa', '*', '?', '?*', '${*}', '${aws:username}', '$', '..', '.', 'a:b'],
      ...['{}', '{id}', '+', '%', 'a,b', "a'b", '\u{1F511}', ' ', 'a b', '%00', 'undefined', '__proto__'],
    ),
  },
);
const requestFor = (routes: RouteScopes): fc.Arbitrary<Request> => {
  const declared = Object.keys(routes).map((name) => name.slice(name.indexOf(' ') + 1));
  // Mostly what a route takes, then bent: a part more or less, another text, slashes at the end.
  const path = fc
    .record({
      template: fc.constantFrom(...declared),
      values: fc.array(value, { minLength: 6, maxLength: 6 }),
      bent: fc.constantFrom('', '', '', 'more', 'less', 'text', 'case'),
      end: fc.constantFrom('', '', '', '', '/', '//', '/*', '/?'),
    })
    .map(({ template, values, bent, end }) => {
      const parts = (template.startsWith('/') ? template : '/{rest+}')
        .slice(1)
        .split('/')
        .flatMap((part, index) => {
          if (part.endsWith('+}')) return values.slice(index, index + 1 + ((values[5]?.length ?? 0) % 3));
          return part.startsWith('{') ? [values[index] ?? '1'] : [part];
        });
      if (bent === 'more') parts.push(values[5] ?? '');
      if (bent === 'less') parts.pop();
      if (bent === 'text') parts[(values[4]?.length ?? 0) % Math.max(parts.length, 1)] = values[3] ?? '';
      const joined = bent === 'case' ? parts.join('/').toUpperCase() : parts.join('/');
      // API Gateway takes the slashes behind the stage for one.
      return `/${joined}${end}`.replace(/^\/+/, '/');
    });
  return fc.record({
    method: fc.constantFrom('GET', 'GET', 'GET', 'POST', 'OPTIONS', 'DELETE', 'HEAD'),
    path,
  });
};

const cases = table.chain((routes) =>
  fc.record({
    routes: fc.constant(routes),
    scopes: grants,
    requests: fc.array(requestFor(routes), { minLength: REQUESTS, maxLength: REQUESTS }),
  }),
);

describe('a compiled policy', () => {
  it(
    `says of ${CASES.toLocaleString('en')} requests what a fresh decision says`,
    () => {
      let compared = 0;
      let clashed = 0;
      let runs = 0;
      const property = fc.property(cases, ({ routes, scopes, requests }) => {
        runs++;
        const { policyDocument, clashes } = compilePolicy(routes, scopes, STAGE_ARN);
        if (clashes) {
          clashed++;
          // Whoever attaches such an API with caching is told, whatever the scopes.
          expect(findClashes(routes)).not.toEqual([]);
          return;
        }
        for (const request of requests) {
          const allowed = evaluate(policyDocument, request);
          const truths = truthsOf(routes, scopes, request).filter((truth) => truth !== 'not asked');
          for (const truth of truths) {
            if (allowed !== (truth === 'allowed'))
              throw new Error(
                `${request.method} ${request.path} is ${truth}, and the policy says ${allowed ? 'Allow' : 'Deny'}: ${JSON.stringify(policyDocument)}`,
              );
          }
          if (truths.length > 0) compared++;
        }
      });
      while (compared < CASES) fc.assert(property, { numRuns: Math.min(500, Math.ceil(CASES / REQUESTS)) });
      // A compiler that gives up would compare nothing.
      expect(clashed / runs).toBeLessThan(0.25);
    },
    CASES * 5,
  );
});
