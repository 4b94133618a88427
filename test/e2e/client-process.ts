/** One process of a service that calls the Orders API all the time; test/e2e/self-rotating-client.test.ts starts many. */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRekeyClient } from 'rekey/client';
import { fileStore } from 'rekey/client/node';

const { CLIENT_MANAGEMENT, CLIENT_ORDERS, CLIENT_STORE, CLIENT_ROTATE_AFTER } = process.env as Record<
  string,
  string
>;

/** At once and whole, whatever kills this process next. */
const tell = (line: object): void => void writeSync(1, `${JSON.stringify(line)}\n`);

const problemOf = ({ message, name, status }: Error & { status?: number }) => ({
  problem: message,
  name,
  status,
});

const client = createRekeyClient({
  managementUrl: CLIENT_MANAGEMENT!,
  apis: [CLIENT_ORDERS!],
  store: fileStore({ path: CLIENT_STORE! }),
  rotateAfter: Number(CLIENT_ROTATE_AFTER),
  checkEverySeconds: 0.2,
  onEvent: (event) =>
    tell(event.type === 'problem' ? problemOf(event.cause as Error & { status?: number }) : event),
});

let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});

const callAllTheTime = async (): Promise<void> => {
  while (!stopping) {
    try {
      const response = await client.fetch(`${CLIENT_ORDERS}/orders`);
      const text = await response.text();
      tell(response.status === 200 ? { ok: 1 } : { failed: `${response.status} ${text.slice(0, 200)}` });
    } catch (error) {
      tell({ failed: String(error), cause: String((error as Error).cause) });
    }
    await sleep(40);
  }
};
await Promise.all([callAllTheTime(), callAllTheTime()]);
process.exit(0);
