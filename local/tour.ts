/** `npm run tour`: the README's tour, played with real requests on a laptop stack. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { createRekeyClient, type StoredKey } from 'rekey/client';
import type { StackFile } from './stack.ts';
import { readState } from './state-file.ts';

const USAGE = `npm run tour [-- --stack FILE]

  --stack FILE   the stack.json of the laptop stack to play on (.local/stack.json, if that stack runs; else the tour
                 starts a stack of its own, and stops it at the end)

The tour moves the clock of that stack by 31 days.`;

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

/** A port of this machine that nobody has. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

interface Receiver extends AsyncDisposable {
  /** The first line that begins so, once it has been printed. @throws TourFailed after half a minute */
  line(beginning: string): Promise<string>;
}

/** Starts examples/webhook-receiver on the stack's clock: what it gets is as old as the stack says. */
function startReceiver(secret: string, port: number, stateDir: string): Receiver {
  const of = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const child = spawn(
    process.execPath,
    ['--import', of('moved-clock.mjs'), of('../examples/webhook-receiver/receiver.mjs')],
    {
      env: { WEBHOOK_SECRET: secret, PORT: String(port), REKEY_CLOCK_FILE: join(stateDir, 'clock.json') },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const ended = once(child, 'close');
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
  return {
    async line(beginning) {
      for (let tries = 0; tries < 300; tries += 1) {
        const found = printed.split('\n').find((each) => each.startsWith(beginning));
        if (found !== undefined) return found;
        await new Promise((next) => setTimeout(next, 100));
      }
      throw new TourFailed(`The webhook receiver did not print ${beginning}. It printed: ${printed}`);
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}

/** The name of a function, by the beginning of its place in the templates. */
function nameOf(functions: StackFile['functions'], place: string): string {
  const found = Object.entries(functions).find(([id]) => id.startsWith(place));
  if (!found) throw new TourFailed(`There is no ${place} in this stack.`);
  return found[1];
}

/** The id of the key that is in AWSCURRENT of a secret. */
function keyInSecret(stateDir: string, name: string): string {
  const secrets = JSON.parse(readFileSync(join(stateDir, 'secrets.json'), 'utf8')) as Record<
    string,
    { name: string; versions: Record<string, { value?: string; stages: string[] }> }
  >;
  const secret = Object.values(secrets).find((each) => each.name.includes(name));
  const current = Object.values(secret?.versions ?? {}).find(({ stages }) => stages.includes('AWSCURRENT'));
  return String((JSON.parse(current?.value ?? '{}') as Json)['key_id']);
}

/** Sends requests with a `rekey/client` that replaces its key half-way. @returns the status of each */
async function rotateUnderTraffic(key: string, apis: StackFile['apis']): Promise<number[]> {
  let stored: StoredKey = { key };
  const client = createRekeyClient({
    managementUrl: String(apis['management']),
    apis: [String(apis['orders'])],
    store: {
      read: async () => stored,
      write: async (next, seen) => {
        if (stored.key !== seen.key) return false;
        stored = next;
        return true;
      },
      exclusively: (work) => work(),
    },
  });
  const statuses: number[] = [];
  let going = true;
  const traffic = Array.from({ length: 2 }, async () => {
    while (going) statuses.push((await client.fetch(`${apis['orders']}/orders`)).status);
  });
  await client.rotate();
  await new Promise((resolve) => setTimeout(resolve, 500));
  going = false;
  await Promise.all(traffic);
  return statuses;
}

async function play({ apis, admin_key, control, functions }: StackFile, stateDir: string): Promise<void> {
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

  step(
    'Its owner wants to know in time. A receiver of webhooks is started, and gets a secret to check them with.',
  );
  const port = await freePort();
  const webhooks = `${apis['management']}/webhook-endpoints`;
  const registered = await call({
    method: 'POST',
    url: webhooks,
    as: admin,
    body: { url: `http://127.0.0.1:${port}/`, owner_id: 'tour', events: ['api_key.expiring'] },
    expect: { status: 201 },
    of: 'webhook_endpoint',
    show: ['id', 'url', 'events', 'status'],
  });
  const endpointId = String((registered['webhook_endpoint'] as Json)['id']);
  await using receiver = startReceiver(String(registered['secret']), port, stateDir);
  print(`  ${await receiver.line('receiving')}`);
  print();

  step('A second key ends in 15 days: its owner is to be told 14 days ahead.');
  await call({
    method: 'POST',
    url: keys,
    as: admin,
    body: { name: 'Ends soon', owner_id: 'tour', scopes: ['orders:read'], expires_in_days: 15 },
    expect: { status: 201 },
    of: 'api_key',
    show: ['id', 'expires_at'],
  });

  step('The first key may read orders.');
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

  step('The notice has come to the receiver, which checked its signature: type, key, days left.');
  print(`  ${await receiver.line('api_key.expiring')}`);
  print();

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

  step('And all that ever happened to it is in its trail, newest first.');
  const trail = await call({
    method: 'GET',
    url: `${keys}/${oldId}/events`,
    as: admin,
    expect: { status: 200, next_cursor: null },
    show: [],
  });
  for (const { type, occurred_at, actor, reason } of trail['data'] as Json[])
    print(`    ${JSON.stringify({ type, occurred_at, actor, reason })}`);
  print();

  step('A worker of another team has its key in Secrets Manager, made when its stack was deployed.');
  const worker = `${control}/2015-03-31/functions/${nameOf(functions, 'OrdersWorker/CountOrders')}/invocations`;
  await call({ method: 'POST', url: worker, body: {}, expect: { status: 200 } });
  const before = keyInSecret(stateDir, 'OrdersKey');
  print(`  AWSCURRENT of its secret is ${before}`);
  print();

  step('30 days pass: Secrets Manager rotates the key, and the worker goes on meanwhile.');
  await call({
    method: 'POST',
    url: `${control}/clock`,
    body: { advance_seconds: 30 * 86_400 },
    expect: { status: 200 },
  });
  const counts: number[] = [];
  for (const end = Date.now() + 60_000; ; ) {
    const answer = await fetch(worker, { method: 'POST', body: '{}' });
    const { orders } = (await answer.json()) as { orders?: number };
    if (orders === undefined) throw new TourFailed('The worker could not read the orders.');
    counts.push(orders);
    if (keyInSecret(stateDir, 'OrdersKey') !== before && counts.length >= 10) break;
    if (Date.now() > end)
      throw new TourFailed('The secret was not rotated. logs/secrets-manager.log may say why.');
  }
  print(`  AWSCURRENT of its secret is ${keyInSecret(stateDir, 'OrdersKey')}`);
  print(`  the worker has read the orders ${counts.length} times meanwhile, and no time in vain`);
  print();

  step('A client of its own rotates itself, while its requests go on.');
  const made = await call({
    method: 'POST',
    url: keys,
    as: admin,
    body: { name: 'Rotates itself', owner_id: 'tour', scopes: ['orders:read'] },
    expect: { status: 201 },
    of: 'api_key',
    show: ['id', 'status'],
  });
  const answered = await rotateUnderTraffic(String(made['key']), apis);
  print(`  Requests to ${orders} while it rotated, ${answered.length}: ${[...new Set(answered)].join(', ')}`);
  print();
  if (answered.some((status) => status !== 200)) throw new TourFailed('A request failed meanwhile.');
  await call({
    method: 'GET',
    url: `${keys}/${String((made['api_key'] as Json)['id'])}`,
    as: admin,
    expect: { status: 200 },
    of: 'api_key',
    show: ['id', 'status', 'successor_key_id'],
  });

  step('Somebody finds a key on a forum. Whoever holds it may kill it, without a key of their own.');
  const lost = await call({
    method: 'POST',
    url: keys,
    as: admin,
    body: { name: 'On a forum', owner_id: 'tour', scopes: ['orders:read'] },
    expect: { status: 201 },
    of: 'api_key',
    show: ['id', 'status'],
  });
  const found = { name: 'whoever reads the forum', key: String(lost['key']) };
  await call({ method: 'GET', url: orders, as: found, expect: { status: 200 }, show: [] });
  await call({
    method: 'POST',
    url: `${apis['management']}/leaks`,
    body: { keys: [found.key] },
    expect: { status: 202 },
  });

  step('The answer tells nothing of the key. A moment later it is dead, and its owner is told.');
  const toldOf = `${keys}/${String((lost['api_key'] as Json)['id'])}/events`;
  const leaked = await until(async () => {
    const answer = await fetch(toldOf, { headers: { 'x-api-key': admin_key } });
    const { data = [] } = (await answer.json()) as { data?: Json[] };
    return data.find(({ type }) => type === 'api_key.leaked');
  }, 'The leak was not told. logs of ActOnLeaks may say why.');
  await call({ method: 'GET', url: orders, as: found, expect: { status: 401 }, show: PROBLEM });
  const { type, actor, source_ip, data: told } = leaked as Json & { data: Json };
  print(`    ${JSON.stringify({ type, actor, source_ip, action: told['action'] })}`);
  print();

  // Nobody listens there any more.
  await fetch(`${webhooks}/${endpointId}`, { method: 'DELETE', headers: { 'x-api-key': admin_key } });
  print('That was the tour: every answer was as expected.');
}

/** What comes of asking again and again, for half a minute. @throws TourFailed with the sentence */
async function until<T>(ask: () => Promise<T | undefined>, sentence: string): Promise<T> {
  for (let tries = 0; tries < 300; tries += 1) {
    const found = await ask();
    if (found !== undefined) return found;
    await new Promise((next) => setTimeout(next, 100));
  }
  throw new TourFailed(sentence);
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
async function onOwnStack(work: (stack: StackFile, stateDir: string) => Promise<void>): Promise<void> {
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
    await work(stack, stateDir);
  } finally {
    await stack.stop();
  }
}

/** @throws TourFailed */
async function tour(given: string | undefined): Promise<void> {
  const file = resolve(given ?? '.local/stack.json');
  const stack = await running(file);
  if (stack) {
    print(`On the stack of ${file}. Its clock moves by 31 days on the way.\n`);
    await play(stack, dirname(file));
    print('To set the clock back, start the stack with --fresh: that forgets its data, too.');
  } else if (given !== undefined) {
    throw new TourFailed(`The stack of ${file} does not run. Start it with npm start, or leave --stack out.`);
  } else {
    print(
      'No stack runs here, so the tour starts one of its own, and stops it at the end. It takes about half a minute.\n',
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
