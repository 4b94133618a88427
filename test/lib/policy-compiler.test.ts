import { describe, expect, it } from '@jest/globals';
import { compilePolicy, findClashes } from '../../lib/policy-compiler.ts';
import type { RouteScopes } from '../../lib/routes.ts';
import { evaluate, STAGE_ARN, truthsOf } from './policy-model.ts';

const ORDERS: RouteScopes = {
  'GET /orders': ['orders:read'],
  'POST /orders': ['orders:write'],
  'GET /orders/{id}': ['orders:read'],
  'POST /orders/{id}/refund': ['orders:refund'],
  'GET /health': [],
};

/** Allowed and refused resources, from the method on. */
const resources = (routes: RouteScopes, scopes: string[]) => {
  const { policyDocument, clashes } = compilePolicy(routes, scopes, STAGE_ARN);
  if (clashes) return { clashes: clashes.map((clash) => clash.routes) };
  const of = (effect: string) =>
    policyDocument.Statement.filter(({ Effect }) => Effect === effect)
      .flatMap((statement) => ('Resource' in statement ? [statement.Resource ?? []].flat() : []))
      .map((resource) => String(resource).replace(`${STAGE_ARN}/`, ''))
      .sort();
  return { allow: of('Allow'), deny: of('Deny') };
};

const allows = (routes: RouteScopes, scopes: string[], method: string, path: string) =>
  evaluate(compilePolicy(routes, scopes, STAGE_ARN).policyDocument, { method, path });

