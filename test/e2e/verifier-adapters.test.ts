import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { admin, management, newKey, stack } from './client.ts';
import { rawRequest } from './raw-request.ts';

/** The first block of code below a heading of docs/verify.md that begins so. */
const codeBelow = (heading: string): string => {
  const [, section = ''] = readFileSync('docs/verify.md', 'utf8').split(`\n## ${heading}`);
  return /```ts\n(.*?)```/s.exec(section)![1]!;
};

const VERIFIER = `
  import { createVerifier, type Principal } from 'rekey/verify';
  const verify = createVerifier({ managementUrl: process.env.URL, key: process.env.KEY, timeoutMs: 10_000 });
`;
/** What the page leaves to the reader, around its code. */
const PROGRAMS = {
  Hono: `
    import { Hono } from 'hono';
    import { createMiddleware } from 'hono/factory';
    import { serve } from '@hono/node-server';
    ${VERIFIER}
    const app = new Hono();
    ${codeBelow('Hono')}
    serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => console.log(port));`,
  Express: `
    import express, { type RequestHandler } from 'express';
    ${VERIFIER}
    const app = express();
    ${codeBelow('Express')}
    const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));`,
};

describe.each(['Hono', 'Express'] as const)('the code of docs/verify.md for %s', (framework) => {
  let service: ChildProcess;
  let url: string;
  beforeAll(async () => {
    const own = await newKey({ scopes: ['api-keys:verify'], owner_access: 'any' });
    service = spawn(process.execPath, ['--input-type=module-typescript', '--eval', PROGRAMS[framework]], {
      env: { ...process.env, URL: stack?.apis.management, KEY: own.key },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [port] = await once(createInterface(service.stdout!), 'line');
    url = `http://127.0.0.1:${port}`;
  });
  afterAll(() => void service?.kill());
  const ask = async (...headers: string[]) => {
    const answer = await rawRequest(url, '/orders', headers);
    return { ...answer, json: JSON.parse(answer.body) };
  };

  it('lets in who has the scope, and knows who it is', async () => {
    const { key } = await newKey({ scopes: ['orders:read'], owner_id: 'team-adapter' });
    expect(await ask('x-api-key', key)).toMatchObject({ status: 200, json: { owner_id: 'team-adapter' } });
    expect(await ask('authorization', `Bearer ${key}`)).toMatchObject({ status: 200 });
  });

  it('answers the problem of everybody else, in its media type', async () => {
    const { key } = await newKey({ scopes: ['customers:read'] });
    const lacking = await ask('x-api-key', key);
    expect(lacking).toMatchObject({ status: 403, json: { missing_scopes: ['orders:read'] } });
    expect(lacking.headers['content-type']).toMatch(/^application\/problem\+json/);
    const missing = await ask();
    expect(missing).toMatchObject({ status: 401, json: { type: 'urn:rekey:problem:invalid_token' } });
    expect(missing.headers['www-authenticate']).toContain('Bearer');
  });

  it('takes no key that is sent twice, or beside another one', async () => {
    const { key } = await newKey({ scopes: ['orders:read'] });
    const other = await newKey({ scopes: ['orders:read'] });
    for (const headers of [
      ['x-api-key', key, 'x-api-key', other.key],
      ['x-api-key', key, 'X-API-KEY', key],
      ['authorization', `Bearer ${key}`, 'authorization', `Bearer ${other.key}`],
      ['authorization', `Bearer ${key}`, 'Authorization', `Bearer ${key}`],
      ['x-api-key', key, 'authorization', `Bearer ${other.key}`],
    ])
      expect([headers, (await ask(...headers)).status]).toEqual([headers, 401]);
  });

  it('refuses a revoked key at the next request', async () => {
    const { key, id } = await newKey({ scopes: ['orders:read'] });
    expect((await ask('x-api-key', key)).status).toBe(200);
    await management('POST', `/api-keys/${id}/revoke`, { key: admin, body: {} });
    expect((await ask('x-api-key', key)).status).toBe(401);
  });
});
