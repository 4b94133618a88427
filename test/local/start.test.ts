import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { StackFile } from '../../local/stack.ts';
import { lambdaFunction, lambdaRole, temporaryDirectory, writeAssembly } from './fixtures/assembly.ts';

/** A small product: an API with one open route, a table that its function writes to, a custom resource, an admin key. */
const HANDLERS = {
  api: `
    import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
    const client = new DynamoDBClient();
    export const handler = async (event) => {
      await client.send(new PutItemCommand({ TableName: process.env.TABLE, Item: { pk: { S: event.path } } }));
      return { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ pid: process.pid, now: Date.now() }) };
    };`,
  admin: `export const handler = async () => ({ key: 'key-' + Date.now() });`,
  custom: `
    export const handler = async ({ ResponseURL, StackId, RequestId, LogicalResourceId, ResourceProperties }) => {
      const answer = { Status: 'SUCCESS', StackId, RequestId, LogicalResourceId, PhysicalResourceId: 'x', Data: { Made: 'made-' + ResourceProperties.name } };
      await fetch(ResponseURL, { method: 'PUT', body: JSON.stringify(answer) });
    };`,
};

const api = (name: string) => ({ Ref: name });
const product = (resources: Record<string, unknown> = {}) =>
  writeAssembly({
    Rekey: {
      template: {
        Resources: {
          Table: {
            Type: 'AWS::DynamoDB::GlobalTable',
            Properties: {
              AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
              KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
              BillingMode: 'PAY_PER_REQUEST',
              Replicas: [{ Region: { Ref: 'AWS::Region' } }],
            },
          },
          Role: lambdaRole({
            Policies: [
              {
                PolicyName: 'table',
                PolicyDocument: {
                  Version: '2012-10-17',
                  Statement: [
                    {
                      Effect: 'Allow',
                      Action: 'dynamodb:PutItem',
                      Resource: { 'Fn::GetAtt': ['Table', 'Arn'] },
                    },
                  ],
                },
              },
            ],
          }),
          Fn: lambdaFunction('api', {
            Timeout: 10,
            Environment: {
              Variables: { TABLE: { Ref: 'Table' }, MADE: { 'Fn::GetAtt': ['Thing', 'Made'] } },
            },
          }),
          Admin: lambdaFunction('admin'),
          Serves: lambdaFunction('custom', { Timeout: 10 }),
          Thing: {
            Type: 'Custom::Thing',
            Properties: { ServiceToken: { 'Fn::GetAtt': ['Serves', 'Arn'] }, name: 'a' },
          },
          Api: {
            Type: 'AWS::ApiGateway::RestApi',
            Properties: { Name: 'Api', EndpointConfiguration: { Types: ['REGIONAL'] } },
          },
          Method: {
            Type: 'AWS::ApiGateway::Method',
            Properties: {
              RestApiId: api('Api'),
              ResourceId: { 'Fn::GetAtt': ['Api', 'RootResourceId'] },
              HttpMethod: 'GET',
              AuthorizationType: 'NONE',
              Integration: {
                Type: 'AWS_PROXY',
                IntegrationHttpMethod: 'POST',
                Uri: {
                  'Fn::Sub':
                    'arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Fn.Arn}/invocations',
                },
              },
            },
          },
          Permission: {
            Type: 'AWS::Lambda::Permission',
            Properties: {
              Action: 'lambda:InvokeFunction',
              FunctionName: { 'Fn::GetAtt': ['Fn', 'Arn'] },
              Principal: 'apigateway.amazonaws.com',
              SourceArn: { 'Fn::Sub': 'arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/GET/' },
            },
          },
          Deployment: {
            Type: 'AWS::ApiGateway::Deployment',
            DependsOn: 'Method',
            Properties: { RestApiId: api('Api') },
          },
          Stage: {
            Type: 'AWS::ApiGateway::Stage',
            Properties: { RestApiId: api('Api'), DeploymentId: { Ref: 'Deployment' }, StageName: 'v1' },
          },
          ...resources,
        },
        Outputs: {
          ManagementApiUrl: {
            Value: { 'Fn::Sub': 'https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}/' },
          },
          CreateAdminKeyFunctionName: { Value: { Ref: 'Admin' } },
          TableName: { Value: { Ref: 'Table' } },
        },
      },
      assets: Object.fromEntries(
        Object.entries(HANDLERS).map(([name, source]) => [name, { 'index.mjs': source }]),
      ),
    },
  });

