import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { managementOf } from './client.ts';
import { forget, type RunningStack, sharedAssembly, startRunningStack } from './running-stack.ts';

type Template = { Resources: Record<string, { Type: string; Properties: Record<string, unknown> }> };
interface Message {
  body: string;
}

/** A rule to a queue, as another team would make it on the bus. */
function withRuleOfAnotherTeam(template: Template): Template {
  const [bus] = Object.entries(template.Resources).find(([, { Type }]) => Type === 'AWS::Events::EventBus')!;
  const queueArn = { 'Fn::GetAtt': ['TeamQueue', 'Arn'] };
  const resources = {
    TeamQueue: { Type: 'AWS::SQS::Queue', Properties: { QueueName: 'team-queue' } },
    TeamQueuePolicy: {
      Type: 'AWS::SQS::QueuePolicy',
      Properties: {
        Queues: [{ Ref: 'TeamQueue' }],
        PolicyDocument: {
          Version: '2012-10-17',
          Statement: [
            {
              Effect: 'Allow',
              Principal: { Service: 'events.amazonaws.com' },
              Action: 'sqs:SendMessage',
              Resource: queueArn,
              Condition: { ArnEquals: { 'aws:SourceArn': { 'Fn::GetAtt': ['TeamRule', 'Arn'] } } },
            },
          ],
        },
      },
    },
    TeamRule: {
      Type: 'AWS::Events::Rule',
      Properties: {
        EventBusName: { Ref: bus },
        EventPattern: {
          source: ['rekey'],
          'detail-type': [{ prefix: 'api_key.' }],
          detail: { owner_id: ['team-a'], actor: [{ 'anything-but': { prefix: 'system:' } }] },
        },
        Targets: [{ Id: 'queue', Arn: queueArn }],
      },
    },
  };
  return { ...template, Resources: { ...template.Resources, ...resources } };
}

/** The whole way: a change of a key, its record, the stream, the publisher, the bus, a rule, a queue. */
describe('events on the bus', () => {
  const assembly = mkdtempSync(join(tmpdir(), 'rekey-assembly-'));
  let stack: RunningStack;
  let management: ReturnType<typeof managementOf>;

  beforeAll(async () => {
    cpSync(sharedAssembly() ?? '', assembly, { recursive: true });
    const file = join(assembly, 'Rekey.template.json');
    writeFileSync(file, JSON.stringify(withRuleOfAnotherTeam(JSON.parse(readFileSync(file, 'utf8')))));
    stack = await startRunningStack({ assembly });
    management = managementOf(stack.apis.management);
  });
  afterAll(async () => {
    await stack?.stop();
    forget(assembly);
    if (stack) forget(stack.stateDir);
  });

  const call = async (method: 'GET' | 'POST' | 'PATCH', path: string, body?: object) =>
    (await management(method, path, { key: stack.admin_key, ...(body && { body }) })).body;
  const create = async (owner_id: string): Promise<string> =>
    (await call('POST', '/api-keys', { name: 'n', owner_id, scopes: ['orders:read'] })).api_key.id;
  const received = async (): Promise<Record<string, unknown>[]> => {
    const { messages } = (await (await fetch(`${stack.control}/queues/team-queue`)).json()) as {
      messages: Message[];
    };
    return messages.map(({ body }) => JSON.parse(body));
  };
  const receivedAtLeast = async (count: number) => {
    for (const end = Date.now() + 30_000; Date.now() < end; ) {
      const all = await received();
      if (all.length >= count) return all;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return received();
  };

  it('reach the queue of a rule that matches: all of its owner, in order, and as they were recorded', async () => {
    const id = await create('team-a');
    await create('team-b');
    await call('PATCH', `/api-keys/${id}`, { name: 'renamed' });
    await call('POST', `/api-keys/${id}/revoke`, { reason: 'over' });

    const envelopes = await receivedAtLeast(3);
    expect(envelopes.map((one) => one['detail-type'])).toEqual([
      'api_key.created',
      'api_key.updated',
      'api_key.revoked',
    ]);
    for (const one of envelopes) expect(one).toMatchObject({ source: 'rekey', account: '000000000000' });
    const recorded = (await call('GET', `/api-keys/${id}/events`)).data as unknown[];
    expect(envelopes.map(({ detail }) => detail)).toEqual(recorded.toReversed());
  });

  it('are all listed by the control port, with the rules that they matched', async () => {
    const id = await create('team-c');
    for (const end = Date.now() + 30_000; Date.now() < end; ) {
      const { events } = (await (await fetch(`${stack.control}/events`)).json()) as {
        events: { event: { detail: { api_key_id?: string } }; rules: string[] }[];
      };
      const found = events.find(({ event }) => event.detail.api_key_id === id);
      if (found)
        return expect(found).toMatchObject({
          bus: 'Rekey-events',
          rules: [expect.stringMatching(/^Rekey-Webhooks/)],
        });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('the event did not come over the bus');
  });
});
