import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, managementOf, productOf } from './client.ts';
import { everyFile, forget, type RunningStack, sharedAssembly, startRunningStack } from './running-stack.ts';

type Template = { Resources: Record<string, { Type: string; Properties: Record<string, unknown> }> };
type Statement = { Action: string | string[] };

/** By the start of the function's id: the statement that its role loses, of each service and kind that there is. */
const LOST: Record<string, (statement: string) => boolean> = {
  RotateKey: (statement) => statement.includes('"dynamodb:PutItem"') && statement.includes('key_*'),
  RevokeKey: (statement) => statement.includes('events_*'),
  RotateWebhookSecret: (statement) => statement.includes('secretsmanager:GetSecretValue'),
  TestWebhookEndpoint: (statement) => statement.includes('sqs:SendMessage'),
  ListWebhookEndpoints: (statement) => statement.includes('/index/webhooks_by_owner'),
  ReplayEvents: (statement) => statement.includes('events:PutEvents'),
  CompromiseKey: (statement) => statement.includes('"dynamodb:UpdateItem"'),
  SweepKeys: (statement) => statement.includes('/index/by_due'),
};

/** The roles of the template are what decides on the laptop too: without a statement its operation fails. */
describe('a role that lost a statement', () => {
  const assembly = mkdtempSync(join(tmpdir(), 'rekey-assembly-'));
  const removed: Record<string, number> = {};
  let stack: RunningStack;
  let ask: (method: string, path: string, body?: object) => Promise<Answer>;

  beforeAll(async () => {
    cpSync(sharedAssembly() ?? '', assembly, { recursive: true });
    const file = join(assembly, 'Rekey.template.json');
    const template = JSON.parse(readFileSync(file, 'utf8')) as Template;
    for (const [name, { Type, Properties }] of Object.entries(template.Resources)) {
      const role = Object.keys(LOST).find((id) => name.startsWith(`${id}Role`));
      if (Type !== 'AWS::IAM::Role' || role === undefined) continue;
      const policies = Properties['Policies'] as { PolicyDocument: { Statement: Statement[] } }[];
      for (const { PolicyDocument: document } of policies) {
        const kept = document.Statement.filter((statement) => !LOST[role]!(JSON.stringify(statement)));
        removed[role] = (removed[role] ?? 0) + document.Statement.length - kept.length;
        document.Statement = kept;
      }
    }
    writeFileSync(file, JSON.stringify(template));
    stack = await startRunningStack({ assembly });
    const management = managementOf(stack.apis.management);
    ask = (method, path, body) => management(method, path, { key: stack.admin_key, ...(body && { body }) });
  });

  afterAll(async () => {
    await stack?.stop();
    forget(assembly);
    if (stack) forget(stack.stateDir);
  });

  /** A fault of ours, which tells nothing of it. */
  const expectFault = ({ status, body, text }: Answer) => {
    expect([status, body.type]).toEqual([500, 'urn:rekey:problem:internal_error']);
    expect(text).not.toMatch(/dynamodb|sqs|secretsmanager|arn:/i);
  };
  /** What sets a scene up may have to be asked twice, on a machine that is busy. */
  const made = async (path: string, body: object): Promise<Answer> => {
    for (let tries = 1; ; tries++) {
      const answer = await ask('POST', path, body);
      if (answer.status === 201) return answer;
      if (answer.status < 500 || tries === 10) throw new Error(answer.text);
      await new Promise((later) => setTimeout(later, 500 * tries));
    }
  };
  const newKey = async () => {
    const created = await made('/api-keys', { name: 'n', owner_id: 'team', scopes: ['orders:read'] });
    return { id: created.body.api_key.id as string, key: created.body.key as string };
  };

  it('lost it, each of them', () => {
    expect(Object.keys(removed).sort()).toEqual(Object.keys(LOST).sort());
    for (const [role, count] of Object.entries(removed)) expect([role, count > 0]).toEqual([role, true]);
  });

  it('can no longer rotate or end a key; nothing is half done, and the key goes on', async () => {
    const { id, key } = await newKey();
    expectFault(await ask('POST', `/api-keys/${id}/rotate`, {}));
    expectFault(await ask('POST', `/api-keys/${id}/revoke`, { reason: 'gone' }));
    expectFault(await ask('POST', `/api-keys/${id}/compromise`, { scope: 'key', reason: 'gone' }));
    const after = await ask('GET', `/api-keys/${id}`);
    expect(after.body.api_key).toMatchObject({ status: 'active', successor_key_id: null });
    expect((await productOf(stack.apis.orders)('GET', '/orders', { key })).status).toBe(200);
    const { data } = (await ask('GET', `/api-keys/${id}/events`)).body;
    expect(data.map(({ type }: { type: string }) => type)).toEqual(['api_key.first_used', 'api_key.created']);
  });

  it('can no longer give a webhook another secret, test it, or list it; the others go on', async () => {
    const hook = { url: 'http://127.0.0.1:9/hook', events: ['api_key.*'], owner_id: 'team' };
    const { body } = await made('/webhook-endpoints', hook);
    const path = `/webhook-endpoints/${body.webhook_endpoint.id}`;
    // What has no answer from another service is 503, whatever the reason.
    for (const call of ['rotate-secret', 'test']) {
      const { status, text } = await ask('POST', `${path}/${call}`, call === 'test' ? undefined : {});
      expect([call, status]).toEqual([call, 503]);
      expect(text).not.toMatch(/sqs|secretsmanager|arn:/i);
    }
    expectFault(await ask('GET', '/webhook-endpoints?owner_id=team'));
    const after = await ask('GET', path);
    expect(after.body.webhook_endpoint).toMatchObject({ secret_version: 1, status: 'enabled' });
    expect((await ask('PATCH', path, { description: 'changed' })).status).toBe(200);
    expect((await ask('DELETE', path)).status).toBe(204);
  });

  it('can no longer replay or sweep', async () => {
    await newKey();
    const now = Date.now();
    const hour = { from: new Date(now - 3_600_000).toISOString(), to: new Date(now + 60_000).toISOString() };
    expect((await ask('POST', '/events/replay', hour)).status).toBeGreaterThanOrEqual(500);
    const [, sweep] = Object.entries(stack.functions).find(([id]) => id.startsWith('Rekey/SweepKeys'))!;
    const path = `${stack.control}/2015-03-31/functions/${sweep}/invocations`;
    const answer = await fetch(path, { method: 'POST', body: '{}' });
    expect(answer.headers.get('x-amz-function-error')).toBe('Unhandled');
  });

  it('is told so in the logs', () => {
    const logs = everyFile(join(stack.stateDir, 'logs')).map(({ bytes }) => bytes.toString());
    expect(logs.join('')).toMatch(/AccessDenied/);
  });
});
