import { describe, expect, it } from '@jest/globals';
import { evaluatePolicies } from '../../local/iam.ts';

const table = 'arn:aws:dynamodb:us-east-1:000000000000:table/Keys';
const stage = 'arn:aws:execute-api:us-east-1:000000000000:abc123/v1/';
const principal = 'arn:aws:sts::000000000000:assumed-role/reader/session';

type Statement = Record<string, unknown>;
const policy = (...statements: Statement[]) => ({ Version: '2012-10-17', Statement: statements });
const allow = (Action: string, Resource: string | string[], Condition?: object): Statement => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...(Condition ? { Condition } : {}),
});
const invoke = (granted: string | string[], requested: string) =>
  evaluatePolicies({
    policies: [policy(allow('execute-api:Invoke', granted))],
    principal: 'key_someone',
    action: 'execute-api:Invoke',
    resource: requested,
  });
const ask = (
  statements: Statement[],
  action: string,
  resource = table,
  context: Record<string, string | string[]> = {},
) => evaluatePolicies({ policies: [policy(...statements)], principal, action, resource, context });

describe('policies of an authorizer', () => {
  it('allow the method they name, and no other', async () => {
    expect(await invoke(`${stage}GET/orders`, `${stage}GET/orders`)).toEqual({
      allowed: true,
      explicitDeny: false,
      reason: '',
    });
    expect(await invoke(`${stage}GET/orders`, `${stage}POST/orders`)).toMatchObject({ allowed: false });
  });

  it('tell upper from lower case', async () => {
    expect((await invoke(`${stage}GET/orders`, `${stage}GET/Orders`)).allowed).toBe(false);
    expect((await invoke(`${stage}GET/orders`, `${stage}get/orders`)).allowed).toBe(false);
  });

  it('take an asterisk for any characters, slashes too', async () => {
    expect((await invoke(`${stage}GET/*`, `${stage}GET/orders/1/refund`)).allowed).toBe(true);
    expect((await invoke('arn:aws:execute-api:*:*:*', `${stage}GET/orders`)).allowed).toBe(true);
  });

  it('do not take an asterisk in the request for a pattern', async () => {
    expect((await invoke(`${stage}GET/orders`, `${stage}GET/*`)).allowed).toBe(false);
    expect((await invoke(`${stage}GET/orders/*`, `${stage}GET/orders/*`)).allowed).toBe(true);
    expect((await invoke(`${stage}GET/\${*}`, `${stage}GET/*`)).allowed).toBe(true);
    expect((await invoke(`${stage}GET/\${*}`, `${stage}GET/orders`)).allowed).toBe(false);
    expect((await invoke(`${stage}GET/\${*}\${*}`, `${stage}GET/*\u{E000}`)).allowed).toBe(false);
  });

  it('take a dot, a bracket and a question mark in the request literally', async () => {
    expect((await invoke(`${stage}GET/a.b`, `${stage}GET/axb`)).allowed).toBe(false);
    expect((await invoke(`${stage}GET/a[b](c`, `${stage}GET/a[b](c`)).allowed).toBe(true);
    expect((await invoke(`${stage}GET/ab`, `${stage}GET/a?`)).allowed).toBe(false);
  });

  it('know the root of an API', async () => {
    expect((await invoke(`${stage}GET/`, `${stage}GET/`)).allowed).toBe(true);
    expect((await invoke(`${stage}POST/`, `${stage}GET/`)).allowed).toBe(false);
    expect((await invoke(`${stage}GET/x`, `${stage}GET/`)).allowed).toBe(false);
  });

  it('are refused when they are malformed', async () => {
    const broken = await evaluatePolicies({
      policies: [{ Version: '2012-10-17', Statement: [{ Effect: 'allow', Action: '*', Resource: '*' }] }],
      principal: 'key_someone',
      action: 'execute-api:Invoke',
      resource: `${stage}GET/orders`,
    });
    expect(broken).toMatchObject({ allowed: false, explicitDeny: false });
    expect(broken.reason).toContain('policy.errors');
    for (const nonsense of [null, 'x', {}, { Statement: null }]) {
      const decision = await evaluatePolicies({
        policies: [nonsense],
        principal: 'x',
        action: 'execute-api:Invoke',
        resource: `${stage}GET/`,
      });
      expect(decision.allowed).toBe(false);
    }
  });

  it('deny what an explicit deny names, whatever else allows it', async () => {
    const decision = await evaluatePolicies({
      policies: [
        policy(allow('execute-api:Invoke', `${stage}*`), {
          Effect: 'Deny',
          Action: 'execute-api:Invoke',
          Resource: `${stage}GET/orders`,
        }),
      ],
      principal: 'key_someone',
      action: 'execute-api:Invoke',
      resource: `${stage}GET/orders`,
    });
    expect(decision).toEqual({
      allowed: false,
      explicitDeny: true,
      reason: 'with an explicit deny in an identity-based policy',
    });
  });
});

