import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Asset } from '../../local/assembly.ts';
import { type Clock, openClock } from '../../local/clock.ts';
import { arnLike } from '../../local/lambda/permissions.ts';
import { type LambdaService, startLambda } from '../../local/lambda/service.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { lambdaRole, temporaryDirectory, world } from './fixtures/assembly.ts';

const ROLE_ARN = 'arn:aws:iam::000000000000:role/Rekey-Role';
const arnOf = (name: string) => `arn:aws:lambda:us-east-1:000000000000:function:${name}`;

const resource = (
  logicalId: string,
  type: string,
  properties: Record<string, unknown>,
): DeployedResource => ({
  stack: 'Rekey',
  logicalId,
  type,
  properties,
  ref: `Rekey-${logicalId}`,
  attributes: {
    Arn:
      type === 'AWS::IAM::Role'
        ? `arn:aws:iam::000000000000:role/Rekey-${logicalId}`
        : arnOf(`Rekey-${logicalId}`),
  },
});
const policy = (logicalId: string, ...roles: string[]) =>
  resource(logicalId, 'AWS::IAM::Policy', {
    PolicyName: logicalId,
    PolicyDocument: { from: logicalId },
    Roles: roles,
  });
const role = resource('Role', 'AWS::IAM::Role', {
  ...lambdaRole({ Policies: [{ PolicyName: 'inline', PolicyDocument: { from: 'inline' } }] }).Properties,
  ManagedPolicyArns: ['arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole'],
});

let stateDir: string;
let clock: Clock;
let lambda: LambdaService;
const resources: DeployedResource[] = [
  role,
  policy('Attached', 'Rekey-Role'),
  policy('Foreign', 'Rekey-Other'),
];

/** Adds a function whose `index.mjs` is the source, and gives its name. */
function add(logicalId: string, source: string, more: Record<string, unknown> = {}): string {
  const directory = temporaryDirectory();
  const folder = join(directory, 'asset');
  mkdirSync(folder);
  // As in a repository: Node would find these packages from the asset's folder.
  mkdirSync(join(directory, 'node_modules', 'neighbour'), { recursive: true });
  writeFileSync(join(directory, 'node_modules', 'neighbour', 'index.js'), 'module.exports = 1');
  writeFileSync(join(folder, 'index.mjs'), source);
  const made = resource(logicalId, 'AWS::Lambda::Function', {
    Code: { S3Key: 'it.zip' },
    Handler: 'index.handler',
    Runtime: 'nodejs24.x',
    Role: ROLE_ARN,
    ...more,
  });
  lambda.add(made, new Map<string, Asset>([['it.zip', { path: folder, isFolder: true }]]));
  resources.push(made);
  return made.ref;
}
const logOf = (name: string) => readFileSync(join(stateDir, 'logs', `${name}.log`), 'utf8');
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

beforeAll(() => {
  stateDir = temporaryDirectory();
  clock = openClock({ stateDir, fresh: false });
  lambda = startLambda({
    resources,
    stateDir,
    clock,
    ...world,
    endpoints: { AWS_ENDPOINT_URL_DYNAMODB: 'http://127.0.0.1:1' },
  });
});
afterAll(() => lambda.close());