describe('a compiled policy', () => {
  it('has a statement for what is allowed and one for what a star would take beyond it', () => {
    expect(resources(ORDERS, ['orders:read'])).toEqual({
      allow: ['GET/orders', 'GET/orders/*'],
      deny: ['GET/orders/*/?*'],
    });
  });

  it('refuses everything to a key that may call no route', () => {
    expect(resources(ORDERS, ['users:read'])).toEqual({ allow: [], deny: ['*'] });
  });

  it('refuses a declared route that lies under an allowed variable', () => {
    const routes = { 'GET /orders/{id}': ['orders:read'], 'GET /orders/{id}/refunds': ['refunds:read'] };
    expect(allows(routes, ['orders:read'], 'GET', '/orders/1')).toBe(true);
    expect(allows(routes, ['orders:read'], 'GET', '/orders/1/refunds')).toBe(false);
    expect(allows(routes, ['refunds:read'], 'GET', '/orders/1')).toBe(false);
    expect(allows(routes, ['refunds:read'], 'GET', '/orders/1/refunds')).toBe(true);
    expect(allows(routes, ['*:*'], 'GET', '/orders/1/refunds')).toBe(true);
    expect(findClashes(routes)).toEqual([]);
  });

  it('refuses a text where a variable is allowed, and the variable where a text is', () => {
    const routes = { 'GET /orders/{id}': ['orders:read'], 'GET /orders/export': ['orders:export'] };
    expect(allows(routes, ['orders:read'], 'GET', '/orders/export')).toBe(false);
    expect(allows(routes, ['orders:read'], 'GET', '/orders/export/')).toBe(false);
    expect(allows(routes, ['orders:read'], 'GET', '/orders/exports')).toBe(true);
    expect(allows(routes, ['orders:export'], 'GET', '/orders/export')).toBe(true);
    expect(allows(routes, ['orders:export'], 'GET', '/orders/1')).toBe(false);
  });

  it('refuses a route that was never declared wherever a resource can say so', () => {
    for (const path of ['/orders/1/secret', '/orders/1/refund/all', '/secret', '/', '/orders//1', '/ORDERS'])
      expect([path, allows(ORDERS, ['*:*'], 'GET', path)]).toEqual([path, false]);
    for (const method of ['DELETE', 'OPTIONS', 'HEAD'])
      expect(allows(ORDERS, ['*:*'], method, '/orders')).toBe(false);
  });

  it('takes an encoded slash for a part of the value, as API Gateway does', () => {
    expect(allows(ORDERS, ['orders:read'], 'GET', '/orders/1%2F2')).toBe(true);
    expect(allows(ORDERS, ['orders:refund'], 'POST', '/orders/1%2F2/refund')).toBe(true);
    expect(allows(ORDERS, ['orders:refund'], 'POST', '/orders/1%2Frefund')).toBe(false);
  });

  it('writes what all methods have in common once, if nothing is declared where the star reaches', () => {
    expect(resources({ 'ANY /{path+}': ['a:r'] }, ['a:r'])).toEqual({ allow: ['*/?*'], deny: [] });
    expect(resources({ 'ANY /a': ['a:r'] }, ['a:r'])).toEqual({
      allow: ['*/a', '*/a/'],
      deny: ['*/?*/a', '*/?*/a/'],
    });
    const { allow } = resources({ 'ANY /a': ['a:r'], 'GET /b/a': ['b:r'] }, ['a:r']);
    expect(allow).toContain('GET/a');
    expect(allow).not.toContain('*/a');
  });

  it('takes $default for whatever nothing else takes, the root among it', () => {
    const routes = { $default: ['a:r'], 'GET /admin/{rest+}': ['b:r'] };
    expect(allows(routes, ['a:r'], 'GET', '/')).toBe(true);
    expect(allows(routes, ['a:r'], 'PUT', '/admin/1')).toBe(true);
    expect(allows(routes, ['a:r'], 'GET', '/admin')).toBe(true);
    expect(allows(routes, ['a:r'], 'GET', '/admin/1')).toBe(false);
  });

  it('is for $connect of a WebSocket API', () => {
    const routes = { $connect: ['feed:read'] };
    expect(resources(routes, ['feed:read'])).toEqual({ allow: ['$connect'], deny: [] });
    expect(resources(routes, ['feed:write'])).toEqual({ allow: [], deny: ['*'] });
  });

  it('never asks a public route for a scope, nor allows what lies around it', () => {
    const routes = { 'GET /{id}': ['a:r'], 'GET /health': [], 'GET /{id}/x': ['b:r'] };
    expect(resources(routes, ['a:r'])).toEqual({ allow: ['GET/?*'], deny: ['GET/*/?*'] });
  });

  it('ends when the key does, wherever it is kept', () => {
    const { policyDocument } = compilePolicy(ORDERS, ['*:*'], STAGE_ARN, '2026-11-24T12:00:00.999Z');
    const request = { method: 'GET', path: '/orders' };
    expect(evaluate(policyDocument, request, '2026-11-24T11:59:59Z')).toBe(true);
    expect(evaluate(policyDocument, request, '2026-11-24T12:00:00Z')).toBe(false);
    expect(evaluate(policyDocument, request, '2026-11-24T12:00:01Z')).toBe(false);
  });
});

