import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import * as module from '../../lib/problem.ts';

const {
  AlreadyRotated,
  ApiChanged,
  ApiLimit,
  ApiOfStack,
  EnvironmentForbidden,
  IdempotencyKeyReused,
  IdempotencyKeyUsed,
  InsufficientScope,
  InternalError,
  InvalidCursor,
  InvalidRequest,
  InvalidSignature,
  InvalidToken,
  KeyExpired,
  KeyRevoked,
  KeyRotated,
  NotFound,
  NotRotated,
  OwnerForbidden,
  PayloadTooLarge,
  PendingSuccessor,
  Problem,
  problems,
  ScopeEscalation,
  ScopeInUse,
  SuccessorUsed,
  toProblem,
  toResponse,
  Unavailable,
  UnknownScope,
  UnsupportedMediaType,
  WebhookEndpointDisabled,
  WebhookEndpointLimit,
  WebhookUrlRefused,
} = module;

const ID = 'key_035OVLf5NbCkftOoCXHY41';
const all = [
  new InvalidRequest([{ pointer: '/name', detail: 'must be a string' }]),
  new InvalidCursor(),
  new InvalidSignature(),
  new InvalidToken(),
  new InsufficientScope(['orders:write']),
  new ScopeEscalation(['*:*']),
  new OwnerForbidden(),
  new EnvironmentForbidden(),
  new NotFound(),
  new AlreadyRotated(ID),
  new PendingSuccessor(ID),
  new NotRotated(),
  new SuccessorUsed(ID),
  new KeyRotated(ID),
  new KeyRevoked(),
  new KeyExpired(),
  new IdempotencyKeyUsed(ID),
  new PayloadTooLarge(16_384),
  new UnsupportedMediaType(),
  new IdempotencyKeyReused(),
  new InternalError(),
  new Unavailable(),
  new WebhookEndpointLimit(20),
  new WebhookEndpointDisabled(),
  new WebhookUrlRefused('https_only', 'Use a URL that begins with https://.'),
  new ApiOfStack('stack:123456789012/Orders'),
  new ApiChanged(3),
  new ApiLimit(100),
  new ScopeInUse([{ scope: 'orders:read', active_keys: 2 }]),
  new UnknownScope([{ scope: 'order:read', did_you_mean: 'orders:read' }]),
];
const bodyOf = (problem: module.Problem) => JSON.parse(toResponse(problem, 'request-1').body);

describe('every problem', () => {
  it('has one class, and every class one problem', () => {
    expect(all.map(({ code }) => code).sort()).toEqual(Object.keys(problems).sort());
    const classes = Object.values(module).filter(
      (value) => typeof value === 'function' && value.prototype instanceof Problem,
    );
    expect(new Set(classes)).toEqual(new Set(all.map((problem) => problem.constructor)));
  });

  it.each(all.map((problem) => [problem.code, problem] as const))(
    '%s is answered as RFC 9457 says',
    (code, problem) => {
      const { statusCode, headers, body } = toResponse(problem, 'request-1');
      expect(statusCode).toBe(problems[code].status);
      expect(headers).toMatchObject({
        'content-type': 'application/problem+json',
        'cache-control': 'no-store',
      });
      expect(JSON.parse(body)).toMatchObject({
        type: `urn:rekey:problem:${code}`,
        title: problems[code].title,
        status: problems[code].status,
        request_id: 'request-1',
      });
      // A sentence or more that says what to do.
      expect(JSON.parse(body).detail).toMatch(/^[A-Z].{20,}\.$/);
    },
  );

  it('is described in docs/problems.md, with its status, and no other is', () => {
    const page = readFileSync(new URL('../../docs/problems.md', import.meta.url), 'utf8');
    const [own] = page.split('## From API Gateway itself');
    const rows = [...own!.matchAll(/^\| `(\w+)` \| (\d{3}) \| (.+) \| (.+) \|$/gm)];
    expect(rows.map(([, code, status]) => [code, Number(status)]).sort()).toEqual(
      Object.entries(problems)
        .map(([code, { status }]) => [code, status])
        .sort(),
    );
    for (const problem of all) {
      const row = rows.find(([, code]) => code === problem.code)![0];
      for (const member of Object.keys(problem.extensions)) expect(row).toContain(member);
    }
  });
});