interface Started {
  child: ChildProcess;
  output(): string;
  ended: Promise<number | null>;
}
const children: ChildProcess[] = [];

/** Runs the CLI in a process group of its own, as a terminal would. */
function start(...args: string[]): Started {
  const child = spawn(process.execPath, ['local/start.ts', ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  return { child, output: () => output, ended: once(child, 'close').then(([code]) => code as number | null) };
}
async function ready(started: Started): Promise<void> {
  while (!started.output().includes('Ready in')) {
    if (started.child.exitCode !== null) throw new Error(started.output());
    await sleep(25);
  }
}
const stackFile = (stateDir: string): StackFile =>
  JSON.parse(readFileSync(join(stateDir, 'stack.json'), 'utf8'));
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const gone = async (pid: number): Promise<boolean> => {
  for (let wait = 0; wait < 100 && isAlive(pid); wait += 1) await sleep(50);
  return !isAlive(pid);
};
const getJson = async (url: string, init?: RequestInit) =>
  (await (await fetch(url, init)).json()) as Record<string, number>;

const assembly = product();
const stateDir = temporaryDirectory();
let running: Started;

beforeAll(async () => {
  running = start('--port', '0', '--state-dir', stateDir, '--assembly', assembly);
  await ready(running);
}, 30_000);
afterAll(() => {
  for (const { pid, exitCode, signalCode } of children) {
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(pid, 'SIGKILL');
  }
});

describe('npm start', () => {
  it('serves the API of the template by its function, which writes to the table as its own role', async () => {
    const { apis, table, functions } = stackFile(stateDir);
    expect(apis['management']).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1$/);
    expect(await getJson(`${apis['management']}/`)).toEqual({
      pid: expect.any(Number),
      now: expect.any(Number),
    });
    expect({ table, functions }).toEqual({
      table: 'Rekey-Table',
      functions: { 'Rekey/Fn': 'Rekey-Fn', 'Rekey/Admin': 'Rekey-Admin', 'Rekey/Serves': 'Rekey-Serves' },
    });
  });

  it('writes what belongs to this user alone so that nobody else can read it', () => {
    for (const file of ['stack.json', 'lock', 'custom-resources.json', 'logs/Rekey-Fn.log']) {
      expect(statSync(join(stateDir, file)).mode & 0o077).toBe(0);
    }
    expect(statSync(stateDir).mode & 0o077).toBe(0);
  });

  it('prints each step with its time, the URLs and the administrator’s key', () => {
    const { apis, admin_key, control } = stackFile(stateDir);
    for (const text of [/DynamoDB engine +\d+\.\d\d s/, apis['management']!, admin_key, control]) {
      expect(running.output()).toMatch(text);
    }
  });

  it('moves the clock of its functions, and only forward', async () => {
    const { apis, control } = stackFile(stateDir);
    const before = (await getJson(`${apis['management']}/`))['now']!;
    const move = (body: unknown) => fetch(`${control}/clock`, { method: 'POST', body: JSON.stringify(body) });
    expect((await move({ advance_seconds: 86_400 })).status).toBe(200);
    expect((await getJson(`${apis['management']}/`))['now']! - before).toBeGreaterThanOrEqual(86_400_000);
    expect(await getJson(`${control}/clock`)).toMatchObject({ advanced_seconds: 86_400 });
    for (const body of [
      { advance_seconds: -1 },
      { advance_seconds: '1' },
      {},
      null,
      { advance_seconds: 1e12 },
    ]) {
      expect((await move(body)).status).toBe(400);
    }
    expect(await getJson(`${control}/clock`)).toMatchObject({ advanced_seconds: 86_400 });
  });

  it('invokes functions as Lambda’s API does', async () => {
    const { control } = stackFile(stateDir);
    const invoke = (name: string) =>
      fetch(`${control}/2015-03-31/functions/${name}/invocations`, { method: 'POST', body: '{}' });
    const answer = await invoke('Rekey-Admin');
    expect(await answer.json()).toEqual({ key: expect.stringMatching(/^key-/) });
    expect(answer.headers.get('x-amz-function-error')).toBeNull();
    const failed = await invoke('Rekey-Serves');
    expect([failed.status, failed.headers.get('x-amz-function-error')]).toEqual([200, 'Unhandled']);
    const missing = await invoke('Nobody');
    expect([missing.status, missing.headers.get('x-amzn-errortype')]).toEqual([
      404,
      'ResourceNotFoundException',
    ]);
  });

  it('is not steered by a web page', async () => {
    const { control } = stackFile(stateDir);
    expect((await fetch(`${control}/clock`, { headers: { origin: 'https://example.com' } })).status).toBe(
      403,
    );
  });

  it('refuses a second start on the same state directory, naming the process', async () => {
    const second = start('--port', '0', '--state-dir', stateDir, '--assembly', assembly);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(`${stateDir} is in use by the process ${running.child.pid}`);
  });

  it('says in one line which port is taken, in less than the time of a start', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const second = start('--port', String(port), '--state-dir', temporaryDirectory(), '--assembly', assembly);
    expect(await second.ended).toBe(1);
    expect(second.output().trim()).toBe(
      `Port ${port} is taken. Start with another one: npm start -- --port N`,
    );
    server.close();
  });

  it('stops at what it does not know, naming all of it, and leaves nothing behind', async () => {
    const directory = temporaryDirectory();
    const strange = product({
      Topic: { Type: 'AWS::SNS::Topic' },
      Group: { Type: 'AWS::Logs::LogGroup', Properties: { Colour: 'red' } },
    });
    const second = start('--port', '0', '--state-dir', directory, '--assembly', strange);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(
      'Rekey/Topic (AWS::SNS::Topic): the laptop stack does not know this resource type',
    );
    expect(second.output()).toContain(
      'Rekey/Group (AWS::Logs::LogGroup): the laptop stack does not know the property Colour',
    );
    expect(existsSync(join(directory, 'lock'))).toBe(false);
  });

  it('ends every process on Ctrl-C; the next start has the data, the clock and what was made', async () => {
    const { apis, dynamodb } = stackFile(stateDir);
    const { pid } = (await getJson(`${apis['management']}/`)) as { pid: number };
    process.kill(-running.child.pid!, 'SIGINT'); // A terminal sends it to the whole group.
    expect(await running.ended).toBe(0);
    expect(await gone(pid)).toBe(true);
    await expect(fetch(dynamodb)).rejects.toThrow();
    expect(existsSync(join(stateDir, 'lock'))).toBe(false);

    const made = readFileSync(join(stateDir, 'custom-resources.json'), 'utf8');
    running = start('--port', '0', '--state-dir', stateDir, '--assembly', assembly);
    await ready(running);
    expect(running.output()).not.toContain('Create of');
    expect(readFileSync(join(stateDir, 'custom-resources.json'), 'utf8')).toBe(made);
    expect(await getJson(`${stackFile(stateDir).control}/clock`)).toMatchObject({ advanced_seconds: 86_400 });
  }, 30_000);

  it('leaves no function behind when it is killed itself, and its directory can be used again', async () => {
    const { apis } = stackFile(stateDir);
    const { pid } = (await getJson(`${apis['management']}/`)) as { pid: number };
    process.kill(running.child.pid!, 'SIGKILL');
    await running.ended;
    expect(await gone(pid)).toBe(true);

    running = start('--port', '0', '--state-dir', stateDir, '--assembly', assembly, '--fresh');
    await ready(running);
    expect(running.output()).toContain('Create of Rekey/Thing');
    expect(await getJson(`${stackFile(stateDir).control}/clock`)).toMatchObject({ advanced_seconds: 0 });
    process.kill(running.child.pid!, 'SIGTERM');
    expect(await running.ended).toBe(0);
  }, 30_000);

  it.each([
    [['--port', 'x'], '--port should be'],
    [['--colour'], 'colour'],
  ])('explains its options after %j', async (args, message) => {
    const second = start(...args);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(message);
    expect(second.output()).toContain('npm start -- [--port N]');
  });
});