describe('routes that no policy tells apart', () => {
  const CLASH: RouteScopes = {
    'GET /orders/{id}': ['orders:read'],
    'GET /orders/{id}/refunds': ['refunds:read'],
    'GET /orders/{id}/items/refunds': ['orders:read'],
  };

  it('are named, in a sentence', () => {
    const [clash] = compilePolicy(CLASH, ['orders:read'], STAGE_ARN).clashes ?? [];
    expect(clash?.routes).toEqual(['GET /orders/{id}/refunds', 'GET /orders/{id}/items/refunds']);
    expect(clash?.message).toBe(
      "Answers of the authorizer can't be cached for this API: no IAM policy refuses GET /orders/{id}/refunds and allows GET /orders/{id}/items/refunds, because a * of IAM crosses slashes. Give both the same scopes, change one of the paths, or do without caching.",
    );
    expect(findClashes(CLASH)).toEqual([clash]);
  });

  it('do not matter to a key that may call both, or neither', () => {
    expect(compilePolicy(CLASH, ['*:read'], STAGE_ARN).clashes).toBeUndefined();
    expect(compilePolicy(CLASH, ['refunds:read'], STAGE_ARN).clashes).toBeUndefined();
  });

  it('are no clash when a key that may call the one may always call the other', () => {
    expect(findClashes({ ...CLASH, 'GET /orders/{id}/refunds': ['orders:read'] })).toEqual([]);
  });

  it('are two of which API Gateway does not say which one it picks', () => {
    const routes = { 'GET /a/{rest+}': ['a:r'], 'GET /{x}/b': ['b:r'] };
    expect(findClashes(routes).map((clash) => clash.routes)).toContainEqual(['GET /{x}/b', 'GET /a/{rest+}']);
  });

  it('are a greedy path with empty parts and a variable that takes none', () => {
    const routes = { 'GET /{rest+}': ['a:r'], 'GET /a/{id}/{rest+}': ['b:r'] };
    expect(compilePolicy(routes, ['a:r'], STAGE_ARN).clashes).toMatchObject([
      { routes: ['GET /a/{id}/{rest+}', 'GET /{rest+}'] },
    ]);
  });

  it('may be a path for which API Gateway takes no resource', () => {
    const path = `/${'a'.repeat(460)}`;
    expect(compilePolicy({ [`GET ${path}`]: ['a:r'] }, ['a:r'], STAGE_ARN).clashes).toMatchObject([
      { code: 'resource_too_long', routes: [`GET ${path}`] },
    ]);
    expect(findClashes({ [`GET ${path}`]: ['a:r'] })).toMatchObject([{ code: 'resource_too_long' }]);
    expect(findClashes({ 'GET /a': ['a:r'] })).toEqual([]);
  });

  it('may be too many', () => {
    const routes = Object.fromEntries(
      Array.from({ length: 500 }, (_, n) => [`GET /${'a'.repeat(100)}${n}`, ['a:r']]),
    );
    expect(findClashes(routes, STAGE_ARN)).toMatchObject([{ code: 'policy_too_large' }]);
    expect(compilePolicy(routes, ['a:r'], STAGE_ARN).clashes).toMatchObject([{ code: 'policy_too_large' }]);
  });
});

/** What the property test found while the compiler was written or was broken on purpose, shrunk. */
const FOUND: [what: string, routes: RouteScopes, scopes: string[], method: string, path: string][] = [
  [
    'two slashes at the end are not a value',
    { 'ANY /{p}': ['a:r'], 'GET /a/{q}': ['b:r'] },
    ['b:*'],
    'GET',
    '/a//',
  ],
  [
    'two slashes at the end of a greedy path are not its value',
    { 'GET /a/{rest+}': ['a:r'], $default: ['b:r'] },
    ['a:r'],
    'GET',
    '/a//',
  ],
  [
    'two slashes at the end are refused, though a star crosses the slashes before them',
    { 'GET /{p0}/{p1}/a/{rest+}': ['a:w'], 'GET /a.b/{p1}/ab/a': ['b:r'] },
    ['a:w'],
    'GET',
    '/a.b/a/ab/a//',
  ],
  [
    'a star for the method is not a part of the path',
    { 'ANY /': ['a:w'], 'GET /b/ab/ab': ['a:r'], $default: ['b:r'] },
    ['*:r'],
    'GET',
    '/b/ab/ab',
  ],
  ['a method of its own goes before ANY', { 'GET /': ['a:r'], 'ANY /': [] }, ['a:r'], 'GET', '/'],
];

describe('a case that was wrong once', () => {
  it.each(FOUND)('%s', (_what, routes, scopes, method, path) => {
    const { policyDocument, clashes } = compilePolicy(routes, scopes, STAGE_ARN);
    const truths = truthsOf(routes, scopes, { method, path }).filter((truth) => truth !== 'not asked');
    expect(truths).not.toEqual([]);
    for (const truth of truths)
      expect([clashes, evaluate(policyDocument, { method, path })]).toEqual([undefined, truth === 'allowed']);
  });
});
