import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeBundle } from '../../infra/bundle.ts';
import { samTemplate } from '../sam-example.ts';
import { managementOf } from './client.ts';
import { rawRequest } from './raw-request.ts';
import { forget, type RunningStack, startRunningStack } from './running-stack.ts';

/** What `sam build` and SAM's transform make of the example, as a cloud assembly of one stack. */
function built(): string {
  const directory = mkdtempSync(join(tmpdir(), 'rekey-e2e-sam-'));
  mkdirSync(join(directory, 'invoices'));
  const { Transform: _, ...template } = samTemplate();
  const { CodeUri, Handler, Runtime, Architectures } = template.Resources.Invoices.Properties;
  const [file] = Handler.split('.');
  writeBundle(resolve('examples/sam', CodeUri, `${file}.ts`), join(directory, 'invoices', `${file}.mjs`));
  template.Resources.Invoices = {
    Type: 'AWS::Lambda::Function',
    Properties: {
      ...{ Handler, Runtime, Architectures, Code: { S3Bucket: 'assets', S3Key: 'invoices.zip' } },
      Role: { 'Fn::GetAtt': ['InvoicesRole', 'Arn'] },
    },
  };
  template.Resources.InvoicesRole = {
    Type: 'AWS::IAM::Role',
    Properties: {
      AssumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } },
        ],
      },
      ManagedPolicyArns: ['arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole'],
    },
  };
  // The product's own example has the name of the output.
  template.Outputs = { SamInvoicesApiUrl: template.Outputs.InvoicesApiUrl };
  const write = (name: string, value: object) => writeFileSync(join(directory, name), JSON.stringify(value));
  write('Sam.template.json', template);
  write('Sam.assets.json', {
    version: '55.0.0',
    dockerImages: {},
    files: {
      invoices: {
        source: { path: 'invoices', packaging: 'zip' },
        destinations: { here: { bucketName: 'assets', objectKey: 'invoices.zip' } },
      },
    },
  });
  write('manifest.json', {
    version: '55.0.0',
    artifacts: {
      'Sam.assets': { type: 'cdk:asset-manifest', properties: { file: 'Sam.assets.json' } },
      Sam: {
        type: 'aws:cloudformation:stack',
        environment: 'aws://unknown-account/unknown-region',
        properties: { templateFile: 'Sam.template.json' },
        dependencies: ['Sam.assets'],
      },
    },
  });
  return directory;
}

let stack: RunningStack;
let example: string;
beforeAll(async () => {
  example = built();
  stack = await startRunningStack({ args: ['--with', example] });
});
afterAll(async () => {
  await stack?.stop();
  if (stack) forget(stack.stateDir);
  if (example) forget(example);
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