describe('policies of a role', () => {
  it('allow nothing when there are none', async () => {
    const decision = await evaluatePolicies({
      policies: [],
      principal,
      action: 'dynamodb:GetItem',
      resource: table,
    });
    expect(decision).toEqual({
      allowed: false,
      explicitDeny: false,
      reason: 'because no identity-based policy allows the dynamodb:GetItem action',
    });
  });

  it('speak of an index only when they name it', async () => {
    const index = `${table}/index/by_owner`;
    expect((await ask([allow('dynamodb:Query', table)], 'dynamodb:Query', index)).allowed).toBe(false);
    expect((await ask([allow('dynamodb:Query', `${table}/index/*`)], 'dynamodb:Query', index)).allowed).toBe(
      true,
    );
    expect((await ask([allow('dynamodb:Query', `${table}/index/*`)], 'dynamodb:Query', table)).allowed).toBe(
      false,
    );
  });

  it('compare each of several leading keys', async () => {
    const own = [
      allow('dynamodb:GetItem', table, { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['key_*'] } }),
    ];
    const get = (keys: string[]) => ask(own, 'dynamodb:GetItem', table, { 'dynamodb:LeadingKeys': keys });
    expect((await get(['key_a', 'key_b'])).allowed).toBe(true);
    expect((await get(['key_a', 'secret_cursor'])).allowed).toBe(false);
    expect((await get(['secret_cursor'])).allowed).toBe(false);
  });

  it('do not remember an answer for another question', async () => {
    const own = (key: string) => [
      allow('dynamodb:GetItem', table, { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': [key] } }),
    ];
    const a = { 'dynamodb:LeadingKeys': ['a'] };
    expect((await ask(own('a'), 'dynamodb:GetItem', table, a)).allowed).toBe(true);
    expect((await ask(own('b'), 'dynamodb:GetItem', table, a)).allowed).toBe(false);
    expect((await ask(own('a'), 'dynamodb:GetItem', table, { 'dynamodb:LeadingKeys': ['b'] })).allowed).toBe(
      false,
    );
    expect((await ask(own('a'), 'dynamodb:PutItem', table, a)).allowed).toBe(false);
    expect((await ask(own('a'), 'dynamodb:GetItem', `${table}2`, a)).allowed).toBe(false);
  });

  it('notice a statement that was taken out of the same list', async () => {
    const policies = [policy(allow('dynamodb:GetItem', table))];
    const get = () => evaluatePolicies({ policies, principal, action: 'dynamodb:GetItem', resource: table });
    expect((await get()).allowed).toBe(true);
    policies[0]!.Statement.length = 0;
    policies[0]!.Statement.push(allow('dynamodb:PutItem', table));
    expect((await get()).allowed).toBe(false);
  });

  it('follow the clock where they name the time', async () => {
    const until = [
      allow('dynamodb:GetItem', table, { DateLessThan: { 'aws:CurrentTime': '2027-01-01T00:00:00Z' } }),
    ];
    const at = (time: string) => ask(until, 'dynamodb:GetItem', table, { 'aws:CurrentTime': time });
    expect((await at('2026-12-31T23:59:59Z')).allowed).toBe(true);
    expect((await at('2027-01-01T00:00:01Z')).allowed).toBe(false);
  });

  it('are refused where they hang on a condition key that has no value here', async () => {
    const conditional = [
      allow('dynamodb:GetItem', table, {
        'ForAllValues:StringEquals': { 'dynamodb:FullTableScan': ['false'] },
      }),
    ];
    const decision = await ask(conditional, 'dynamodb:GetItem');
    expect(decision.allowed).toBe(false);
    expect(decision.reason).toContain('dynamodb:fulltablescan');
    const variable = [allow('dynamodb:GetItem', 'arn:aws:dynamodb:*:*:table/${aws:username}')];
    expect((await ask(variable, 'dynamodb:GetItem')).reason).toContain('aws:username');
  });

  it('are not disturbed by the conditions of another service', async () => {
    const both = [
      allow('cloudwatch:PutMetricData', '*', { StringEquals: { 'cloudwatch:namespace': 'Rekey' } }),
      allow('dynamodb:GetItem', table),
    ];
    expect((await ask(both, 'dynamodb:GetItem')).allowed).toBe(true);
  });

  it('refuse an action that AWS does not have', async () => {
    expect((await ask([allow('*', '*')], 'dynamodb:FetchItem')).allowed).toBe(false);
  });

  it('are decided from memory quickly, also when only keys differ that no statement asks for', async () => {
    const statements = [allow('dynamodb:GetItem', table)];
    await ask(statements, 'dynamodb:GetItem');
    const started = performance.now();
    for (let n = 0; n < 2_000; n += 1) {
      // Leading keys differ with every request, but no statement asks for them.
      await ask(statements, 'dynamodb:GetItem', table, { 'dynamodb:LeadingKeys': [`key_${n}`] });
    }
    expect(performance.now() - started).toBeLessThan(500);
  });
});