describe('a function', () => {
  it('sees the environment of its template and what Lambda sets, and nothing of this process', async () => {
    process.env['SECRET_OF_THE_PARENT'] = 'leaks';
    const name = add('Env', 'export const handler = async () => process.env', {
      Environment: { Variables: { TABLE: 'Rekey-Table' } },
      MemorySize: 256,
    });
    const { payload } = await lambda.invoke(name, {});
    expect(Object.keys(payload as object).sort()).toEqual([
      'AWS_ACCESS_KEY_ID',
      'AWS_DEFAULT_REGION',
      'AWS_ENDPOINT_URL_DYNAMODB',
      'AWS_EXECUTION_ENV',
      'AWS_LAMBDA_FUNCTION_MEMORY_SIZE',
      'AWS_LAMBDA_FUNCTION_NAME',
      'AWS_LAMBDA_FUNCTION_VERSION',
      'AWS_LAMBDA_INITIALIZATION_TYPE',
      'AWS_LAMBDA_LOG_FORMAT',
      'AWS_LAMBDA_LOG_GROUP_NAME',
      'AWS_LAMBDA_LOG_STREAM_NAME',
      'AWS_REGION',
      'AWS_SECRET_ACCESS_KEY',
      'AWS_SESSION_TOKEN',
      'LAMBDA_TASK_ROOT',
      'LANG',
      'PATH',
      'TABLE',
      'TZ',
      '_HANDLER',
      '_X_AMZN_TRACE_ID',
    ]);
    expect(payload).toMatchObject({
      TABLE: 'Rekey-Table',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '256',
      TZ: ':UTC',
    });
  });

  it('gets the event and a context as Lambda gives it', async () => {
    const name = add(
      'Context',
      `export const handler = async (event, context) => ({ event, ...context, left: context.getRemainingTimeInMillis(), argv: process.argv.length, own: typeof process.send });`,
      { Timeout: 7 },
    );
    const { payload } = await lambda.invoke(arnOf(name), { a: [1, 'ü'] });
    const { left, ...rest } = payload as { left: number };
    expect(rest).toMatchObject({
      event: { a: [1, 'ü'] },
      functionName: name,
      functionVersion: '$LATEST',
      invokedFunctionArn: arnOf(name),
      logGroupName: `/aws/lambda/${name}`,
      memoryLimitInMB: '128',
      awsRequestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(left).toBeGreaterThan(5_000);
    expect(left).toBeLessThanOrEqual(7_000);
  });

  it('that throws answers its error, and its process is used again', async () => {
    const name = add(
      'Throws',
      `let calls = 0; export const handler = async (event) => { calls += 1; if (event.fail) throw new RangeError('too much'); return calls; }`,
    );
    const { payload, functionError } = await lambda.invoke(name, { fail: true });
    expect(functionError).toBe('Unhandled');
    expect(payload).toMatchObject({
      errorType: 'RangeError',
      errorMessage: 'too much',
      trace: expect.arrayContaining(['RangeError: too much']),
    });
    expect(await lambda.invoke(name, {})).toEqual({ payload: 2 });
  });

  it.each([
    [
      'rejects where nobody waits',
      `Promise.reject(new Error('lost')); await new Promise(() => {});`,
      'Runtime.UnhandledPromiseRejection',
    ],
    [
      'throws where nobody catches',
      `setTimeout(() => { throw new TypeError('lost'); }); await new Promise(() => {});`,
      'TypeError',
    ],
    ['ends its process', 'process.exit(7)', 'Runtime.ExitError'],
  ])('that %s fails, and the next invocation gets a new process', async (what, body, errorType) => {
    const name = add(
      `Dies${what.length}`,
      `export const handler = async (event) => { if (event.die) { ${body} } return process.pid; }`,
    );
    const { payload: before } = await lambda.invoke(name, {});
    const { payload, functionError } = await lambda.invoke(name, { die: true });
    expect({ payload, functionError }).toMatchObject({ functionError: 'Unhandled', payload: { errorType } });
    const { payload: after } = await lambda.invoke(name, {});
    expect(after).not.toBe(before);
    expect(isAlive(before as number)).toBe(false);
  });

  it('that takes longer than its time-out is killed, also in an endless loop', async () => {
    const name = add(
      'Slow',
      `export const handler = async (event) => { if (event.slow) for (;;); return process.pid; }`,
      { Timeout: 1 },
    );
    const { payload: pid } = await lambda.invoke(name, {});
    const { payload, functionError } = await lambda.invoke(name, { slow: true });
    expect(functionError).toBe('Unhandled');
    expect(payload).toEqual({
      errorType: 'Sandbox.Timedout',
      errorMessage: expect.stringMatching(/Task timed out after 1\.00 seconds$/),
    });
    expect((await lambda.invoke(name, {})).payload).not.toBe(pid);
    expect(logOf(name)).toMatch(/Task timed out after 1\.00 seconds/);
  });

  it.each([
    [
      'takes a callback, as Node 24 on Lambda',
      'export const handler = (event, context, callback) => callback(null, 1)',
      'Runtime.CallbackHandlerDeprecated',
    ],
    ['has no such export', 'export const other = 1', 'Runtime.HandlerNotFound'],
    [
      'imports what is not in its asset',
      `import 'neighbour'; export const handler = async () => 1`,
      'Runtime.ImportModuleError',
    ],
    ['throws when it is loaded', `throw new Error('REKEY_TABLE_NAME is missing')`, 'Error'],
  ])('that %s is refused', async (what, source, errorType) => {
    const { payload, functionError } = await lambda.invoke(add(`Bad${what.length}`, source), {});
    expect({ payload, functionError }).toMatchObject({ functionError: 'Unhandled', payload: { errorType } });
  });

  it('may import the AWS SDK that Lambda’s runtime brings', async () => {
    const name = add(
      'Sdk',
      `import { DynamoDBClient } from '@aws-sdk/client-dynamodb'; export const handler = async () => typeof DynamoDBClient;`,
      { MemorySize: 512 },
    );
    expect(await lambda.invoke(name, {})).toEqual({ payload: 'function' });
  });

  it('runs one invocation per process at a time, in four processes at most', async () => {
    const name = add(
      'Busy',
      `let running = 0; export const handler = async () => { running += 1; const seen = running; await new Promise((r) => setTimeout(r, 60)); running -= 1; return { pid: process.pid, seen }; }`,
      { Timeout: 10 },
    );
    const results = await Promise.all(Array.from({ length: 12 }, () => lambda.invoke(name, {})));
    const payloads = results.map(({ payload }) => payload as { pid: number; seen: number });
    expect(payloads.map(({ seen }) => seen)).toEqual(Array(12).fill(1));
    const processes = new Set(payloads.map(({ pid }) => pid)).size;
    expect(processes).toBeGreaterThan(1);
    expect(processes).toBeLessThanOrEqual(4);
  });

  it('that waits behind one that dies gets a new process', async () => {
    const name = add(
      'Waits',
      `export const handler = async (event) => { if (event.die) { setTimeout(() => { throw new Error('dies'); }, 50); await new Promise(() => {}); } return process.pid; }`,
      { ReservedConcurrentExecutions: 1 },
    );
    const { payload: first } = await lambda.invoke(name, {});
    const [died, waited] = await Promise.all([lambda.invoke(name, { die: true }), lambda.invoke(name, {})]);
    expect(died.functionError).toBe('Unhandled');
    expect(waited).toEqual({ payload: expect.any(Number) });
    expect(waited.payload).not.toBe(first);
  });

  it('takes and gives 6 MB and no more', async () => {
    const name = add('Large', `export const handler = async ({ give = 0 }) => 'x'.repeat(give)`, {
      Timeout: 20,
    });
    await expect(lambda.invoke(name, 'x'.repeat(6 * 1024 * 1024))).rejects.toMatchObject({
      status: 413,
      code: 'RequestTooLargeException',
    });
    const most = await lambda.invoke(name, { give: 6 * 1024 * 1024 });
    expect((most.payload as string).length).toBe(6 * 1024 * 1024);
    const { payload, functionError } = await lambda.invoke(name, { give: 6 * 1024 * 1024 + 100 });
    expect({ payload, functionError }).toMatchObject({
      functionError: 'Unhandled',
      payload: { errorType: 'Function.ResponseSizeTooLarge' },
    });
  });

  it('that nobody knows is not found', async () => {
    await expect(lambda.invoke('Nobody', {})).rejects.toMatchObject({
      status: 404,
      code: 'ResourceNotFoundException',
    });
  });

  it('writes its log with the request id, and what it printed is there before the answer', async () => {
    const name = add(
      'Logs',
      `export const handler = async (event, { awsRequestId }) => { console.log('hello %s', 'there'); process.stdout.write('raw line\\n'); return awsRequestId; }`,
    );
    const { payload: id } = await lambda.invoke(name, {});
    const lines = logOf(name).trimEnd().split('\n');
    expect(lines).toEqual([
      `START RequestId: ${id} Version: $LATEST`,
      expect.stringMatching(new RegExp(`^\\d{4}-.*Z\\t${id}\\tINFO\\thello there$`)),
      'raw line',
      `END RequestId: ${id}`,
      expect.stringMatching(
        new RegExp(
          `^REPORT RequestId: ${id}\\tDuration: .*Memory Size: 128 MB\\tMax Memory Used: \\d+ MB\\tInit Duration`,
        ),
      ),
    ]);
  });

  it('with the JSON log format writes every line as JSON, from its level on', async () => {
    const name = add(
      'JsonLogs',
      `export const handler = async (event, { awsRequestId }) => { console.debug('not'); console.log({ a: 1 }); console.error('broken', new Error('x')); return awsRequestId; }`,
      { LoggingConfig: { LogFormat: 'JSON' } },
    );
    const { payload: id } = await lambda.invoke(name, {});
    const lines = logOf(name)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { type: 'platform.start', record: { requestId: id } },
      { level: 'INFO', requestId: id, message: { a: 1 } },
      { level: 'ERROR', requestId: id, errorType: 'Error', errorMessage: 'x' },
      { type: 'platform.report', record: { requestId: id, status: 'success' } },
    ]);
  });
});

