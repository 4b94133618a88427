import { describe, expect, it, jest } from '@jest/globals';
import middy from '@middy/core';
import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import {
  InsufficientScope,
  InvalidToken,
  Problem,
  principalOf,
  RequiresScope,
  requiresScope,
  toResponse,
} from '../../lib/requires-scope/index.ts';

const CONTEXT = {
  key_id: 'key_0123456789abcdefghijkl',
  owner_id: 'team-billing',
  owner_access: 'own',
  environment: 'live',
  scopes: 'customers:* orders:read orders:write',
};
const PRINCIPAL = { ...CONTEXT, scopes: ['customers:*', 'orders:read', 'orders:write'] };

const rest = (context: unknown = { ...CONTEXT, principalId: CONTEXT.key_id, integrationLatency: 3 }) =>
  ({
    resource: '/orders',
    requestContext: { requestId: 'request-1', authorizer: context },
  }) as unknown as APIGatewayProxyEvent;

const http = (context: unknown = CONTEXT) => ({
  version: '2.0',
  requestContext: { requestId: 'request-1', authorizer: { lambda: context } },
});

const events = [
  ['a REST API', rest],
  ['an HTTP API, payload 2.0', http],
  ['an HTTP API, payload 1.0', (context: unknown = CONTEXT) => ({ ...rest(context), version: '1.0' })],
] as const;

describe.each(events)('behind %s', (_, event) => {
  it('the principal has the facts the authorizer gave', () => {
    expect(principalOf(event())).toEqual(PRINCIPAL);
    expect(requiresScope('orders:write')(event())).toEqual(PRINCIPAL);
  });

  it('a grant with a wildcard is enough', () => {
    expect(requiresScope('customers:read')(event()).key_id).toBe(CONTEXT.key_id);
  });

  it('all scopes are needed, and those that are missing are named', () => {
    expect(requiresScope('orders:read', 'orders:write')(event())).toEqual(PRINCIPAL);
    const check = requiresScope('orders:read', 'orders:refund', 'refunds:write');
    expect(() => check(event())).toThrow(InsufficientScope);
    expect(() => check(event())).toThrow(
      expect.objectContaining({
        status: 403,
        code: 'insufficient_scope',
        extensions: { missing_scopes: ['orders:refund', 'refunds:write'] },
      }),
    );
  });

  const contexts: [string, unknown][] = [
    ['none', null],
    ['text', 'orders:write'],
    ['a list', [CONTEXT]],
    ['an empty one', {}],
    ...Object.keys(CONTEXT).map((name): [string, unknown] => [
      `one without ${name}`,
      { ...CONTEXT, [name]: undefined },
    ]),
    ['scopes as a list', { ...CONTEXT, scopes: ['orders:write'] }],
    ['no scopes', { ...CONTEXT, scopes: '' }],
    ['a scope with another separator', { ...CONTEXT, scopes: 'orders:write,orders:read' }],
    ['two spaces between scopes', { ...CONTEXT, scopes: 'orders:write  orders:read' }],
    ['101 scopes', { ...CONTEXT, scopes: Array(101).fill('orders:write').join(' ') }],
    ['an unknown access', { ...CONTEXT, owner_access: 'true' }],
    ['an unknown environment', { ...CONTEXT, environment: 'LIVE' }],
    ['an id that is none', { ...CONTEXT, key_id: 'admin' }],
    ['an owner that is a number', { ...CONTEXT, owner_id: 7 }],
    ['one that is only inherited', Object.create(CONTEXT)],
  ];
  it.each(contexts)('the context of another authorizer is a 401 and never a principal: %s', (_, context) => {
    expect(() => principalOf(event(context))).toThrow(InvalidToken);
    expect(() => requiresScope('orders:write')(event(context))).toThrow(InvalidToken);
  });
});

describe('an event without a context', () => {
  it.each([
    ['no authorizer', { requestContext: {} }],
    ['no request context', {}],
    ['a JWT authorizer', { version: '2.0', requestContext: { authorizer: { jwt: { claims: CONTEXT } } } }],
    [
      'a 2.0 event with the context of a REST API',
      { version: '2.0', requestContext: { authorizer: CONTEXT } },
    ],
    ['a REST event with the context of payload 2.0', { requestContext: { authorizer: { lambda: CONTEXT } } }],
  ])('is a 401: %s', (_, event) => {
    expect(() => principalOf(event as ReturnType<typeof rest>)).toThrow(InvalidToken);
  });
});

describe('with anyOf', () => {
  const check = requiresScope({
    anyOf: [
      ['refunds:read', 'orders:refund'],
      ['orders:read', 'refunds:write'],
    ],
  });
  const holding = (scopes: string) => rest({ ...CONTEXT, scopes });

  it('one list of scopes, held whole, is enough', () => {
    expect(check(holding('refunds:read orders:refund')).owner_id).toBe('team-billing');
    expect(check(holding('refunds:write orders:*')).owner_id).toBe('team-billing');
  });

  it('half of each is not, and what is missing is that of the list that lacks the fewest', () => {
    const missing = (scopes: string) => {
      try {
        return check(holding(scopes));
      } catch (error) {
        return (error as InsufficientScope).extensions['missing_scopes'];
      }
    };
    expect(missing('refunds:read orders:read')).toEqual(['orders:refund']);
    expect(missing('refunds:write')).toEqual(['orders:read']);
  });

  it.each([[[]], [[[]]], [[['a:read'], []]], [[['a:*']]], [['a:read']]])('%j is not taken', (anyOf) => {
    expect(() => requiresScope({ anyOf: anyOf as string[][] })).toThrow(TypeError);
  });
});

