import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { forget, type RunningStack, startRunningStack } from './running-stack.ts';

/** On a stack of its own: the tour moves the clock by 31 days. */
describe('npm run tour', () => {
  let stack: RunningStack;
  let printed = '';
  let code: number | null;

  beforeAll(async () => {
    stack = await startRunningStack();
    const child = spawn(process.execPath, ['local/tour.ts', '--stack', `${stack.stateDir}/stack.json`]);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
      });
    code = await new Promise((ended) => child.once('close', ended));
    if (code !== 0) console.error(printed);
  });

  afterAll(async () => {
    await stack?.stop();
    if (stack) forget(stack.stateDir);
  });

  /** What it printed under one of its steps. */
  const step = (number: number) => printed.split(/^\d+\. /m)[number] ?? '';
  const statuses = (text: string) => [...text.matchAll(/^ {2}([1-5]\d\d) /gm)].map(([, status]) => status);

  it('ends well, and every answer has the status that it promises', () => {
    expect({ code, statuses: statuses(printed) }).toEqual({
      code: 0,
      statuses:
        '201 201 201 200 403 201 200 200 200 401 200 200 201 200 401 200 200 200 200 201 200 201 200 202 401'.split(
          ' ',
        ),
    });
  });

  it('shows the scope that is missing', () => {
    expect(step(5)).toContain('"missing_scopes": ["orders:write"]');
  });

  it('shows that the first key ended with its grace, and that its successor was revoked', () => {
    const lineage = [...step(13).matchAll(/^ +(\{"generation".*\})$/gm)].map(([, line]) =>
      JSON.parse(line ?? ''),
    );
    expect(lineage.map(({ generation, status }) => [generation, status])).toEqual([
      [0, 'expired'],
      [1, 'revoked'],
    ]);
    expect(lineage[1].parent_key_id).toBe(lineage[0].id);
  });

  it('shows the notice that the receiver got 14 days before a key ends', () => {
    expect(step(9)).toMatch(/^ {2}api_key\.expiring key_[0-9A-Za-z]{22}.*13/m);
  });

  it('shows the trail of the first key, newest first', () => {
    const types = [...step(14).matchAll(/"type":"(api_key\.\w+)"/g)].map(([, type]) => type);
    expect(types.filter((type) => type !== 'api_key.expired')).toEqual([
      // Step 10 used it an hour after its grace.
      'api_key.reuse_detected',
      'api_key.rotated',
      'api_key.first_used',
      'api_key.created',
    ]);
  });

  it('shows a key that Secrets Manager rotates, and a worker that goes on', () => {
    const [, before] = /AWSCURRENT of its secret is (key_\w{22})/.exec(step(15)) ?? [];
    const [, after] = /AWSCURRENT of its secret is (key_\w{22})/.exec(step(16)) ?? [];
    expect(before).toBeDefined();
    expect(after).toBeDefined();
    expect(after).not.toBe(before);
    expect(step(16)).toMatch(/the worker has read the orders \d{2,} times meanwhile, and no time in vain/);
  });

  it('shows a client that rotates itself, without a request that fails', () => {
    expect(step(17)).toMatch(/^ {2}Requests to \S+ while it rotated, \d+: 200$/m);
    expect(step(17)).toMatch(/"successor_key_id": "key_\w{22}"/);
  });

  it('shows a leak that is reported and dead', () => {
    expect(step(18)).toMatch(/^ {2}202 /m);
    expect(step(19)).toMatch(/^ {2}401 /m);
    expect(step(19)).toMatch(/"type":"api_key.leaked","actor":"anonymous",.*"action":"revoked"/);
  });

  it('prints no secret: of each key its id, and not one character more', () => {
    expect(printed).toMatch(/rk_live_[0-9A-Za-z]{22}…/);
    expect(printed).not.toMatch(/rk_live_[0-9A-Za-z]{23}/);
  });

  it('says that it moves the clock, and how to set it back', () => {
    expect(printed).toContain('Its clock moves by 31 days');
    expect(printed).toContain('--fresh');
  });
});
