import { beforeAll, describe, expect, it } from '@jest/globals';
import { newKey, productOf, stack } from './client.ts';
import { rawRequest } from './raw-request.ts';

const url = stack?.apis.invoices ?? '';
const invoices = productOf(url);

describe('the Invoices API, made from an OpenAPI document', () => {
  const keys: Record<string, string> = {};
  beforeAll(async () => {
    for (const scopes of [
      'invoices:read',
      'audit:read',
      'invoices:write',
      'invoices:write customers:read',
      '*:*',
    ])
      keys[scopes] = (await newKey({ scopes: scopes.split(' ') })).key;
  });

  it('opens the operations whose security a key meets: all of one requirement, one of several', async () => {
    const opened: Record<string, number[]> = {};
    for (const [scopes, key] of Object.entries(keys)) {
      const answers = [
        await invoices('GET', '/invoices', { key }),
        await invoices('POST', '/invoices', { key, body: {} }),
        await invoices('GET', '/invoices/1', { key }),
      ];
      opened[scopes] = answers.map(({ status }) => status);
    }
    expect(opened).toEqual({
      'invoices:read': [200, 403, 200],
      'audit:read': [403, 403, 200],
      'invoices:write': [403, 403, 403],
      'invoices:write customers:read': [403, 201, 403],
      '*:*': [200, 201, 200],
    });
  });

  it('names what is missing, as an API made route by route does', async () => {
    const refused = await invoices('POST', '/invoices', { key: keys['invoices:write'] ?? '', body: {} });
    expect(refused.body).toMatchObject({
      type: 'urn:rekey:problem:insufficient_scope',
      missing_scopes: ['customers:read'],
    });
    expect(refused.headers.get('www-authenticate')).toBe('Bearer error="insufficient_scope"');
    const unknown = await invoices('GET', '/invoices');
    expect([unknown.status, unknown.body.type]).toEqual([401, 'urn:rekey:problem:invalid_token']);
  });

  it('lets everybody ask whether it runs, and nobody anything that is not declared', async () => {
    expect((await invoices('GET', '/health')).status).toBe(200);
    const header = ['x-api-key', keys['*:*'] ?? ''];
    for (const [method, path] of [
      ['OPTIONS', '/invoices'],
      ['DELETE', '/invoices/1'],
      ['GET', '/Invoices'],
      ['GET', '/invoices/1/2'],
      ['GET', '/'],
    ] as const)
      expect([method, path, (await rawRequest(url, path, header, method)).status]).toEqual([
        method,
        path,
        404,
      ]);
    expect((await rawRequest(url, '/invoices/1%2F..', header)).status).toBe(200);
    expect((await rawRequest(url, '/invoices/1%2F..', [])).status).toBe(401);
  });
});
