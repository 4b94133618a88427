import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { managementOf, productOf } from './client.ts';
import { everyFile, forget, type RunningStack, sharedAssembly, startRunningStack } from './running-stack.ts';

type Template = { Resources: Record<string, { Type: string; Properties: Record<string, unknown> }> };

/** The roles of the template are what decides on the laptop too: without a statement its operation fails. */
describe('a role that lost a statement', () => {
  const assembly = mkdtempSync(join(tmpdir(), 'rekey-assembly-'));
  let stack: RunningStack;
  let removed = 0;

  beforeAll(async () => {
    cpSync(sharedAssembly() ?? '', assembly, { recursive: true });
    const file = join(assembly, 'Rekey.template.json');
    const template = JSON.parse(readFileSync(file, 'utf8')) as Template;
    for (const [name, { Type, Properties }] of Object.entries(template.Resources)) {
      if (Type !== 'AWS::IAM::Policy' || !/rotate/i.test(name)) continue;
      const document = Properties['PolicyDocument'] as { Statement: { Action: string | string[] }[] };
      document.Statement = document.Statement.filter(({ Action }) => {
        const drop = [Action].flat().includes('dynamodb:PutItem');
        removed += drop ? 1 : 0;
        return !drop;
      });
    }
    writeFileSync(file, JSON.stringify(template));
    stack = await startRunningStack({ assembly });
  });

  afterAll(async () => {
    await stack?.stop();
    forget(assembly);
    if (stack) forget(stack.stateDir);
  });

  it('can no longer rotate; everything else goes on, and nothing is half done', async () => {
    expect(removed).toBeGreaterThan(0);
    const management = managementOf(stack.apis.management);
    const key = stack.admin_key;
    const created = await management('POST', '/api-keys', {
      key,
      body: { name: 'n', owner_id: 'team', scopes: ['orders:read'] },
    });
    expect(created.status).toBe(201);
    const { id } = created.body.api_key;
    const rotated = await management('POST', `/api-keys/${id}/rotate`, { key, body: {} });
    expect(rotated.status).toBe(500);
    expect(rotated.body.type).toBe('urn:rekey:problem:internal_error');
    expect(rotated.text).not.toMatch(/dynamodb|arn:/i);
    const after = await management('GET', `/api-keys/${id}`, { key });
    expect(after.body.api_key).toMatchObject({ status: 'active', successor_key_id: null });
    expect((await productOf(stack.apis.orders)('GET', '/orders', { key: created.body.key })).status).toBe(
      200,
    );
    const logs = everyFile(join(stack.stateDir, 'logs')).map(({ bytes }) => bytes.toString());
    expect(logs.join('')).toMatch(/AccessDenied/);
  });
});