describe('a requirement', () => {
  it.each([
    'orders:*',
    '*:write',
    '*:*',
    'orders',
    'orders:',
    'Orders:write',
    'orders:write ',
    'a:b c:d',
    '',
  ])('that is not like orders:write fails when the module is loaded (%j)', (scope) => {
    expect(() => requiresScope(scope)).toThrow(TypeError);
    expect(() => requiresScope('orders:read', scope)).toThrow(TypeError);
    expect(() => RequiresScope(scope)).toThrow(TypeError);
  });

  it('must be there', () => {
    expect(() => (requiresScope as () => unknown)()).toThrow('at least one');
    expect(() => (RequiresScope as () => unknown)()).toThrow('at least one');
  });
});

const created: APIGatewayProxyResult = { statusCode: 201, body: '{}' };
const context = { getRemainingTimeInMillis: () => 1_000 } as never;

class Orders {
  readonly made: string[] = [];

  @RequiresScope('orders:write')
  async create(event: APIGatewayProxyEvent, note?: string): Promise<APIGatewayProxyResult> {
    this.made.push(`${event.resource} ${note}`);
    return created;
  }

  @RequiresScope('orders:refund')
  async refund(_: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
    throw new Error('this must not run');
  }

  @RequiresScope('orders:write')
  async fail(_: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
    throw new InsufficientScope(['of:another']);
  }
}

const answered = (response: unknown) => {
  const { statusCode, headers, body } = response as APIGatewayProxyResult;
  return { statusCode, headers, body: JSON.parse(body) };
};

const forbidden = {
  statusCode: 403,
  headers: {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'www-authenticate': expect.stringContaining('error="insufficient_scope"'),
  },
  body: {
    type: 'urn:rekey:problem:insufficient_scope',
    title: expect.any(String),
    status: 403,
    detail: expect.stringContaining('orders:refund'),
    missing_scopes: ['orders:refund'],
    request_id: 'request-1',
  },
};

const unauthorized = {
  statusCode: 401,
  headers: {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'www-authenticate': expect.stringContaining('error="invalid_token"'),
  },
  body: {
    type: 'urn:rekey:problem:invalid_token',
    title: expect.any(String),
    status: 401,
    detail: expect.any(String),
    request_id: 'request-1',
  },
};

describe('the middleware', () => {
  it('lets the handler run when the scopes are there', async () => {
    const handler = middy(async (event: APIGatewayProxyEvent) => ({
      ...created,
      body: principalOf(event).owner_id,
    }));
    handler.use(requiresScope('orders:write'));
    expect(await handler(rest(), context)).toEqual({ statusCode: 201, body: 'team-billing' });
  });

  it('answers 403 with the missing scopes, and the handler does not run', async () => {
    const inner = jest.fn(async (_: APIGatewayProxyEvent) => created);
    const handler = middy(inner).use(requiresScope('orders:write', 'orders:refund'));
    expect(answered(await handler(rest(), context))).toEqual(forbidden);
    expect(inner).not.toHaveBeenCalled();
  });

  it('answers 401 without a context, and the handler does not run', async () => {
    const inner = jest.fn(async (_: APIGatewayProxyEvent) => created);
    const handler = middy(inner).use(requiresScope('orders:write'));
    expect(answered(await handler(rest(null), context))).toEqual(unauthorized);
    expect(inner).not.toHaveBeenCalled();
  });

  it('does not answer a fault that is not about the key', () => {
    const { before } = requiresScope('orders:write');
    expect(() => before({ event: undefined as never })).toThrow(TypeError);
  });

  it('answers the same to an HTTP API', async () => {
    const handler = middy(async (_: ReturnType<typeof http>) => created).use(requiresScope('orders:refund'));
    expect(answered(await handler(http(), context))).toEqual(forbidden);
  });
});

describe('the decorator', () => {
  it('lets the method run on its object with all its arguments', async () => {
    const orders = new Orders();
    expect(await orders.create(rest(), 'gift')).toEqual(created);
    expect(orders.made).toEqual(['/orders gift']);
  });

  it('answers 403 with the missing scopes, and the method does not run', async () => {
    expect(answered(await new Orders().refund(rest()))).toEqual(forbidden);
  });

  it('answers 401 without a context', async () => {
    const orders = new Orders();
    expect(answered(await orders.create(rest(null)))).toEqual(unauthorized);
    expect(orders.made).toEqual([]);
  });

  it('leaves what the method throws to whoever calls it', async () => {
    await expect(new Orders().fail(rest())).rejects.toThrow('of:another');
  });

  it('makes a handler that Lambda takes: less than three parameters', () => {
    expect(new Orders().create.length).toBeLessThan(3);
  });

  it('belongs on a method only', () => {
    const decorate = RequiresScope('orders:write') as unknown as (
      value: unknown,
      context: unknown,
    ) => unknown;
    expect(() => decorate(class {}, { kind: 'class', name: 'Orders' })).toThrow(TypeError);
    // What TypeScript's older, experimental decorators pass.
    expect(() => decorate(Orders.prototype, 'create')).toThrow(TypeError);
  });
});

describe('the plain function', () => {
  it('throws a problem that toResponse answers as the middleware does', () => {
    const answer = (() => {
      try {
        return requiresScope('orders:refund')(rest());
      } catch (error) {
        if (error instanceof Problem) return toResponse(error, 'request-1');
        throw error;
      }
    })();
    expect(answered(answer)).toEqual(forbidden);
  });
});
