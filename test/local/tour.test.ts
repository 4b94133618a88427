import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { temporaryDirectory } from './fixtures/assembly.ts';

/** A key as long as real ones, with a secret that must not be printed. */
const KEY = `rk_live_${'i'.repeat(22)}${'s'.repeat(43)}${'c'.repeat(6)}`;

async function tour(...args: string[]): Promise<{ code: number; printed: string }> {
  const child = spawn(process.execPath, ['local/tour.ts', ...args]);
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
  const [code] = await once(child, 'close');
  return { code, printed };
}

describe('npm run tour, when things are not as they should be', () => {
  let server: Server | undefined;
  afterEach(() => void server?.close());

  /** Something that answers like a stack's control port, and each other request in the same way. */
  async function standIn(status: number, body: unknown): Promise<string> {
    server = createServer((request, response) => {
      const health = request.url === '/health';
      response.writeHead(health ? 200 : status, { connection: 'close' });
      response.end(JSON.stringify(health ? { pid: process.pid } : body));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const file = join(temporaryDirectory(), 'stack.json');
    const apis = { management: url, orders: url };
    writeFileSync(file, JSON.stringify({ pid: process.pid, apis, admin_key: KEY, control: url }));
    return file;
  }

  it('stops at the first answer with another status, shows it, and fails', async () => {
    const { code, printed } = await tour('--stack', await standIn(503, { type: 'urn:x', echo: KEY }));
    expect(code).toBe(1);
    expect(printed).toContain('503 {"type":"urn:x"');
    expect(printed).toContain('expected {"status":201}');
    expect(printed).not.toContain('\n2. ');
    expect(printed).not.toMatch(/s{3}c/);
  });

  it('fails when a status is right and the answer is not', async () => {
    const { code, printed } = await tour('--stack', await standIn(201, { key: KEY }));
    expect(code).toBe(1);
    expect(printed).not.toMatch(/s{43}/);
  });

  it.each([
    ['is not there', undefined],
    ['is of a stack that has ended', { pid: 1, apis: {}, admin_key: '', control: 'http://127.0.0.1:9' }],
  ])('says so when the file that it was given %s, and starts nothing', async (_, content) => {
    const file = join(temporaryDirectory(), 'stack.json');
    if (content) writeFileSync(file, JSON.stringify(content));
    expect(await tour('--stack', file)).toEqual({
      code: 1,
      printed: `The stack of ${file} does not run. Start it with npm start, or leave --stack out.\n`,
    });
  });

  it('explains its options after one that it does not know', async () => {
    const { code, printed } = await tour('--colour');
    expect(code).toBe(1);
    expect(printed).toContain('npm run tour [-- --stack FILE]');
  });
});
