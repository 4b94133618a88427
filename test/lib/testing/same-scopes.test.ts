import { describe, expect, it } from '@jest/globals';
import middy from '@middy/core';
import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { RequiresScope, requiresScope } from '../../../lib/requires-scope/index.ts';
import { demandSameScopes, type Handlers, routesIn } from '../../../lib/testing/index.ts';

const mayRead = requiresScope('a:read');
const plain = async (event: APIGatewayProxyEvent) => {
  mayRead(event);
  throw new Error('the body ran');
};
const middleware = middy(async () => {
  throw new Error('the body ran');
}).use(requiresScope('a:read', 'b:read') as never);
class Decorated {
  @RequiresScope({ anyOf: [['b:read', 'c:read'], ['a:read']] })
  async get(_: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
    throw new Error('the body ran');
  }
}
const decorated = (event: APIGatewayProxyEvent) => new Decorated().get(event);
/** One function for two routes. */
const byRoute = async (event: APIGatewayProxyEvent) =>
  (event.httpMethod === 'GET' ? mayRead : requiresScope('a:write'))(event);

describe('routes and handlers', () => {
  it('agree, whichever way the handler asks, and nothing behind the check is run', async () => {
    await demandSameScopes(
      {
        'GET /a': ['a:read'],
        'GET /b': ['b:read', 'a:read'],
        'GET /c': [['a:read'], ['c:read', 'b:read']],
        'GET /d': [['a:read']],
        'GET /e': ['a:read'],
        'PUT /e': ['a:write'],
        publish: ['a:read'],
      },
      {
        'GET /a': plain,
        'GET /b': middleware as never,
        'GET /c': decorated,
        'GET /d': plain,
        'GET /e': byRoute,
        'PUT /e': byRoute,
        publish: plain,
      },
    );
  });

  it('agree where the route leaves it to the handler', async () => {
    await demandSameScopes({ 'GET /a': [[]] }, { 'GET /a': plain });
  });

  it.each<[string, string[] | string[][], Handlers[string], string]>([
    ['other scopes', ['a:write'], plain, 'GET /a needs a:write, and its handler asks for a:read'],
    [
      'more',
      ['a:read'],
      middleware as never,
      'GET /a needs a:read, and its handler asks for a:read and b:read',
    ],
    [
      'one of several',
      [['a:read'], ['b:read']],
      plain,
      'GET /a needs a:read or b:read, and its handler asks for a:read',
    ],
    ['something of everybody', [], plain, 'GET /a is public, and its handler asks for a:read'],
    ['nothing', ['a:read'], async () => ({ statusCode: 200 }), 'GET /a: its handler asks for no scope'],
  ])('disagree where the handler asks for %s', async (_, needed, handler, message) => {
    await expect(demandSameScopes({ 'GET /a': needed }, { 'GET /a': handler })).rejects.toThrow(message);
  });

  it('disagree about a route that is not declared, and all of it is told at once', async () => {
    const disagreement = demandSameScopes({ 'GET /a': ['a:write'] }, { 'GET /a': plain, 'GET /b': plain });
    await expect(disagreement).rejects.toThrow(/GET \/a needs a:write.*\nGET \/b is not declared$/s);
  });

  it('are not compared where the handler fails before it asks', async () => {
    const broken = async () => {
      throw new Error('no table');
    };
    await expect(demandSameScopes({ 'GET /a': ['a:read'] }, { 'GET /a': broken })).rejects.toThrow(
      'no table',
    );
  });
});

describe('the routes in a template', () => {
  const registration = (routes: object) => ({
    Type: 'Custom::RekeyRoutes',
    Properties: { Routes: JSON.stringify(routes) },
  });

  it('are those that it registers', () => {
    const Resources = {
      A: registration({ 'GET /a': ['a:read'] }),
      B: registration({ 'GET /a': ['a:read'], 'GET /b': [] }),
      C: { Type: 'AWS::SNS::Topic' },
    };
    expect(routesIn({ Resources })).toEqual({ 'GET /a': ['a:read'], 'GET /b': [] });
  });

  it('are none where it registers none, or the same in two ways', () => {
    expect(() => routesIn({})).toThrow('registers no routes');
    const Resources = { A: registration({ 'GET /a': ['a:read'] }), B: registration({ 'GET /a': [] }) };
    expect(() => routesIn({ Resources })).toThrow('GET /a is declared by two APIs');
  });
});
