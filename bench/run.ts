/**
 * What Rekey costs, beside others, alternating in one run: `npm run bench`, or some parts of it, as
 * `npm run bench -- cold warm`. Writes bench/results/latest.json. docs/performance.md has the figures explained.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { cold } from './cold.ts';
import { front } from './front.ts';
import { manyScopesOnManyRoutes } from './many-scopes.ts';
import { figureOf, isMet, type Part } from './part.ts';
import { refuseMalformed } from './refuse-malformed.ts';
import { warm } from './warm.ts';
import { startWorld, type World } from './world.ts';

const PARTS: Record<string, (world: World) => Promise<Part>> = {
  cold: (world) => cold(world),
  warm: (world) => warm(world),
  malformed: () => refuseMalformed(),
  scopes: (world) => manyScopesOnManyRoutes(world),
  front: () => front(),
};

const wanted = process.argv.slice(2);
for (const name of wanted)
  if (!Object.hasOwn(PARTS, name)) throw new Error(`${name} is none of ${Object.keys(PARTS).join(', ')}`);

const figure = (value: number) =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
const limitOf = ({ atMost, atLeast }: { atMost?: number; atLeast?: number }) =>
  atMost !== undefined
    ? `at most ${figure(atMost)}`
    : atLeast !== undefined
      ? `at least ${figure(atLeast)}`
      : '';

function print({ name, unit, series, targets, skipped = [] }: Part): void {
  console.log(`\n${name} (${unit})\n`);
  for (const { name: what, median, spread } of series)
    console.log(`  ${what.padEnd(44)} ${figure(median).padStart(9)}   ${spread.map(figure).join(' – ')}`);
  console.log('');
  for (const target of targets) {
    const limit = limitOf(target);
    const verdict = limit && (isMet(target) ? 'met' : 'MISSED');
    console.log(`  ${target.name.padEnd(52)} ${figure(figureOf(target)).padStart(9)}   ${limit} ${verdict}`);
  }
  for (const why of skipped) console.log(`  not measured: ${why}`);
}

const machine = {
  processor: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memory_gb: Math.round(totalmem() / 2 ** 30),
  load_before: loadavg(),
};
const parts: Part[] = [];
const world = await startWorld();
try {
  for (const [name, measure] of Object.entries(PARTS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const part = await measure(world);
    parts.push(part);
    print(part);
  }
} finally {
  await world.close();
}

const rounded = (value: number) => Number(value.toPrecision(5));
const results = {
  measured_at: new Date().toISOString(),
  machine: { ...machine, load_after: loadavg() },
  versions: { node: process.version },
  parts: parts.map(({ name, unit, series, targets, skipped }) => ({
    name,
    unit,
    series: series.map(({ name: what, median, spread, values }) => ({
      name: what,
      median: rounded(median),
      spread: spread.map(rounded),
      rounds: values.length,
    })),
    targets: targets.map((target) => ({
      name: target.name,
      figure: rounded(figureOf(target)),
      ...(target.ratio && { spread: target.ratio.spread.map(rounded) }),
      ...(target.atMost !== undefined && { at_most: target.atMost }),
      ...(target.atLeast !== undefined && { at_least: target.atLeast }),
      met: isMet(target),
    })),
    skipped,
  })),
};
await mkdir('bench/results', { recursive: true });
await writeFile('bench/results/latest.json', `${JSON.stringify(results, null, 2)}\n`);
const missed = parts.flatMap(({ targets }) => targets).filter((target) => !isMet(target));
console.log(`\nbench/results/latest.json written; ${missed.length} targets missed`);
process.exit(missed.length === 0 ? 0 : 1);