describe('the identity of a function', () => {
  it('is its role, with the inline and attached policies and no others', async () => {
    const name = add(
      'Identity',
      'export const handler = async () => ({ id: process.env.AWS_ACCESS_KEY_ID, secret: process.env.AWS_SECRET_ACCESS_KEY, token: process.env.AWS_SESSION_TOKEN })',
    );
    const { payload } = await lambda.invoke(name, {});
    const { id, secret, token } = payload as { id: string; secret: string; token: string };
    resources.push(policy('Later', 'Rekey-Role'));
    expect(lambda.principal(id)).toEqual({
      roleArn: ROLE_ARN,
      accessKeyId: id,
      secretAccessKey: secret,
      sessionToken: token,
      policies: [{ from: 'inline' }, { from: 'Attached' }, { from: 'Later' }],
      sessionName: name,
      process: expect.objectContaining({ invocationId: undefined }),
    });
    expect(lambda.principal('ASIAOTHER')).toBeUndefined();
  });

  it.each([
    [
      'a managed policy whose statements are not in the template',
      { ManagedPolicyArns: ['arn:aws:iam::aws:policy/AdministratorAccess'] },
      'AdministratorAccess',
    ],
    ['no trust in Lambda', { AssumeRolePolicyDocument: { Statement: [] } }, 'may not assume'],
  ])('stops the start with %s', (what, properties, message) => {
    const other = resource(`Other${what.length}`, 'AWS::IAM::Role', { ...role.properties, ...properties });
    resources.push(other);
    expect(() => add('Refused', '', { Role: other.attributes['Arn'] })).toThrow(message);
  });

  it.each([
    [{ Runtime: 'nodejs22.x' }, 'nodejs24.x, not nodejs22.x'],
    [{ Code: { S3Key: 'none.zip' } }, 'none.zip is not in the cloud assembly'],
    [{ Environment: { Variables: { AWS_REGION: 'x' } } }, 'AWS_REGION is set by Lambda'],
  ])('stops the start with %j', (properties, message) => {
    expect(() => add('Refused', '', properties)).toThrow(message);
  });
});

