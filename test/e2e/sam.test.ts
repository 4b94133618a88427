import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeBundle } from '../../infra/bundle.ts';
import { lambdaFunction, lambdaRole, temporaryDirectory, writeAssembly } from '../local/fixtures/assembly.ts';
import { samTemplate } from '../sam-example.ts';
import { managementOf } from './client.ts';
import { rawRequest } from './raw-request.ts';
import { forget, type RunningStack, startRunningStack } from './running-stack.ts';

/** What `sam build` and SAM's transform make of the example, as a cloud assembly of one stack. */
function built(): string {
  const { Transform: _, ...template } = samTemplate();
  const { CodeUri, Handler, Runtime, Architectures } = template.Resources.Invoices.Properties;
  const [file] = Handler.split('.');
  template.Resources.Invoices = lambdaFunction('invoices', {
    ...{ Handler, Runtime, Architectures, Role: { 'Fn::GetAtt': ['InvoicesRole', 'Arn'] } },
  });
  template.Resources.InvoicesRole = lambdaRole();
  // The product's own example has the name of the output.
  template.Outputs = { SamInvoicesApiUrl: template.Outputs.InvoicesApiUrl };
  const bundle = join(temporaryDirectory(), `${file}.mjs`);
  writeBundle(resolve('examples/sam', CodeUri, `${file}.ts`), bundle);
  return writeAssembly({
    Sam: { template, assets: { invoices: { [basename(bundle)]: readFileSync(bundle, 'utf8') } } },
  });
}

let stack: RunningStack;
beforeAll(async () => {
  stack = await startRunningStack({ args: ['--with', built()] });
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
});

const manage = (method: string, path: string, body?: unknown) =>
  managementOf(stack.apis.management)(method, path, { key: stack.admin_key, body });
const newKey = async (...scopes: string[]) => {
  const { body } = await manage('POST', '/api-keys', { name: 'n', owner_id: 'team-sam', scopes });
  return { key: body.key as string, id: body.api_key.id as string };
};
const call = async (method: string, path: string, key?: string) => {
  const url = (stack.apis as Record<string, string>)['samInvoices']!;
  return (await rawRequest(url, path, key === undefined ? [] : ['x-api-key', key], method)).status;
};

describe('the SAM example, an HTTP API made from the same document', () => {
  it('opens the operations whose security a key meets, and no others', async () => {
    const opened = async (...scopes: string[]) => {
      const { key } = await newKey(...scopes);
      return [
        await call('GET', '/invoices', key),
        await call('POST', '/invoices', key),
        await call('GET', '/invoices/1', key),
      ];
    };
    expect(await opened('invoices:read')).toEqual([200, 403, 200]);
    expect(await opened('audit:read')).toEqual([403, 403, 200]);
    expect(await opened('invoices:write')).toEqual([403, 403, 403]);
    const [, written] = await opened('invoices:write', 'customers:read');
    expect([201, 400]).toContain(written);
    expect([await call('GET', '/invoices'), await call('GET', '/health')]).toEqual([401, 200]);
    expect(await call('OPTIONS', '/invoices')).toBe(404);
  });

  it('refuses a revoked key at the next request', async () => {
    const { key, id } = await newKey('invoices:read');
    expect(await call('GET', '/invoices', key)).toBe(200);
    await manage('POST', `/api-keys/${id}/revoke`, {});
    expect(await call('GET', '/invoices', key)).toBe(401);
  });
});
