/** What one contender did, round by round. */
export interface Series {
  name: string;
  values: number[];
  median: number;
  /** Half of the rounds lie between these. */
  spread: [number, number];
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;

export function seriesOf(name: string, values: number[]): Series {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    name,
    values,
    median: quantile(sorted, 0.5),
    spread: [quantile(sorted, 0.25), quantile(sorted, 0.75)],
  };
}

/** One contender beside another, round by round, since the machine is as busy for both. */
export const ratioOf = (name: string, over: Series, under: Series): Series =>
  seriesOf(
    name,
    over.values.map((value, round) => value / (under.values[round] ?? Number.NaN)),
  );

/**
 * Lets the contenders take turns.
 *
 * @param warmUp rounds that do not count
 */
export async function takeTurns(
  contenders: Record<string, () => number | Promise<number>>,
  { rounds, warmUp = 1 }: { rounds: number; warmUp?: number },
): Promise<Record<string, Series>> {
  const values = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]));
  const order = Object.entries(contenders);
  for (let round = -warmUp; round < rounds; round++) {
    // Whoever comes first in one round comes last in the next.
    for (const [name, contender] of round % 2 === 0 ? order : order.toReversed()) {
      const value = await contender();
      if (round >= 0) values.get(name)?.push(value);
    }
  }
  return Object.fromEntries([...values].map(([name, taken]) => [name, seriesOf(name, taken)]));
}

/** Calls a second, one after the other or some at once. */
export async function perSecond(call: () => unknown, { atOnce = 1, forMs = 300 } = {}): Promise<number> {
  const started = performance.now();
  let done = 0;
  const loop = async () => {
    while (performance.now() - started < forMs) {
      await call();
      done++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, loop));
  return (done / (performance.now() - started)) * 1000;
}
