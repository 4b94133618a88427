import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { forget, startRunningStack } from '../test/e2e/running-stack.ts';
import type { Part } from './part.ts';
import { seriesOf } from './rounds.ts';

const CLIENTS = 64;
const SAMPLE_MS = 2_000;
const MOST_GROWTH = 1.1;

/** Resident memory of a process and all that it started, in megabytes. */
function memoryOf(pid: number): number {
  const parents = new Map<number, number>();
  const sizes = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      parents.set(Number(name), Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]));
      sizes.set(Number(name), Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // It ended meanwhile.
    }
  }
  const belongs = (each: number | undefined): boolean =>
    each !== undefined && each > 1 && (each === pid || belongs(parents.get(each)));
  return [...sizes].reduce((sum, [each, size]) => (belongs(each) ? sum + size : sum), 0);
}

interface Answered {
  status: number;
  text: string;
}

function ask(
  url: URL,
  { agent, method = 'GET', key, body }: { agent: Agent; method?: string; key: string; body?: unknown },
): Promise<Answered> {
  const headers = { 'x-api-key': key, ...(body !== undefined && { 'content-type': 'application/json' }) };
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** 64 clients through the laptop's front: authorizer and handler for each request, nothing cached. */
export async function front({
  seconds = Number(process.env['REKEY_BENCH_SECONDS'] ?? 60),
} = {}): Promise<Part> {
  const stack = await startRunningStack();
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  try {
    const made = await ask(new URL(`${stack.apis.management}/api-keys`), {
      agent,
      method: 'POST',
      key: stack.admin_key,
      body: { name: 'Bench', owner_id: 'bench', scopes: ['orders:read'] },
    });
    if (made.status !== 201) throw new Error(`no key was made: ${made.status} ${made.text}`);
    const key: string = JSON.parse(made.text).key;
    const url = new URL(`${stack.apis.orders}/orders`);

    const latencies: number[] = [];
    const memory: number[] = [];
    let errors = 0;
    const until = performance.now() + seconds * 1000;
    const client = async () => {
      while (performance.now() < until) {
        const started = performance.now();
        const { status } = await ask(url, { agent, key }).catch(() => ({ status: 0 }));
        latencies.push(performance.now() - started);
        if (status !== 200) errors++;
      }
    };
    const watch = setInterval(() => memory.push(memoryOf(stack.pid)), SAMPLE_MS);
    await Promise.all(Array.from({ length: CLIENTS }, client));
    clearInterval(watch);

    // The first third is a start: functions begin, code is compiled.
    const third = Math.max(1, Math.floor(memory.length / 3));
    const [middle, end] = [seriesOf('', memory.slice(third, -third)), seriesOf('', memory.slice(-third))];
    const sorted = latencies.toSorted((a, b) => a - b);
    const at = (q: number) =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
    return {
      name: 'front',
      unit: `${CLIENTS} clients for ${seconds} s; ms for an answer`,
      series: [seriesOf('request through front, authorizer, handler', latencies)],
      targets: [
        { name: 'requests a second', value: latencies.length / seconds },
        { name: 'errors', value: errors, atMost: 0 },
        { name: 'p50, ms', value: at(0.5) },
        { name: 'p99, ms', value: at(0.99) },
        { name: 'memory at the end, MB', value: end.median },
        { name: 'memory, last third ÷ middle third', value: end.median / middle.median, atMost: MOST_GROWTH },
      ],
    };
  } finally {
    agent.destroy();
    await stack.stop();
    forget(stack.stateDir);
  }
}