describe('a problem says what its reader needs', () => {
  it('the fields that are wrong', () => {
    const errors = [{ pointer: '/name', detail: 'must be a string' }];
    expect(bodyOf(new InvalidRequest(errors)).errors).toEqual(errors);
  });

  it('the scopes that are missing or too much, in a list and in the sentence', () => {
    const lacking = bodyOf(new InsufficientScope(['orders:write', 'a:b']));
    expect(lacking.missing_scopes).toEqual(['orders:write', 'a:b']);
    expect(lacking.detail).toContain('orders:write, a:b');
    const escalating = bodyOf(new ScopeEscalation(['*:*']));
    expect(escalating.excess_scopes).toEqual(['*:*']);
    expect(escalating.detail).toContain('*:*');
  });

  it('the successor of a rotated key', () => {
    for (const problem of [new AlreadyRotated(ID), new KeyRotated(ID)]) {
      expect(bodyOf(problem)).toMatchObject({ successor_key_id: ID, detail: expect.stringContaining(ID) });
    }
  });

  it('how long to wait', () => {
    expect(toResponse(new Unavailable(3), 'r').headers).toMatchObject({ 'retry-after': '3' });
  });

  it('the challenge that RFC 6750 wants with 401 and 403', () => {
    const challenge = (problem: module.Problem) => toResponse(problem, 'r').headers?.['www-authenticate'];
    expect(challenge(new InvalidToken())).toBe('Bearer error="invalid_token"');
    expect(challenge(new InsufficientScope(['a:b']))).toBe('Bearer error="insufficient_scope"');
  });
});

describe('an unexpected error', () => {
  it('is answered without a word of what happened', () => {
    const error = new TypeError('cannot read rk_live_secret of table Rekey-Table');
    const { statusCode, headers, body } = toResponse(toProblem(error), 'request-1');
    expect(statusCode).toBe(500);
    expect(JSON.stringify([headers, body])).not.toMatch(/secret|table|cannot|TypeError/i);
    expect(JSON.parse(body).request_id).toBe('request-1');
  });

  it('keeps its cause for the log', () => {
    const error = new Error('the cause');
    expect(toProblem(error).cause).toBe(error);
    expect(inspect(toProblem(error))).toContain('the cause');
  });

  it.each([undefined, null, 'text', 7, { status: 200, code: 'valid' }])(
    'may be anything that was thrown: %j',
    (thrown) => {
      expect(toProblem(thrown).status).toBe(500);
    },
  );

  it('does not show the cause of a 503 either', () => {
    expect(
      toResponse(new Unavailable(1, new Error('ProvisionedThroughput of Rekey-Table')), 'r').body,
    ).not.toContain('Table');
  });
});

describe('problems', () => {
  it('are left as they are', () => {
    const problem = new KeyRevoked();
    expect(toProblem(problem)).toBe(problem);
    expect(problem).toBeInstanceOf(Error);
    expect(problem.name).toBe('KeyRevoked');
  });

  it('cannot have their standard members replaced by others', () => {
    const sneaky = new Problem('not_found', 'Not here, look elsewhere.', {
      extensions: { status: 200, type: 'x', request_id: 'x' },
      headers: { 'cache-control': 'public', 'content-type': 'text/html' },
    });
    expect(bodyOf(sneaky)).toMatchObject({
      status: 404,
      type: 'urn:rekey:problem:not_found',
      request_id: 'request-1',
    });
    expect(toResponse(sneaky, 'r').headers).toMatchObject({
      'cache-control': 'no-store',
      'content-type': 'application/problem+json',
    });
  });
});

describe('a JSON pointer', () => {
  it.each([
    [[], ''],
    [['scopes', 0], '/scopes/0'],
    [['metadata', 'a/b~c'], '/metadata/a~1b~0c'],
    [['metadata', ''], '/metadata/'],
  ])('of %j is %j', (path, pointer) => {
    expect(module.jsonPointer(path)).toBe(pointer);
  });
});