describe('the clock of the stack', () => {
  it('is every function’s clock, also of one that runs while it moves, and outlives a restart', async () => {
    const name = add(
      'Clock',
      `const atLoad = Date.now(); export const handler = async ({ wait = 0 }) => { await new Promise((r) => setTimeout(r, wait)); return { atLoad, now: Date.now(), date: new Date().toISOString(), fixed: new Date(0).getTime(), is: new Date() instanceof Date, text: typeof Date() }; }`,
    );
    const { payload: before } = (await lambda.invoke(name, {})) as { payload: { now: number } };
    const during = lambda.invoke(name, { wait: 300 });
    await sleep(100);
    clock.advance(30 * 86_400);
    const { payload: after } = (await during) as { payload: { now: number; date: string } };
    expect(after.now - before.now).toBeGreaterThanOrEqual(30 * 86_400_000);
    expect(after.now - before.now).toBeLessThan(30 * 86_400_000 + 10_000);
    expect(after).toMatchObject({ fixed: 0, is: true, text: 'string' });
    expect(Math.abs(Date.parse(after.date) - clock.now())).toBeLessThan(5_000);
    expect(openClock({ stateDir, fresh: false }).offsetMs()).toBe(clock.offsetMs());
  });

  it('does not shorten the time a function has left', async () => {
    const name = add(
      'Left',
      'export const handler = async (event, context) => context.getRemainingTimeInMillis()',
      { Timeout: 5 },
    );
    expect((await lambda.invoke(name, {})).payload).toBeGreaterThan(4_000);
  });

  it.each([[-1], [Number.NaN], [Number.POSITIVE_INFINITY], [11 * 366 * 86_400]])(
    'does not go %p seconds on',
    (seconds) => {
      const before = clock.offsetMs();
      expect(() => clock.advance(seconds)).toThrow(RangeError);
      expect(clock.offsetMs()).toBe(before);
    },
  );
});

