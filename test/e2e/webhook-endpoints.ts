import { randomUUID } from 'node:crypto';
import { afterEach } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { type Answer, type Received, type Receiver, startReceiver } from '../lib/webhook-receiver.ts';
import { admin, management } from './client.ts';

/** The stack that is asked: the shared one, unless it is said. */
const shared = { management, admin };
export type Asked = typeof shared;

/** A receiver that is registered, and what it got. */
export interface Registered {
  id: string;
  secret: string;
  receiver: Receiver;
}

export async function register(
  owner_id: string,
  answer?: Answer,
  { management, admin }: Asked = shared,
): Promise<Registered> {
  const receiver = await startReceiver(answer);
  const made = await management('POST', '/webhook-endpoints', {
    key: admin,
    body: { url: receiver.url, events: ['api_key.*'], owner_id },
  });
  if (made.status !== 201) throw new Error(made.text);
  return { id: made.body.webhook_endpoint.id, secret: made.body.secret, receiver };
}

/** Milliseconds. On a machine that is busy with other things no request may get through for minutes. */
const LONGEST_TRYING = 600_000;

/** A request that fails is sent again with its Idempotency-Key. */
async function makeKey(owner_id: string, { management, admin }: Asked): Promise<string> {
  const headers = { 'idempotency-key': randomUUID() };
  const body = { name: 'one of many', owner_id, scopes: ['orders:read'] };
  for (const end = Date.now() + LONGEST_TRYING; ; ) {
    const made = await management('POST', '/api-keys', { key: admin, body, headers });
    if (made.status === 201) return made.body.api_key.id;
    if (made.status < 500 || Date.now() > end) throw new Error(made.text);
    await new Promise((later) => setTimeout(later, 1_000));
  }
}

/** Makes keys of an owner, a few at a time: each is an event. */
export async function makeKeys(
  owner_id: string,
  count: number,
  told: (made: number) => void = () => undefined,
  at: Asked = shared,
): Promise<string[]> {
  const ids: string[] = [];
  let begun = 0;
  const maker = async (): Promise<void> => {
    while (begun++ < count) {
      const made = await makeKey(owner_id, at);
      ids.push(made);
      told(ids.length);
    }
  };
  await Promise.all(Array.from({ length: 4 }, maker));
  return ids;
}

/** The key that a verified event is about. Verifies with the published library, at the time the headers say. */
export function keyIn(secret: string, { body, headers }: Received): string {
  const real = Date.now;
  Date.now = () => Number(headers['webhook-timestamp']) * 1_000;
  try {
    return (new Webhook(secret).verify(body, headers) as { api_key_id: string }).api_key_id;
  } finally {
    Date.now = real;
  }
}

/** The recorded events of an owner's keys by id, as JSON text. */
export async function recorded(
  owner_id: string,
  { management, admin }: Asked = shared,
): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  let cursor: string | null = null;
  do {
    const query: string = `owner_id=${owner_id}&limit=100${cursor ? `&cursor=${cursor}` : ''}`;
    const { body } = await management('GET', `/events?${query}`, { key: admin });
    for (const event of body.data) texts.set(event.id, JSON.stringify(event));
    cursor = body.next_cursor;
  } while (cursor);
  return texts;
}

/** Registers endpoints as `register` does, and gives them up after each test. */
export function registersForEachTest(): typeof register {
  const open: Registered[] = [];
  afterEach(async () => {
    for (const { id, receiver } of open.splice(0)) {
      await management('DELETE', `/webhook-endpoints/${id}`, { key: admin });
      await receiver.close();
    }
  });
  return async (...parameters) => {
    const one = await register(...parameters);
    open.push(one);
    return one;
  };
}
