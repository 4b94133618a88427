import { exchangeRaw } from '../lib/raw-exchange.ts';

/** The first request of a function takes longer on a machine that is busy; another answer may follow on its connection. */
const PATIENCE = { first: 20_000, quiet: 400 };

/**
 * Sends bytes as they stand here, and gives the statuses of all answers that come back, in order.
 *
 * @param base the API's URL
 * @param bytes `latin1`: one character is one byte
 */
export async function rawBytes(base: string, bytes: string): Promise<number[]> {
  const received = await exchangeRaw(Number(new URL(base).port), bytes, PATIENCE);
  return [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}