describe('who may invoke a function', () => {
  it.each([
    ['arn:aws:execute-api:*:*:abc/*/GET/orders', 'arn:aws:execute-api:us-east-1:0:abc/v1/GET/orders', true],
    ['arn:aws:execute-api:us-east-1:0:abc/v1/GET/*', 'arn:aws:execute-api:us-east-1:0:abc/v1/GET/a/b', true],
    ['arn:aws:execute-api:us-east-1:0:abc/v1/GET/a?', 'arn:aws:execute-api:us-east-1:0:abc/v1/GET/ab', true],
    ['arn:aws:execute-api:us-east-1:0:abc/v1/GET/a.', 'arn:aws:execute-api:us-east-1:0:abc/v1/GET/ab', false],
    [
      'arn:aws:execute-api:us-east-1:0:abc/v1/GET/orders',
      'arn:aws:execute-api:us-east-1:0:abc/v1/POST/orders',
      false,
    ],
    ['arn:aws:*', 'arn:aws:execute-api:us-east-1:0:abc/v1/GET/orders', false],
  ])('ArnLike %s, %s: %p', (pattern, arn, expected) => {
    expect(arnLike(pattern, arn)).toBe(expected);
  });

  it('is decided by the permissions of the template', () => {
    const name = add('Permitted', 'export const handler = async () => 1');
    const source = (api: string) => `arn:aws:execute-api:us-east-1:000000000000:${api}/v1/GET/orders`;
    expect(lambda.mayInvoke(arnOf(name), source('abc'))).toBe(false);
    const permission = (Principal: string, SourceArn?: string) =>
      resource(`P${resources.length}`, 'AWS::Lambda::Permission', {
        Action: 'lambda:InvokeFunction',
        FunctionName: arnOf(name),
        Principal,
        SourceArn,
      });
    resources.push(permission('events.amazonaws.com'));
    expect(lambda.mayInvoke(arnOf(name), source('abc'))).toBe(false);
    resources.push(
      permission('apigateway.amazonaws.com', 'arn:aws:execute-api:us-east-1:000000000000:abc/*/GET/orders'),
    );
    expect(lambda.mayInvoke(arnOf(name), source('abc'))).toBe(true);
    expect(lambda.mayInvoke(arnOf(name), source('other'))).toBe(false);
    expect(lambda.mayInvoke(arnOf('Rekey-Nobody'), source('abc'))).toBe(false);
  });
});

describe('closing', () => {
  it('leaves no process behind', async () => {
    const own = startLambda({ resources, stateDir: temporaryDirectory(), clock, ...world, endpoints: {} });
    const folder = join(temporaryDirectory(), 'asset');
    mkdirSync(folder);
    writeFileSync(join(folder, 'index.mjs'), 'export const handler = async () => process.pid');
    const fn = resource('Pid', 'AWS::Lambda::Function', {
      Code: { S3Key: 'a' },
      Handler: 'index.handler',
      Runtime: 'nodejs24.x',
      Role: ROLE_ARN,
    });
    own.add(fn, new Map([['a', { path: folder, isFolder: true }]]));
    const { payload: pid } = await own.invoke(fn.ref, {});
    expect(isAlive(pid as number)).toBe(true);
    await own.close();
    expect(isAlive(pid as number)).toBe(false);
  });
});
