/** `npm run tour`: the README's tour, played with real requests on a laptop stack. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import type { StackFile } from './stack.ts';
import { readState } from './state-file.ts';

const USAGE = `npm run tour [-- --stack FILE]

  --stack FILE   the stack.json of the laptop stack to play on (.local/stack.json, if that stack runs; else the tour
                 starts a stack of its own, and stops it at the end)

The tour moves the clock of that stack by 25 hours.`;

type Json = Record<string, unknown>;

interface Call {
  method: string;
  url: string;
  /** The key to send, and what the tour calls it. */
  as?: { name: string; key: string };
  body?: Json;
  /** The status that the answer must have, and members that it must have. */
  expect: { status: number } & Json;
  /** Only these members of the answer are printed. */
  show?: string[];
  /** They are members of this member of the answer. */
  of?: string;
}

const PROBLEM = ['type', 'title', 'status', 'detail'];
const FACTS = ['id', 'scopes', 'status', 'created_at', 'expires_at', 'successor_key_id'];

class TourFailed extends Error {
  override name = 'TourFailed';
}

/** What a terminal may keep of a key: prefix, environment and id. None of them is secret. */
const withoutSecrets = (text: string): string =>
  text.replaceAll(/([a-z]{2,12}_(?:live|test)_[0-9A-Za-z]{22})[0-9A-Za-z]{49}/g, '$1…');

const print = (line = ''): void => console.log(withoutSecrets(line));

/** One member on each line, and a mark for what is left out. */
function shortened(answer: Json, show: string[] = Object.keys(answer)): string {
  if (show.length === 0) return '{ … }';
  const shown = show.map((name) => `    ${JSON.stringify(name)}: ${JSON.stringify(answer[name])}`);
  const rest = Object.keys(answer).length > shown.length ? ['    …'] : [];
  return `{\n${[...shown, ...rest].join(',\n')}\n  }`;
}

/** Sends one request, prints it and its answer. @throws TourFailed when the answer is another than expected */
async function call({ method, url, as, body, expect, show, of }: Call): Promise<Json> {
  print(`  ${method} ${url}`);
  if (as) print(`  x-api-key: ${as.key}  (${as.name})`);
  if (body) print(`  ${JSON.stringify(body)}`);
  const response = await fetch(url, {
    method,
    headers: {
      ...(as && { 'x-api-key': as.key }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  const { status, ...members } = expect;
  const answer = parsed(text);
  const asExpected =
    response.status === status &&
    Object.entries(members).every(([name, value]) => isDeepStrictEqual(answer?.[name], value));
  print();
  const part = of === undefined ? answer : (answer?.[of] as Json | undefined);
  const shown = part && asExpected ? shortened(part, show) : text;
  print(`  ${response.status} ${of === undefined ? shown : `… ${JSON.stringify(of)}: ${shown}`}`);
  print();
  if (!asExpected)
    throw new TourFailed(
      `The tour expected ${JSON.stringify(expect)}, and stops here. The functions' logs may say more.`,
    );
  return answer ?? {};
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

async function play({ apis, admin_key, control }: StackFile): Promise<void> {
  const keys = `${apis['management']}/api-keys`;
  const orders = `${apis['orders']}/orders`;
  const admin = { name: 'the administrator', key: admin_key };
  let number = 0;
  const step = (sentence: string): void => {
    number += 1;
    print(`${number}. ${sentence}`);
    print();
  };

  step('The administrator makes a key that may read orders. Its text is in this answer and nowhere else.');
  const created = await call({
    method: 'POST',
    url: keys,
    as: admin,
    body: { name: 'Tour', owner_id: 'tour', scopes: ['orders:read'] },
    expect: { status: 201 },
    show: ['key', 'api_key'],
  });
  const old = { name: 'the first key', key: String(created['key']) };
  const oldId = String((created['api_key'] as Json)['id']);

  step('It may read orders.');
  await call({ method: 'GET', url: orders, as: old, expect: { status: 200 }, show: [] });

  step('It may not place one. The answer names the scope that is missing.');
  await call({
    method: 'POST',
    url: orders,
    as: old,
    body: { item: 'paper filters', quantity: 12 },
    expect: { status: 403, missing_scopes: ['orders:write'] },
    show: [...PROBLEM, 'missing_scopes'],
  });

  step('The key is rotated: it gets a successor, and works for 24 more hours.');
  const rotated = await call({
    method: 'POST',
    url: `${keys}/${oldId}/rotate`,
    as: admin,
    body: { grace_period_hours: 24 },
    expect: { status: 201 },
    of: 'previous',
    show: FACTS,
  });
  const successor = { name: 'its successor', key: String(rotated['key']) };
  const successorId = String((rotated['api_key'] as Json)['id']);

  step('Both work, so whoever uses the key can change it without downtime.');
  await call({ method: 'GET', url: orders, as: old, expect: { status: 200 }, show: [] });
  await call({ method: 'GET', url: orders, as: successor, expect: { status: 200 }, show: [] });

  step('25 hours pass. (The clock of this stack is moved.)');
  await call({
    method: 'POST',
    url: `${control}/clock`,
    body: { advance_seconds: 25 * 3600 },
    expect: { status: 200 },
  });

  step('The grace is over: the first key is refused, its successor works.');
  await call({ method: 'GET', url: orders, as: old, expect: { status: 401 }, show: PROBLEM });
  await call({ method: 'GET', url: orders, as: successor, expect: { status: 200 }, show: [] });

  step('The successor gets one more scope, without a new secret. The next request can use it.');
  await call({
    method: 'PATCH',
    url: `${keys}/${successorId}`,
    as: admin,
    body: { scopes: ['orders:read', 'orders:write'] },
    expect: { status: 200 },
    of: 'api_key',
    show: ['id', 'scopes', 'status'],
  });
  await call({
    method: 'POST',
    url: orders,
    as: successor,
    body: { item: 'paper filters', quantity: 12 },
    expect: { status: 201 },
  });

  step('The successor is revoked. The next request is refused.');
  const reason = 'the tour is over';
  await call({
    method: 'POST',
    url: `${keys}/${successorId}/revoke`,
    as: admin,
    body: { reason },
    expect: { status: 200 },
    of: 'api_key',
    show: ['id', 'status', 'revoked_at', 'revoked_reason'],
  });
  await call({ method: 'GET', url: orders, as: successor, expect: { status: 401 }, show: PROBLEM });

  step('What became of the key is in its lineage, oldest first.');
  const lineage = await call({
    method: 'GET',
    url: `${keys}/${oldId}/lineage`,
    as: admin,
    expect: { status: 200, next_cursor: null },
    show: [],
  });
  for (const { generation, id, status, parent_key_id } of lineage['data'] as Json[])
    print(`    ${JSON.stringify({ generation, id, status, parent_key_id })}`);
  print();
  print('That was the tour: every answer was as expected.');
}

/** The stack of a stack.json, if it runs: its control port answers with its process id. */
async function running(file: string): Promise<StackFile | undefined> {
  const stack = readState<StackFile>(file);
  if (!stack) return undefined;
  try {
    const health = await fetch(`${stack.control}/health`, { signal: AbortSignal.timeout(5_000) });
    const { pid } = (await health.json()) as { pid?: unknown };
    return pid === stack.pid ? stack : undefined;
  } catch {
    return undefined; // Nobody listens there, or somebody else.
  }
}

/** Starts a stack on free ports, with a state that goes with it, for as long as the work takes. */
async function onOwnStack(work: (stack: StackFile) => Promise<void>): Promise<void> {
  const { startStack } = await import('./stack.ts');
  const { synthesize } = await import('./synth.ts');
  const stateDir = mkdtempSync(join(tmpdir(), 'rekey-tour-'));
  process.once('exit', () => rmSync(stateDir, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(130));
  const assemblyDir = async (): Promise<string> => {
    await synthesize(join(stateDir, 'assembly'));
    return join(stateDir, 'assembly');
  };
  const stack = await startStack({
    port: 0,
    stateDir,
    fresh: false,
    assemblyDir,
    log: (line) => print(`  ${line}`),
  });
  print();
  try {
    await work(stack);
  } finally {
    await stack.stop();
  }
}

/** @throws TourFailed */
async function tour(given: string | undefined): Promise<void> {
  const file = resolve(given ?? '.local/stack.json');
  const stack = await running(file);
  if (stack) {
    print(`On the stack of ${file}. Its clock moves by 25 hours on the way.\n`);
    await play(stack);
    print('To set the clock back, start the stack with --fresh: that forgets its data, too.');
  } else if (given !== undefined) {
    throw new TourFailed(`The stack of ${file} does not run. Start it with npm start, or leave --stack out.`);
  } else {
    print(
      'No stack runs here, so the tour starts one of its own, and stops it at the end. It takes about 15 s.\n',
    );
    await onOwnStack(play);
  }
}

try {
  const { values } = parseArgs({
    options: { stack: { type: 'string' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) console.log(USAGE);
  else await tour(values.stack);
} catch (error) {
  const { code, message, stack } = error as NodeJS.ErrnoException;
  const ours = error instanceof TourFailed;
  const usage = code?.startsWith('ERR_PARSE_ARGS') ? `\n\n${USAGE}` : '';
  // Our own errors have a message for the person who reads it; of anything else the place is worth more.
  console.error(withoutSecrets(ours || usage ? `${message}${usage}` : (stack ?? message)));
  process.exitCode = 1;
}
